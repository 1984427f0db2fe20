-- The log of changes as auditors read it: whose resource, from where, by which call, with which outcome. Rows that are there are
-- kept; instances of the version before go on writing theirs. UUIDs are of version 4; ours begin with the time, so that the index
-- grows at its end.
CREATE TABLE change_log_new (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE DEFAULT (unhex(hex(randomblob(6)) || '4' || substr(hex(randomblob(2)), 2) || '8' || substr(hex(randomblob(2)), 2) || hex(randomblob(6)))),
    account_uuid BLOB,
    time INTEGER NOT NULL,
    kind TEXT NOT NULL,
    resource_uuid BLOB,
    action TEXT NOT NULL,
    actor_uuid BLOB,
    api_key_uuid BLOB,
    client_address TEXT NOT NULL DEFAULT '',
    user_agent TEXT NOT NULL DEFAULT '',
    method TEXT NOT NULL DEFAULT '',
    request_id TEXT NOT NULL DEFAULT '',
    operation_uuid BLOB,
    outcome TEXT NOT NULL DEFAULT 'DONE',
    reason TEXT NOT NULL DEFAULT '',
    before TEXT,
    after TEXT
) STRICT;
INSERT INTO change_log_new (position, account_uuid, time, kind, resource_uuid, action, actor_uuid, operation_uuid, before, after)
SELECT position,
    CASE kind WHEN 'account' THEN resource_uuid
        ELSE unhex(replace(json_extract(coalesce(after, before), '$.accountUuid'), '-', '')) END,
    time, kind, resource_uuid, action, actor_uuid, operation_uuid, before, after
FROM change_log ORDER BY position;
DROP TABLE change_log;
ALTER TABLE change_log_new RENAME TO change_log;
CREATE INDEX change_log_by_resource ON change_log (resource_uuid, position);
CREATE INDEX change_log_by_account ON change_log (account_uuid, position);
CREATE INDEX change_log_by_time ON change_log (time);

-- How far observers of the log are.
CREATE TABLE log_observer (
    name TEXT NOT NULL PRIMARY KEY,
    position TEXT NOT NULL,
    update_time INTEGER NOT NULL
) STRICT;
