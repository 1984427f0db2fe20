CREATE TABLE l2_network (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    type TEXT NOT NULL,
    cluster_uuid BLOB NOT NULL REFERENCES cluster (uuid),
    bridge TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX l2_network_bridge ON l2_network (cluster_uuid, bridge);

CREATE TABLE l3_network (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    account_uuid BLOB REFERENCES account (uuid),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    l2_network_uuid BLOB NOT NULL REFERENCES l2_network (uuid),
    dns TEXT NOT NULL,
    shared INTEGER NOT NULL
) STRICT;
CREATE INDEX l3_network_by_l2 ON l3_network (l2_network_uuid);

CREATE TABLE ip_range (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    account_uuid BLOB REFERENCES account (uuid),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    l3_network_uuid BLOB NOT NULL REFERENCES l3_network (uuid),
    start_address TEXT NOT NULL,
    end_address TEXT NOT NULL,
    gateway TEXT NOT NULL,
    prefix_length INTEGER NOT NULL,
    total_count INTEGER NOT NULL,
    used_count INTEGER NOT NULL
) STRICT;
CREATE INDEX ip_range_by_l3 ON ip_range (l3_network_uuid);

-- Addresses in use. The address is kept as a number, so that ranges are compared as such.
CREATE TABLE ip_address (
    nic_uuid BLOB NOT NULL PRIMARY KEY,
    l3_network_uuid BLOB NOT NULL REFERENCES l3_network (uuid),
    ip_range_uuid BLOB NOT NULL REFERENCES ip_range (uuid),
    vm_uuid BLOB NOT NULL,
    address INTEGER NOT NULL,
    UNIQUE (l3_network_uuid, address)
) STRICT;
CREATE INDEX ip_address_by_range ON ip_address (ip_range_uuid, address);
