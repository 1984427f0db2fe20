-- Values of settings that somebody set.
CREATE TABLE setting (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    account_uuid BLOB,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    value TEXT NOT NULL,
    scope TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    resource_uuid BLOB,
    shared INTEGER NOT NULL
) STRICT;
CREATE INDEX setting_by_name ON setting (name, resource_uuid);
CREATE INDEX setting_by_resource ON setting (resource_uuid);
