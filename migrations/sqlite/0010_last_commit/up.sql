-- Which commit of the engine's was the last: one whose answer was lost is recognized by it.
ALTER TABLE operation_work ADD COLUMN last_commit BLOB;
