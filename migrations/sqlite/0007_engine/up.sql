-- What happened to an operation: gyre.common.v1.OperationTimeline.
ALTER TABLE operation_work ADD COLUMN timeline BLOB NOT NULL DEFAULT x'';

-- What stuck operations owe: one row each, gone when the operation ends.
CREATE TABLE debt (
    uuid BLOB NOT NULL PRIMARY KEY REFERENCES operation (uuid) ON DELETE CASCADE,
    account_uuid BLOB,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    service TEXT NOT NULL,
    workflow TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    resource_uuid BLOB,
    step TEXT NOT NULL,
    undoing INTEGER NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_time INTEGER,
    host_uuid BLOB,
    awaits_host INTEGER NOT NULL
) STRICT;
CREATE INDEX debt_by_time ON debt (create_time, uuid);
CREATE INDEX debt_by_account ON debt (account_uuid, create_time, uuid);
CREATE INDEX debt_by_host ON debt (host_uuid);
CREATE INDEX operation_by_end ON operation (end_time) WHERE end_time IS NOT NULL;
