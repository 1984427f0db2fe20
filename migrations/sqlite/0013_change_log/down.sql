DROP TABLE log_observer;
DELETE FROM change_log WHERE action IN ('BEGIN', 'END', 'CALL');
DROP INDEX change_log_by_account;
CREATE TABLE change_log_old (
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
INSERT INTO change_log_old SELECT position, time, kind, resource_uuid, actor_uuid, operation_uuid, action, before, after
FROM change_log ORDER BY position;
DROP TABLE change_log;
ALTER TABLE change_log_old RENAME TO change_log;
CREATE INDEX change_log_by_resource ON change_log (resource_uuid, position);
CREATE INDEX change_log_by_time ON change_log (time);
