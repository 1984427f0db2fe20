-- Interfaces of machines, each a row of its own beside the list in its machine's row. Services of the version before delete machines
-- without a look at this table, hence the cascade.
CREATE TABLE nic (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    account_uuid uuid REFERENCES account (uuid),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    vm_uuid uuid NOT NULL REFERENCES vm (uuid) ON DELETE CASCADE,
    l3_network_uuid uuid NOT NULL REFERENCES l3_network (uuid),
    mac text COLLATE "C" NOT NULL,
    ip text COLLATE "C" NOT NULL,
    gateway text COLLATE "C" NOT NULL,
    prefix_length bigint NOT NULL,
    bridge text COLLATE "C" NOT NULL
);
CREATE INDEX nic_by_vm ON nic (vm_uuid);
CREATE INDEX nic_by_l3 ON nic (l3_network_uuid);
CREATE INDEX nic_by_ip ON nic (ip);
CREATE INDEX nic_by_account ON nic (account_uuid, create_time, uuid);
CREATE INDEX nic_by_time ON nic (create_time, uuid);

INSERT INTO nic (
    uuid, name, description, account_uuid, create_time, update_time, generation, vm_uuid, l3_network_uuid, mac, ip, gateway,
    prefix_length, bridge
)
SELECT
    (one.value ->> 'uuid')::uuid, 'nic-' || (one.place - 1), '', vm.account_uuid, vm.create_time, vm.update_time, 1, vm.uuid,
    (one.value ->> 'l3NetworkUuid')::uuid,
    COALESCE(one.value ->> 'mac', ''),
    COALESCE(one.value ->> 'address', ''),
    COALESCE(one.value ->> 'gateway', ''),
    COALESCE((one.value ->> 'prefixLength')::bigint, 0),
    COALESCE(one.value ->> 'bridge', '')
FROM vm, jsonb_array_elements(vm.nics) WITH ORDINALITY AS one (value, place)
WHERE (one.value ->> 'l3NetworkUuid')::uuid IN (SELECT uuid FROM l3_network);
