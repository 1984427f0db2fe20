-- The log of changes as auditors read it: whose resource, from where, by which call, with which outcome. Rows that are there are
-- kept; instances of the version before go on writing theirs. UUIDs are of version 4; ours begin with the time, so that the index
-- grows at its end. The transaction that wrote a row tells followers which of them a snapshot shows: positions alone do
-- not, since transactions commit in another order than they draw them.
ALTER TABLE change_log
    ALTER COLUMN resource_uuid DROP NOT NULL,
    ALTER COLUMN actor_uuid DROP NOT NULL,
    ADD COLUMN uuid uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN account_uuid uuid,
    ADD COLUMN api_key_uuid uuid,
    ADD COLUMN client_address text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN user_agent text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN method text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN request_id text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN outcome text COLLATE "C" NOT NULL DEFAULT 'DONE',
    ADD COLUMN reason text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN transaction xid8 NOT NULL DEFAULT pg_current_xact_id();
UPDATE change_log SET account_uuid = CASE kind WHEN 'account' THEN resource_uuid
    ELSE NULLIF(coalesce(after, before) ->> 'accountUuid', '')::uuid END;
CREATE UNIQUE INDEX change_log_by_uuid ON change_log (uuid);
CREATE INDEX change_log_by_account ON change_log (account_uuid, position);
CREATE INDEX change_log_by_transaction ON change_log (transaction);

-- How far observers of the log are.
CREATE TABLE log_observer (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    position text COLLATE "C" NOT NULL,
    update_time timestamptz NOT NULL
);
