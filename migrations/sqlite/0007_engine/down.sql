DROP INDEX operation_by_end;
DROP TABLE debt;
ALTER TABLE operation_work DROP COLUMN timeline;
