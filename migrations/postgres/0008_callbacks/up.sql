-- Where a finished operation is posted to. The destination (host:port) is the bound within which callbacks share a receiver.
ALTER TABLE operation ADD COLUMN callback_url text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE operation ADD COLUMN callback_state text COLLATE "C" NOT NULL DEFAULT 'UNSPECIFIED';
ALTER TABLE operation ADD COLUMN callback_attempts bigint NOT NULL DEFAULT 0;
ALTER TABLE operation ADD COLUMN callback_time timestamptz;
ALTER TABLE operation ADD COLUMN callback_error text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE operation_work ADD COLUMN callback_destination text COLLATE "C" NOT NULL DEFAULT '';
-- What is to be sent: the commit that ends an operation puts it in here.
CREATE INDEX operation_callback ON operation (service, callback_time, uuid)
    WHERE callback_state = 'PENDING' AND state IN ('SUCCEEDED', 'FAILED', 'CANCELLED');

-- Keys that callbacks are signed with, and the key before as long as it signs too.
CREATE TABLE callback_key (
    account_uuid uuid NOT NULL PRIMARY KEY REFERENCES account (uuid) ON DELETE CASCADE,
    secret bytea NOT NULL,
    create_time timestamptz NOT NULL,
    previous_secret bytea,
    previous_expire_time timestamptz
);
