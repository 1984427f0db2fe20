-- Tags of resources. The index by resource has all that reading a resource with its tags needs.
CREATE TABLE tag (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    account_uuid uuid,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    resource_kind text COLLATE "C" NOT NULL,
    resource_uuid uuid NOT NULL,
    text text COLLATE "C" NOT NULL,
    "key" text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    shared boolean NOT NULL
);
CREATE UNIQUE INDEX tag_by_resource ON tag (resource_uuid, text);
CREATE INDEX tag_by_text ON tag (text, resource_uuid);
CREATE INDEX tag_by_key ON tag ("key", value, resource_uuid);
CREATE INDEX tag_by_time ON tag (create_time, uuid);
CREATE INDEX tag_by_account ON tag (account_uuid, create_time, uuid);
