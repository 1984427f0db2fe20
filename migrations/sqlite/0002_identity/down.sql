DROP TABLE signing_key;
DROP TABLE api_key_secret;
DROP TABLE account_password;
DROP TABLE api_key;
DROP TABLE account;
