CREATE TABLE instance_offering (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    cpu_count INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE vm (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    account_uuid BLOB REFERENCES account (uuid),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    instance_offering_uuid BLOB,
    cpu_count INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    image_uuid BLOB,
    root_volume_bytes INTEGER NOT NULL,
    l3_network_uuids TEXT NOT NULL,
    cluster_uuid BLOB REFERENCES cluster (uuid),
    host_uuid BLOB REFERENCES host (uuid),
    root_volume_uuid BLOB,
    nics TEXT NOT NULL,
    addresses TEXT NOT NULL,
    destroy_time INTEGER,
    state_reason TEXT NOT NULL
) STRICT;
CREATE INDEX vm_by_account ON vm (account_uuid, create_time, uuid);
CREATE INDEX vm_by_time ON vm (create_time, uuid);
CREATE INDEX vm_by_host ON vm (host_uuid);
CREATE INDEX vm_by_name ON vm (name);
