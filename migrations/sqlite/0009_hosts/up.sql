-- Machines on a host that Gyre does not know.
ALTER TABLE host ADD COLUMN unknown_vm_uuids TEXT NOT NULL DEFAULT '[]';
ALTER TABLE host ADD COLUMN unknown_vm_count INTEGER NOT NULL DEFAULT 0;
