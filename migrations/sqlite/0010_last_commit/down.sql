ALTER TABLE operation_work DROP COLUMN last_commit;
