-- URLs that changes are posted to, what waits to be posted, and what was given up.
CREATE TABLE webhook (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    account_uuid uuid REFERENCES account (uuid),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    url text COLLATE "C" NOT NULL,
    kinds jsonb NOT NULL,
    filter text COLLATE "C" NOT NULL,
    resource_filter text COLLATE "C" NOT NULL,
    disabled boolean NOT NULL,
    last_error text COLLATE "C" NOT NULL,
    failing_since timestamptz
);
CREATE INDEX webhook_by_account ON webhook (account_uuid, create_time, uuid);
CREATE INDEX webhook_by_account_name ON webhook (account_uuid, name, uuid);
CREATE INDEX webhook_by_name ON webhook (name, uuid);
CREATE INDEX webhook_by_time ON webhook (create_time, uuid);

-- How far in the log a webhook is, and what it signs with.
CREATE TABLE webhook_work (
    webhook_uuid uuid NOT NULL PRIMARY KEY REFERENCES webhook (uuid) ON DELETE CASCADE,
    position text COLLATE "C" NOT NULL,
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_expire_time timestamptz
);

-- What waits to be posted. Of one lane (a resource) the row with the lowest position is the only one that is tried.
CREATE TABLE webhook_delivery (
    uuid uuid NOT NULL PRIMARY KEY,
    webhook_uuid uuid NOT NULL REFERENCES webhook (uuid) ON DELETE CASCADE,
    lane_uuid uuid NOT NULL,
    position bigint NOT NULL,
    change_uuid uuid NOT NULL,
    since timestamptz NOT NULL,
    attempts bigint NOT NULL,
    next_time timestamptz NOT NULL
);
CREATE UNIQUE INDEX webhook_delivery_by_change ON webhook_delivery (webhook_uuid, change_uuid);
CREATE INDEX webhook_delivery_by_lane ON webhook_delivery (webhook_uuid, lane_uuid, position);
CREATE INDEX webhook_delivery_by_position ON webhook_delivery (webhook_uuid, position);

CREATE TABLE dead_letter (
    uuid uuid NOT NULL PRIMARY KEY,
    account_uuid uuid REFERENCES account (uuid),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    webhook_uuid uuid REFERENCES webhook (uuid),
    change_uuid uuid,
    position bigint NOT NULL,
    change_time timestamptz,
    resource_kind text COLLATE "C" NOT NULL,
    resource_uuid uuid,
    attempts bigint NOT NULL,
    error text COLLATE "C" NOT NULL
);
CREATE INDEX dead_letter_by_account ON dead_letter (account_uuid, create_time, uuid);
CREATE INDEX dead_letter_by_time ON dead_letter (create_time, uuid);
CREATE INDEX dead_letter_by_webhook ON dead_letter (webhook_uuid, create_time, uuid);
