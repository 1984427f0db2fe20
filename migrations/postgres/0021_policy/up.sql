-- What accounts and their API keys may not do.
CREATE TABLE policy (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    account_uuid uuid REFERENCES account (uuid),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    effect text COLLATE "C" NOT NULL,
    actions jsonb NOT NULL,
    subject_uuid uuid REFERENCES account (uuid),
    api_key_uuid uuid REFERENCES api_key (uuid),
    resource_kind text COLLATE "C" NOT NULL,
    filter text COLLATE "C" NOT NULL
);
CREATE INDEX policy_by_account ON policy (account_uuid, create_time, uuid);
CREATE INDEX policy_by_account_name ON policy (account_uuid, name, uuid);
CREATE INDEX policy_by_name ON policy (name, uuid);
CREATE INDEX policy_by_time ON policy (create_time, uuid);
-- what binds a call is asked every few seconds for each account that calls
CREATE INDEX policy_by_subject ON policy (subject_uuid, api_key_uuid);
CREATE INDEX policy_by_api_key ON policy (api_key_uuid);
