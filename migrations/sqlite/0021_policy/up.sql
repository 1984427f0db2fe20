-- What accounts and their API keys may not do.
CREATE TABLE policy (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    account_uuid BLOB REFERENCES account (uuid),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    effect TEXT NOT NULL,
    actions TEXT NOT NULL,
    subject_uuid BLOB REFERENCES account (uuid),
    api_key_uuid BLOB REFERENCES api_key (uuid),
    resource_kind TEXT NOT NULL,
    filter TEXT NOT NULL
) STRICT;
CREATE INDEX policy_by_account ON policy (account_uuid, create_time, uuid);
CREATE INDEX policy_by_account_name ON policy (account_uuid, name, uuid);
CREATE INDEX policy_by_name ON policy (name, uuid);
CREATE INDEX policy_by_time ON policy (create_time, uuid);
-- what binds a call is asked every few seconds for each account that calls
CREATE INDEX policy_by_subject ON policy (subject_uuid, api_key_uuid);
CREATE INDEX policy_by_api_key ON policy (api_key_uuid);
