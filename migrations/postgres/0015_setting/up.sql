-- Values of settings that somebody set.
CREATE TABLE setting (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    account_uuid uuid,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    value text COLLATE "C" NOT NULL,
    scope text COLLATE "C" NOT NULL,
    resource_kind text COLLATE "C" NOT NULL,
    resource_uuid uuid,
    shared boolean NOT NULL
);
CREATE INDEX setting_by_name ON setting (name, resource_uuid);
CREATE INDEX setting_by_resource ON setting (resource_uuid);
