-- Machines on a host that Gyre does not know.
ALTER TABLE host ADD COLUMN unknown_vm_uuids jsonb NOT NULL DEFAULT '[]';
ALTER TABLE host ADD COLUMN unknown_vm_count bigint NOT NULL DEFAULT 0;
