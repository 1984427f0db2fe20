CREATE TABLE zone (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL
) STRICT;

CREATE TABLE cluster (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    zone_uuid BLOB NOT NULL REFERENCES zone (uuid),
    cpu_overcommit INTEGER NOT NULL,
    memory_overcommit INTEGER NOT NULL
) STRICT;
CREATE INDEX cluster_by_zone ON cluster (zone_uuid);

CREATE TABLE host (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    status TEXT NOT NULL,
    cluster_uuid BLOB NOT NULL REFERENCES cluster (uuid),
    zone_uuid BLOB NOT NULL REFERENCES zone (uuid),
    address TEXT NOT NULL,
    reserved_memory_bytes INTEGER NOT NULL,
    cpu_count INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    cpu_capacity INTEGER NOT NULL,
    cpu_used INTEGER NOT NULL,
    memory_capacity_bytes INTEGER NOT NULL,
    memory_used_bytes INTEGER NOT NULL,
    hypervisor TEXT NOT NULL,
    hypervisor_version TEXT NOT NULL,
    accelerator TEXT NOT NULL,
    architecture TEXT NOT NULL,
    operating_system TEXT NOT NULL,
    agent_version TEXT NOT NULL,
    network_mode TEXT NOT NULL,
    status_time INTEGER,
    status_reason TEXT NOT NULL
) STRICT;
CREATE INDEX host_by_cluster ON host (cluster_uuid, uuid);
CREATE INDEX host_by_time ON host (create_time, uuid);

-- Room that machines have taken on hosts; the sums are the host's counters.
CREATE TABLE host_placement (
    claim_uuid BLOB NOT NULL PRIMARY KEY,
    host_uuid BLOB NOT NULL REFERENCES host (uuid),
    cpu_count INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX host_placement_by_host ON host_placement (host_uuid);

-- The fence of the session with each host's agent: each new session takes the next.
CREATE TABLE host_fence (
    host_uuid BLOB NOT NULL PRIMARY KEY,
    fence INTEGER NOT NULL
) STRICT;
