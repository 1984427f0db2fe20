CREATE TABLE account (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX account_name ON account (name);

CREATE TABLE api_key (
    uuid uuid NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    account_uuid uuid REFERENCES account (uuid),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    generation bigint NOT NULL,
    expire_time timestamptz
);
CREATE INDEX api_key_by_account ON api_key (account_uuid, create_time, uuid);

-- Password hashes (argon2id, PHC strings).
CREATE TABLE account_password (
    account_uuid uuid NOT NULL PRIMARY KEY REFERENCES account (uuid) ON DELETE CASCADE,
    hash text COLLATE "C" NOT NULL
);

-- API keys are kept as the SHA-256 of their secret.
CREATE TABLE api_key_secret (
    api_key_uuid uuid NOT NULL PRIMARY KEY REFERENCES api_key (uuid) ON DELETE CASCADE,
    hash bytea NOT NULL
);

-- Keys that tokens are signed with (Ed25519, PKCS #8). The sequence lets one of several instances make the next.
CREATE TABLE signing_key (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    sequence bigint NOT NULL UNIQUE,
    private_key bytea NOT NULL,
    public_key bytea NOT NULL,
    create_time timestamptz NOT NULL
);
