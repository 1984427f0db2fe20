CREATE TABLE instance_offering (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    cpu_count bigint NOT NULL,
    memory_bytes bigint NOT NULL
);

CREATE TABLE vm (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    account_uuid uuid REFERENCES account (uuid),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    instance_offering_uuid uuid,
    cpu_count bigint NOT NULL,
    memory_bytes bigint NOT NULL,
    image_uuid uuid,
    root_volume_bytes bigint NOT NULL,
    l3_network_uuids jsonb NOT NULL,
    cluster_uuid uuid REFERENCES cluster (uuid),
    host_uuid uuid REFERENCES host (uuid),
    root_volume_uuid uuid,
    nics jsonb NOT NULL,
    addresses jsonb NOT NULL,
    destroy_time timestamptz,
    state_reason text COLLATE "C" NOT NULL
);
CREATE INDEX vm_by_account ON vm (account_uuid, create_time, uuid);
CREATE INDEX vm_by_time ON vm (create_time, uuid);
CREATE INDEX vm_by_host ON vm (host_uuid);
CREATE INDEX vm_by_name ON vm (name);
