-- Lists are sorted by name and by what refers to what: an index for each, of all rows and of an account's.
DROP INDEX vm_by_name;
CREATE INDEX api_key_by_name ON api_key (name, uuid);
CREATE INDEX ip_range_by_name ON ip_range (name, uuid);
CREATE INDEX l3_network_by_name ON l3_network (name, uuid);
CREATE INDEX l2_network_by_name ON l2_network (name, uuid);
CREATE INDEX image_server_by_name ON image_server (name, uuid);
CREATE INDEX image_by_name ON image (name, uuid);
CREATE INDEX volume_by_name ON volume (name, uuid);
CREATE INDEX primary_storage_by_name ON primary_storage (name, uuid);
-- Machines by name are most often asked for by where they stand: with the host in the index, those elsewhere are passed over without
-- a look at their rows (0.2 instead of 2 µs each).
CREATE INDEX vm_by_name ON vm (name, uuid, host_uuid);
CREATE INDEX nic_by_name ON nic (name, uuid);
CREATE INDEX instance_offering_by_name ON instance_offering (name, uuid);
CREATE INDEX cluster_by_name ON cluster (name, uuid);
CREATE INDEX zone_by_name ON zone (name, uuid);
CREATE INDEX host_by_name ON host (name, uuid);
CREATE INDEX api_key_by_account_name ON api_key (account_uuid, name, uuid);
CREATE INDEX ip_range_by_account_name ON ip_range (account_uuid, name, uuid);
CREATE INDEX l3_network_by_account_name ON l3_network (account_uuid, name, uuid);
CREATE INDEX image_by_account_name ON image (account_uuid, name, uuid);
CREATE INDEX volume_by_account_name ON volume (account_uuid, name, uuid);
CREATE INDEX vm_by_account_name ON vm (account_uuid, name, uuid, host_uuid);
CREATE INDEX nic_by_account_name ON nic (account_uuid, name, uuid);
CREATE INDEX ip_range_by_account ON ip_range (account_uuid, create_time, uuid);
CREATE INDEX l3_network_by_account ON l3_network (account_uuid, create_time, uuid);
CREATE INDEX vm_by_instance_offering ON vm (instance_offering_uuid);
CREATE INDEX vm_by_image ON vm (image_uuid);
CREATE INDEX vm_by_cluster ON vm (cluster_uuid);
CREATE INDEX vm_by_root_volume ON vm (root_volume_uuid);
CREATE INDEX host_by_zone ON host (zone_uuid);
CREATE INDEX setting_by_account ON setting (account_uuid);
