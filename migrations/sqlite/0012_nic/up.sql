-- Interfaces of machines, each a row of its own beside the list in its machine's row. Services of the version before delete machines
-- without a look at this table, hence the cascade.
CREATE TABLE nic (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    account_uuid BLOB REFERENCES account (uuid),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    vm_uuid BLOB NOT NULL REFERENCES vm (uuid) ON DELETE CASCADE,
    l3_network_uuid BLOB NOT NULL REFERENCES l3_network (uuid),
    mac TEXT NOT NULL,
    ip TEXT NOT NULL,
    gateway TEXT NOT NULL,
    prefix_length INTEGER NOT NULL,
    bridge TEXT NOT NULL
) STRICT;
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
    unhex(json_extract(one.value, '$.uuid'), '-'), 'nic-' || one.key, '', vm.account_uuid, vm.create_time, vm.update_time, 1, vm.uuid,
    unhex(json_extract(one.value, '$.l3NetworkUuid'), '-'),
    COALESCE(json_extract(one.value, '$.mac'), ''),
    COALESCE(json_extract(one.value, '$.address'), ''),
    COALESCE(json_extract(one.value, '$.gateway'), ''),
    COALESCE(json_extract(one.value, '$.prefixLength'), 0),
    COALESCE(json_extract(one.value, '$.bridge'), '')
FROM vm, json_each(vm.nics) AS one
WHERE unhex(json_extract(one.value, '$.l3NetworkUuid'), '-') IN (SELECT uuid FROM l3_network);
