//! What this service keeps beyond the rows of its resources: hashes of passwords and of API keys, and who owns what.
//!
//! | table | truth of |
//! | --- | --- |
//! | `account`, `api_key` | the resources; read and written by [`gyre_query`], and so in the change log |
//! | `account_password` | an account's password, as its argon2id hash |
//! | `api_key_secret` | an API key, as its SHA-256 |
//! | `signing_key` | the keys of tokens ([`crate::keys`]) |
//!
//! Hot: signing in by name, an API key by its UUID, an account's standing; each is one row by a unique index.

use std::collections::BTreeMap;

use gyre_model::catalog::OnDelete;
use gyre_model::{Caller, Error, Kind, Result, Uuid, catalog};
use gyre_proto::identity::v1::{Account, AccountState, AccountType};
use gyre_query::Change;
use gyre_store::{Conn, Dialect, Sql, Value};

/// Who an account is, as far as signing in asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub account: Uuid,
    pub admin: bool,
    pub enabled: bool,
}

const ENABLED: &str = "ENABLED";
const ADMIN: &str = "ADMIN";

/// An account's standing and the hash of its password, by its name.
pub(crate) fn sign_in_find(conn: &mut Conn, name: &str) -> Result<Option<(Standing, String)>> {
    let sql = Sql::new(
        "SELECT account.uuid, account.type, account.state, account_password.hash FROM account \
         JOIN account_password ON account_password.account_uuid = account.uuid WHERE account.name = ",
    );
    let Some(row) = conn.query_one(sql.bind(name))? else { return Ok(None) };
    let standing = Standing { account: row.id(0)?, admin: row.text(1)? == ADMIN, enabled: row.text(2)? == ENABLED };
    Ok(Some((standing, row.text(3)?.to_owned())))
}

/// An account's standing.
pub(crate) fn standing_find(conn: &mut Conn, account: Uuid) -> Result<Option<Standing>> {
    let sql = Sql::new("SELECT type, state FROM account WHERE uuid = ").bind(account);
    let Some(row) = conn.query_one(sql)? else { return Ok(None) };
    Ok(Some(Standing { account, admin: row.text(0)? == ADMIN, enabled: row.text(1)? == ENABLED }))
}

/// Whether there is any account.
pub(crate) fn account_any(conn: &mut Conn) -> Result<bool> {
    Ok(conn.query_one(Sql::new("SELECT 1 FROM account LIMIT 1"))?.is_some())
}

/// Writes a new account with the hash of its password.
pub(crate) fn account_insert(conn: &mut Conn, change: &Change, account: &Account, hash: &str) -> Result<Account> {
    let stored = gyre_query::insert(conn, change, account).map_err(|error| {
        // the column's name on SQLite, the index's on PostgreSQL
        match error.metadata().get("constraint").map(String::as_str) {
            Some("account.name" | "account_name") => name_taken(&account.name),
            _ => error,
        }
    })?;
    let uuid = gyre_model::parse_uuid(&stored.uuid).ok_or_else(|| Error::internal("an account without a UUID"))?;
    let sql = Sql::new("INSERT INTO account_password (account_uuid, hash) VALUES (");
    conn.execute(sql.bind_all([Value::from(uuid), Value::from(hash)]).sql(")"))?;
    Ok(stored)
}

fn name_taken(name: &str) -> Error {
    Error::new(
        Kind::AlreadyExists,
        "ACCOUNT_NAME_TAKEN",
        format!("there is already an account {name:?}: choose another name"),
    )
    .violation("account.name", format!("must be unique, {name:?} is taken"))
}

/// Puts another password in the place of an account's.
pub(crate) fn password_set(conn: &mut Conn, account: Uuid, hash: &str) -> Result<()> {
    let sql = Sql::new("INSERT INTO account_password (account_uuid, hash) VALUES (")
        .bind_all([Value::from(account), Value::from(hash)])
        .sql(") ON CONFLICT (account_uuid) DO UPDATE SET hash = excluded.hash");
    conn.execute(sql)?;
    Ok(())
}

/// Moves an account into a state. One that is in it already stays as it is.
pub(crate) fn account_set_state(conn: &mut Conn, change: &Change, uuid: Uuid, state: AccountState) -> Result<Account> {
    let mut account: Account = gyre_query::get(conn, &Caller::system(), uuid)?;
    if account.state() == state {
        return Ok(account);
    }
    if state == AccountState::Disabled {
        keep_an_admin(conn, &account, "disabled")?;
        // may have changed while others held the administrators
        account = gyre_query::get(conn, &Caller::system(), uuid)?;
    }
    account.set_state(state);
    gyre_query::update(conn, change, &account)
}

