CREATE TABLE zone (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL
);

CREATE TABLE cluster (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    zone_uuid uuid NOT NULL REFERENCES zone (uuid),
    cpu_overcommit bigint NOT NULL,
    memory_overcommit bigint NOT NULL
);
CREATE INDEX cluster_by_zone ON cluster (zone_uuid);

CREATE TABLE host (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    cluster_uuid uuid NOT NULL REFERENCES cluster (uuid),
    zone_uuid uuid NOT NULL REFERENCES zone (uuid),
    address text COLLATE "C" NOT NULL,
    reserved_memory_bytes bigint NOT NULL,
    cpu_count bigint NOT NULL,
    memory_bytes bigint NOT NULL,
    cpu_capacity bigint NOT NULL,
    cpu_used bigint NOT NULL,
    memory_capacity_bytes bigint NOT NULL,
    memory_used_bytes bigint NOT NULL,
    hypervisor text COLLATE "C" NOT NULL,
    hypervisor_version text COLLATE "C" NOT NULL,
    accelerator text COLLATE "C" NOT NULL,
    architecture text COLLATE "C" NOT NULL,
    operating_system text COLLATE "C" NOT NULL,
    agent_version text COLLATE "C" NOT NULL,
    network_mode text COLLATE "C" NOT NULL,
    status_time timestamptz,
    status_reason text COLLATE "C" NOT NULL
);
CREATE INDEX host_by_cluster ON host (cluster_uuid, uuid);
CREATE INDEX host_by_time ON host (create_time, uuid);

-- Room that machines have taken on hosts; the sums are the host's counters.
CREATE TABLE host_placement (
    claim_uuid uuid NOT NULL PRIMARY KEY,
    host_uuid uuid NOT NULL REFERENCES host (uuid),
    cpu_count bigint NOT NULL,
    memory_bytes bigint NOT NULL
);
CREATE INDEX host_placement_by_host ON host_placement (host_uuid);

-- The fence of the session with each host's agent: each new session takes the next.
CREATE TABLE host_fence (
    host_uuid uuid NOT NULL PRIMARY KEY,
    fence bigint NOT NULL
);
