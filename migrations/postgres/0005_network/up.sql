CREATE TABLE l2_network (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    cluster_uuid uuid NOT NULL REFERENCES cluster (uuid),
    bridge text COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX l2_network_bridge ON l2_network (cluster_uuid, bridge);

CREATE TABLE l3_network (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    account_uuid uuid REFERENCES account (uuid),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    l2_network_uuid uuid NOT NULL REFERENCES l2_network (uuid),
    dns jsonb NOT NULL,
    shared boolean NOT NULL
);
CREATE INDEX l3_network_by_l2 ON l3_network (l2_network_uuid);

CREATE TABLE ip_range (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    account_uuid uuid REFERENCES account (uuid),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    l3_network_uuid uuid NOT NULL REFERENCES l3_network (uuid),
    start_address text COLLATE "C" NOT NULL,
    end_address text COLLATE "C" NOT NULL,
    gateway text COLLATE "C" NOT NULL,
    prefix_length bigint NOT NULL,
    total_count bigint NOT NULL,
    used_count bigint NOT NULL
);
CREATE INDEX ip_range_by_l3 ON ip_range (l3_network_uuid);

-- Addresses in use. The address is kept as a number, so that ranges are compared as such.
CREATE TABLE ip_address (
    nic_uuid uuid NOT NULL PRIMARY KEY,
    l3_network_uuid uuid NOT NULL REFERENCES l3_network (uuid),
    ip_range_uuid uuid NOT NULL REFERENCES ip_range (uuid),
    vm_uuid uuid NOT NULL,
    address bigint NOT NULL,
    UNIQUE (l3_network_uuid, address)
);
CREATE INDEX ip_address_by_range ON ip_address (ip_range_uuid, address);
