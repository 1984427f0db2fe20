CREATE TABLE primary_storage (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    cluster_uuid uuid NOT NULL REFERENCES cluster (uuid),
    path text COLLATE "C" NOT NULL,
    overcommit bigint NOT NULL,
    total_bytes bigint NOT NULL,
    used_bytes bigint NOT NULL
);
CREATE UNIQUE INDEX primary_storage_by_place ON primary_storage (cluster_uuid, path);

CREATE TABLE image_server (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    host_uuid uuid NOT NULL REFERENCES host (uuid),
    path text COLLATE "C" NOT NULL,
    total_bytes bigint NOT NULL,
    available_bytes bigint NOT NULL
);
CREATE UNIQUE INDEX image_server_by_place ON image_server (host_uuid, path);

CREATE TABLE image (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    account_uuid uuid REFERENCES account (uuid),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    image_server_uuid uuid REFERENCES image_server (uuid),
    url text COLLATE "C" NOT NULL,
    format text COLLATE "C" NOT NULL,
    size_bytes bigint NOT NULL,
    file_bytes bigint NOT NULL,
    sha256 text COLLATE "C" NOT NULL,
    shared boolean NOT NULL
);
CREATE INDEX image_by_account ON image (account_uuid, create_time, uuid);
CREATE INDEX image_by_server ON image (image_server_uuid);

CREATE TABLE volume (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    account_uuid uuid REFERENCES account (uuid),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    primary_storage_uuid uuid REFERENCES primary_storage (uuid),
    host_uuid uuid NOT NULL REFERENCES host (uuid),
    size_bytes bigint NOT NULL,
    image_uuid uuid,
    vm_uuid uuid,
    path text COLLATE "C" NOT NULL
);
CREATE INDEX volume_by_account ON volume (account_uuid, create_time, uuid);
CREATE INDEX volume_by_time ON volume (create_time, uuid);
CREATE INDEX volume_by_vm ON volume (vm_uuid);
CREATE INDEX volume_by_host ON volume (host_uuid);
CREATE INDEX volume_by_storage ON volume (primary_storage_uuid);
CREATE INDEX volume_by_image ON volume (image_uuid);

-- Room on each host of a local primary storage that was prepared there; the sums are the storage's counters.
CREATE TABLE primary_storage_host (
    primary_storage_uuid uuid NOT NULL REFERENCES primary_storage (uuid) ON DELETE CASCADE,
    host_uuid uuid NOT NULL REFERENCES host (uuid) ON DELETE CASCADE,
    total_bytes bigint NOT NULL,
    available_bytes bigint NOT NULL,
    used_bytes bigint NOT NULL,
    PRIMARY KEY (primary_storage_uuid, host_uuid)
);
CREATE INDEX primary_storage_host_by_host ON primary_storage_host (host_uuid);
