-- Where a finished operation is posted to. The destination (host:port) is the bound within which callbacks share a receiver.
ALTER TABLE operation ADD COLUMN callback_url TEXT NOT NULL DEFAULT '';
ALTER TABLE operation ADD COLUMN callback_state TEXT NOT NULL DEFAULT 'UNSPECIFIED';
ALTER TABLE operation ADD COLUMN callback_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE operation ADD COLUMN callback_time INTEGER;
ALTER TABLE operation ADD COLUMN callback_error TEXT NOT NULL DEFAULT '';
ALTER TABLE operation_work ADD COLUMN callback_destination TEXT NOT NULL DEFAULT '';
-- What is to be sent: the commit that ends an operation puts it in here.
CREATE INDEX operation_callback ON operation (service, callback_time, uuid)
    WHERE callback_state = 'PENDING' AND state IN ('SUCCEEDED', 'FAILED', 'CANCELLED');

-- Keys that callbacks are signed with, and the key before as long as it signs too.
CREATE TABLE callback_key (
    account_uuid BLOB NOT NULL PRIMARY KEY REFERENCES account (uuid) ON DELETE CASCADE,
    secret BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    previous_secret BLOB,
    previous_expire_time INTEGER
) STRICT;
