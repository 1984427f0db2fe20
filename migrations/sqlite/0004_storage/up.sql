CREATE TABLE primary_storage (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    type TEXT NOT NULL,
    cluster_uuid BLOB NOT NULL REFERENCES cluster (uuid),
    path TEXT NOT NULL,
    overcommit INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,
    used_bytes INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX primary_storage_by_place ON primary_storage (cluster_uuid, path);

CREATE TABLE image_server (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    host_uuid BLOB NOT NULL REFERENCES host (uuid),
    path TEXT NOT NULL,
    total_bytes INTEGER NOT NULL,
    available_bytes INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX image_server_by_place ON image_server (host_uuid, path);

CREATE TABLE image (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    account_uuid BLOB REFERENCES account (uuid),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    image_server_uuid BLOB REFERENCES image_server (uuid),
    url TEXT NOT NULL,
    format TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    file_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    shared INTEGER NOT NULL
) STRICT;
CREATE INDEX image_by_account ON image (account_uuid, create_time, uuid);
CREATE INDEX image_by_server ON image (image_server_uuid);

CREATE TABLE volume (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    account_uuid BLOB REFERENCES account (uuid),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    type TEXT NOT NULL,
    primary_storage_uuid BLOB REFERENCES primary_storage (uuid),
    host_uuid BLOB NOT NULL REFERENCES host (uuid),
    size_bytes INTEGER NOT NULL,
    image_uuid BLOB,
    vm_uuid BLOB,
    path TEXT NOT NULL
) STRICT;
CREATE INDEX volume_by_account ON volume (account_uuid, create_time, uuid);
CREATE INDEX volume_by_time ON volume (create_time, uuid);
CREATE INDEX volume_by_vm ON volume (vm_uuid);
CREATE INDEX volume_by_host ON volume (host_uuid);
CREATE INDEX volume_by_storage ON volume (primary_storage_uuid);
CREATE INDEX volume_by_image ON volume (image_uuid);

-- Room on each host of a local primary storage that was prepared there; the sums are the storage's counters.
CREATE TABLE primary_storage_host (
    primary_storage_uuid BLOB NOT NULL REFERENCES primary_storage (uuid) ON DELETE CASCADE,
    host_uuid BLOB NOT NULL REFERENCES host (uuid) ON DELETE CASCADE,
    total_bytes INTEGER NOT NULL,
    available_bytes INTEGER NOT NULL,
    used_bytes INTEGER NOT NULL,
    PRIMARY KEY (primary_storage_uuid, host_uuid)
) STRICT;
CREATE INDEX primary_storage_host_by_host ON primary_storage_host (host_uuid);
