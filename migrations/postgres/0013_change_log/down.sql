DROP TABLE log_observer;
DELETE FROM change_log WHERE action IN ('BEGIN', 'END', 'CALL');
DROP INDEX change_log_by_transaction;
DROP INDEX change_log_by_account;
DROP INDEX change_log_by_uuid;
ALTER TABLE change_log
    DROP COLUMN transaction,
    DROP COLUMN reason,
    DROP COLUMN outcome,
    DROP COLUMN request_id,
    DROP COLUMN method,
    DROP COLUMN user_agent,
    DROP COLUMN client_address,
    DROP COLUMN api_key_uuid,
    DROP COLUMN account_uuid,
    DROP COLUMN uuid,
    ALTER COLUMN actor_uuid SET NOT NULL,
    ALTER COLUMN resource_uuid SET NOT NULL;
