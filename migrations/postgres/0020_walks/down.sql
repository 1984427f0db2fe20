DROP INDEX vm_by_name;
DROP INDEX vm_by_time;
DROP INDEX vm_by_account_name;
DROP INDEX vm_by_account;
CREATE INDEX vm_by_name ON vm (name, uuid);
CREATE INDEX vm_by_time ON vm (create_time, uuid);
CREATE INDEX vm_by_account_name ON vm (account_uuid, name, uuid);
CREATE INDEX vm_by_account ON vm (account_uuid, create_time, uuid);
