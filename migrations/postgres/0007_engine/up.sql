-- What happened to an operation: gyre.common.v1.OperationTimeline.
ALTER TABLE operation_work ADD COLUMN timeline bytea NOT NULL DEFAULT ''::bytea;

-- What stuck operations owe: one row each, gone when the operation ends.
CREATE TABLE debt (
    uuid uuid NOT NULL PRIMARY KEY REFERENCES operation (uuid) ON DELETE CASCADE,
    account_uuid uuid,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    service text COLLATE "C" NOT NULL,
    workflow text COLLATE "C" NOT NULL,
    resource_kind text COLLATE "C" NOT NULL,
    resource_uuid uuid,
    step text COLLATE "C" NOT NULL,
    undoing boolean NOT NULL,
    reason text COLLATE "C" NOT NULL,
    message text COLLATE "C" NOT NULL,
    attempts bigint NOT NULL,
    next_time timestamptz,
    host_uuid uuid,
    awaits_host boolean NOT NULL
);
CREATE INDEX debt_by_time ON debt (create_time, uuid);
CREATE INDEX debt_by_account ON debt (account_uuid, create_time, uuid);
CREATE INDEX debt_by_host ON debt (host_uuid);
CREATE INDEX operation_by_end ON operation (end_time) WHERE end_time IS NOT NULL;
