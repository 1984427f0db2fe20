ALTER TABLE host DROP COLUMN unknown_vm_count;
ALTER TABLE host DROP COLUMN unknown_vm_uuids;
