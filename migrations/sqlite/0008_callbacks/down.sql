DROP TABLE callback_key;
DROP INDEX operation_callback;
ALTER TABLE operation_work DROP COLUMN callback_destination;
ALTER TABLE operation DROP COLUMN callback_error;
ALTER TABLE operation DROP COLUMN callback_time;
ALTER TABLE operation DROP COLUMN callback_attempts;
ALTER TABLE operation DROP COLUMN callback_state;
ALTER TABLE operation DROP COLUMN callback_url;
