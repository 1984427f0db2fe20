CREATE TABLE account (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    type TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX account_name ON account (name);

CREATE TABLE api_key (
    uuid BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    account_uuid BLOB REFERENCES account (uuid),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    expire_time INTEGER
) STRICT;
CREATE INDEX api_key_by_account ON api_key (account_uuid, create_time, uuid);

-- Password hashes (argon2id, PHC strings).
CREATE TABLE account_password (
    account_uuid BLOB NOT NULL PRIMARY KEY REFERENCES account (uuid) ON DELETE CASCADE,
    hash TEXT NOT NULL
) STRICT;

-- API keys are kept as the SHA-256 of their secret.
CREATE TABLE api_key_secret (
    api_key_uuid BLOB NOT NULL PRIMARY KEY REFERENCES api_key (uuid) ON DELETE CASCADE,
    hash BLOB NOT NULL
) STRICT;

-- Keys that tokens are signed with (Ed25519, PKCS #8). The sequence lets one of several instances make the next.
CREATE TABLE signing_key (
    id TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL UNIQUE,
    private_key BLOB NOT NULL,
    public_key BLOB NOT NULL,
    create_time INTEGER NOT NULL
) STRICT;
