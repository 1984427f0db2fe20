CREATE TABLE operation (
    uuid uuid NOT NULL PRIMARY KEY,
    account_uuid uuid,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    service text COLLATE "C" NOT NULL,
    workflow text COLLATE "C" NOT NULL,
    resource_kind text COLLATE "C" NOT NULL,
    resource_uuid uuid,
    percent bigint NOT NULL,
    steps jsonb NOT NULL,
    error jsonb,
    end_time timestamptz,
    fence bigint NOT NULL,
    instance_uuid uuid,
    request_id text COLLATE "C" NOT NULL,
    trace_parent text COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX operation_running ON operation (resource_uuid) WHERE state IN ('RUNNING', 'UNDOING', 'STUCK');
CREATE INDEX operation_unfinished ON operation (service, create_time) WHERE state IN ('QUEUED', 'RUNNING', 'UNDOING', 'STUCK');
CREATE INDEX operation_by_resource ON operation (resource_uuid, create_time);
CREATE INDEX operation_by_time ON operation (create_time, uuid);
CREATE INDEX operation_by_account ON operation (account_uuid, create_time, uuid);

-- Every change: who, what, which resource, before and after. In order of position within a resource.
CREATE TABLE change_log (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL,
    resource_uuid uuid NOT NULL,
    actor_uuid uuid NOT NULL,
    operation_uuid uuid,
    action text COLLATE "C" NOT NULL,
    before jsonb,
    after jsonb
);
CREATE INDEX change_log_by_resource ON change_log (resource_uuid, position);
CREATE INDEX change_log_by_time ON change_log (time);

-- Calls that change something, by the id that their caller gave them: the same id again answers what the first call did.
CREATE TABLE request (
    account_uuid uuid NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL,
    body_hash bigint NOT NULL,
    operation_uuid uuid,
    response bytea,
    time timestamptz NOT NULL,
    PRIMARY KEY (account_uuid, request_id)
);
CREATE INDEX request_by_time ON request (time);

-- What the engine needs to go on with an operation: its input, and what its steps found out.
CREATE TABLE operation_work (
    operation_uuid uuid NOT NULL PRIMARY KEY REFERENCES operation (uuid) ON DELETE CASCADE,
    input bytea NOT NULL,
    vars jsonb NOT NULL,
    admin boolean NOT NULL,
    cancel boolean NOT NULL
);