/// Deletes an account that owns nothing, with its password.
pub(crate) fn account_delete(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    let account: Account = gyre_query::get(conn, &Caller::system(), uuid)?;
    let owned = owned_count(conn, uuid)?;
    if !owned.is_empty() {
        let text: Vec<_> = owned.iter().map(|(kind, count)| format!("{count} of kind {kind}")).collect();
        let error = Error::new(
            Kind::FailedPrecondition,
            "ACCOUNT_OWNS_RESOURCES",
            format!("account {uuid} ({}) owns {}: delete them first", account.name, text.join(", ")),
        );
        return Err(owned.into_iter().fold(error, |error, (kind, count)| error.with(kind, count.to_string())));
    }
    keep_an_admin(conn, &account, "deleted")?;
    if !gyre_query::delete::<Account>(conn, change, uuid)? {
        return Err(Error::not_found("account", uuid));
    }
    Ok(())
}

/// How much an account owns, by kind: whatever the .proto files say that deleting an account must not take along.
fn owned_count(conn: &mut Conn, account: Uuid) -> Result<BTreeMap<&'static str, i64>> {
    let mut owned = BTreeMap::new();
    for kind in catalog().kinds() {
        let field = catalog().message(kind.message).and_then(|message| message.field("account_uuid"));
        let restricts = field.is_some_and(|field| {
            field.rule.refers_to == "account"
                && matches!(field.rule.on_delete(), OnDelete::Restrict | OnDelete::Unspecified)
        });
        if restricts {
            let sql = Sql::new(format!("SELECT COUNT(*) FROM {} WHERE account_uuid = ", kind.table)).bind(account);
            let count = conn.query_one(sql)?.map_or(Ok(0), |row| row.int(0))?;
            if count > 0 {
                owned.insert(kind.kind, count);
            }
        }
    }
    Ok(owned)
}

/// Refuses what would leave nobody to administer the cloud.
fn keep_an_admin(conn: &mut Conn, account: &Account, what: &str) -> Result<()> {
    if account.r#type() != AccountType::Admin || account.state() != AccountState::Enabled {
        return Ok(());
    }
    let mut sql = Sql::new("SELECT uuid FROM account WHERE type = ").bind(ADMIN).sql(" AND state = ").bind(ENABLED);
    sql.push(" ORDER BY uuid");
    if conn.dialect() == Dialect::Postgres {
        // Two that each take the other for the one that stays would leave none. SQLite has one writer.
        sql.push(" FOR UPDATE");
    }
    let admins = conn.query(sql)?.iter().map(|row| row.id(0)).collect::<Result<Vec<_>>>()?;
    if admins.iter().any(|admin| admin.to_string() != account.uuid) {
        return Ok(());
    }
    Err(Error::new(
        Kind::FailedPrecondition,
        "LAST_ADMIN",
        format!(
            "account {} ({}) is the last administrator who may sign in, and cannot be {what}: make or enable another first",
            account.uuid, account.name
        ),
    ))
}

/// What is kept of an API key, and whose it is.
pub(crate) struct KnownKey {
    pub hash: Vec<u8>,
    pub expires: Option<i64>,
    pub standing: Standing,
}

/// What is kept of an API key, by its UUID.
pub(crate) fn key_find(conn: &mut Conn, uuid: Uuid) -> Result<Option<KnownKey>> {
    let sql = Sql::new(
        "SELECT api_key_secret.hash, api_key.expire_time, account.uuid, account.type, account.state FROM api_key \
         JOIN api_key_secret ON api_key_secret.api_key_uuid = api_key.uuid \
         JOIN account ON account.uuid = api_key.account_uuid WHERE api_key.uuid = ",
    );
    let Some(row) = conn.query_one(sql.bind(uuid))? else { return Ok(None) };
    Ok(Some(KnownKey {
        hash: row.bytes(0)?.to_vec(),
        expires: row.opt_int(1)?,
        standing: Standing { account: row.id(2)?, admin: row.text(3)? == ADMIN, enabled: row.text(4)? == ENABLED },
    }))
}

/// Keeps the hash of an API key.
pub(crate) fn key_secret_insert(conn: &mut Conn, key: Uuid, hash: Vec<u8>) -> Result<()> {
    let sql = Sql::new("INSERT INTO api_key_secret (api_key_uuid, hash) VALUES (");
    conn.execute(sql.bind_all([Value::from(key), Value::from(hash)]).sql(")"))?;
    Ok(())
}
