-- Tags of resources. The index by resource has all that reading a resource with its tags needs.
CREATE TABLE tag (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    account_uuid BLOB,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    resource_kind TEXT NOT NULL,
    resource_uuid BLOB NOT NULL,
    text TEXT NOT NULL,
    "key" TEXT NOT NULL,
    value TEXT NOT NULL,
    type TEXT NOT NULL,
    shared INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX tag_by_resource ON tag (resource_uuid, text);
CREATE INDEX tag_by_text ON tag (text, resource_uuid);
CREATE INDEX tag_by_key ON tag ("key", value, resource_uuid);
CREATE INDEX tag_by_time ON tag (create_time, uuid);
CREATE INDEX tag_by_account ON tag (account_uuid, create_time, uuid);
