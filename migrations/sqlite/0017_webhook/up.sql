-- URLs that changes are posted to, what waits to be posted, and what was given up.
CREATE TABLE webhook (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    account_uuid BLOB REFERENCES account (uuid),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    url TEXT NOT NULL,
    kinds TEXT NOT NULL,
    filter TEXT NOT NULL,
    resource_filter TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    failing_since INTEGER
) STRICT;
CREATE INDEX webhook_by_account ON webhook (account_uuid, create_time, uuid);
CREATE INDEX webhook_by_account_name ON webhook (account_uuid, name, uuid);
CREATE INDEX webhook_by_name ON webhook (name, uuid);
CREATE INDEX webhook_by_time ON webhook (create_time, uuid);

-- How far in the log a webhook is, and what it signs with.
CREATE TABLE webhook_work (
    webhook_uuid BLOB NOT NULL PRIMARY KEY REFERENCES webhook (uuid) ON DELETE CASCADE,
    position TEXT NOT NULL,
    secret BLOB NOT NULL,
    previous_secret BLOB,
    previous_expire_time INTEGER
) STRICT;

-- What waits to be posted. Of one lane (a resource) the row with the lowest position is the only one that is tried.
CREATE TABLE webhook_delivery (
    uuid BLOB NOT NULL PRIMARY KEY,
    webhook_uuid BLOB NOT NULL REFERENCES webhook (uuid) ON DELETE CASCADE,
    lane_uuid BLOB NOT NULL,
    position INTEGER NOT NULL,
    change_uuid BLOB NOT NULL,
    since INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_time INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX webhook_delivery_by_change ON webhook_delivery (webhook_uuid, change_uuid);
CREATE INDEX webhook_delivery_by_lane ON webhook_delivery (webhook_uuid, lane_uuid, position);
CREATE INDEX webhook_delivery_by_position ON webhook_delivery (webhook_uuid, position);

CREATE TABLE dead_letter (
    uuid BLOB NOT NULL PRIMARY KEY,
    account_uuid BLOB REFERENCES account (uuid),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    webhook_uuid BLOB REFERENCES webhook (uuid),
    change_uuid BLOB,
    position INTEGER NOT NULL,
    change_time INTEGER,
    resource_kind TEXT NOT NULL,
    resource_uuid BLOB,
    attempts INTEGER NOT NULL,
    error TEXT NOT NULL
) STRICT;
CREATE INDEX dead_letter_by_account ON dead_letter (account_uuid, create_time, uuid);
CREATE INDEX dead_letter_by_time ON dead_letter (create_time, uuid);
CREATE INDEX dead_letter_by_webhook ON dead_letter (webhook_uuid, create_time, uuid);
