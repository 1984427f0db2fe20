CREATE TABLE operation (
    uuid BLOB NOT NULL PRIMARY KEY,
    account_uuid BLOB,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    service TEXT NOT NULL,
    workflow TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    resource_uuid BLOB,
    percent INTEGER NOT NULL,
    steps TEXT NOT NULL,
    error TEXT,
    end_time INTEGER,
    fence INTEGER NOT NULL,
    instance_uuid BLOB,
    request_id TEXT NOT NULL,
    trace_parent TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX operation_running ON operation (resource_uuid) WHERE state IN ('RUNNING', 'UNDOING', 'STUCK');
CREATE INDEX operation_unfinished ON operation (service, create_time) WHERE state IN ('QUEUED', 'RUNNING', 'UNDOING', 'STUCK');
CREATE INDEX operation_by_resource ON operation (resource_uuid, create_time);
CREATE INDEX operation_by_time ON operation (create_time, uuid);
CREATE INDEX operation_by_account ON operation (account_uuid, create_time, uuid);

-- Every change: who, what, which resource, before and after. In order of position within a resource.
CREATE TABLE change_log (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    kind TEXT NOT NULL,
    resource_uuid BLOB NOT NULL,
    actor_uuid BLOB NOT NULL,
    operation_uuid BLOB,
    action TEXT NOT NULL,
    before TEXT,
    after TEXT
) STRICT;
CREATE INDEX change_log_by_resource ON change_log (resource_uuid, position);
CREATE INDEX change_log_by_time ON change_log (time);

-- Calls that change something, by the id that their caller gave them: the same id again answers what the first call did.
CREATE TABLE request (
    account_uuid BLOB NOT NULL,
    request_id TEXT NOT NULL,
    method TEXT NOT NULL,
    body_hash INTEGER NOT NULL,
    operation_uuid BLOB,
    response BLOB,
    time INTEGER NOT NULL,
    PRIMARY KEY (account_uuid, request_id)
) STRICT;
CREATE INDEX request_by_time ON request (time);

-- What the engine needs to go on with an operation: its input, and what its steps found out.
CREATE TABLE operation_work (
    operation_uuid BLOB NOT NULL PRIMARY KEY REFERENCES operation (uuid) ON DELETE CASCADE,
    input BLOB NOT NULL,
    vars TEXT NOT NULL,
    admin INTEGER NOT NULL,
    cancel INTEGER NOT NULL
) STRICT;
