//! What this service keeps beyond the rows of its resources: hashes of passwords and of API keys.
//!
//! | table | truth of |
//! | --- | --- |
//! | `account`, `api_key`, `policy` | the resources; read and written by [`gyre_query`], and so in the change log |
//! | `account_password` | an account's password, as its argon2id hash |
//! | `api_key_secret` | an API key, as its SHA-256 |
//! | `signing_key` | the keys of tokens ([`crate::keys`]) |
//!
//! Hot: signing in by name, an API key by its UUID, an account's standing; each is one row by a unique index.

use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::Resource as _;
use gyre_proto::identity::v1::{Account, AccountState, AccountType, Policy};
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
    let mut before: Account = gyre_query::get(conn, &Caller::system(), uuid)?;
    if before.state() == state {
        return Ok(before);
    }
    if state == AccountState::Disabled {
        keep_an_admin(conn, &before, "disabled", true)?;
        // may have changed while others held the administrators
        before = gyre_query::get(conn, &Caller::system(), uuid)?;
    }
    write_state(conn, change, &before, state)
}

fn write_state(conn: &mut Conn, change: &Change, before: &Account, state: AccountState) -> Result<Account> {
    let mut account = before.clone();
    account.set_state(state);
    gyre_query::update_from(conn, change, before, &account)
}

/// Whether an account is there and enabled.
pub(crate) fn account_enabled(conn: &mut Conn, uuid: Uuid) -> Result<bool> {
    Ok(gyre_query::find::<Account>(conn, &Caller::system(), uuid)?
        .is_some_and(|account| account.state() == AccountState::Enabled))
}

/// Disables an account that is about to be deleted. One that is disabled or gone is fine.
///
/// # Errors
/// `LAST_ADMIN`.
pub(crate) fn account_close(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    let Some(account) = gyre_query::find::<Account>(conn, &Caller::system(), uuid)? else { return Ok(()) };
    if account.state() == AccountState::Enabled {
        keep_an_admin(conn, &account, "deleted", true)?;
        // may have changed while others held the administrators
        let account: Account = gyre_query::get(conn, &Caller::system(), uuid)?;
        write_state(conn, change, &account, AccountState::Disabled)?;
    }
    Ok(())
}

/// Enables an account again that was disabled to be deleted.
pub(crate) fn account_reopen(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    let found: Option<Account> = gyre_query::find(conn, &Caller::system(), uuid)?;
    if let Some(account) = found.filter(|account| account.state() == AccountState::Disabled) {
        write_state(conn, change, &account, AccountState::Enabled)?;
    }
    Ok(())
}

/// Refuses to delete the last administrator.
pub(crate) fn account_deletable(conn: &mut Conn, account: &Account) -> Result<()> {
    keep_an_admin(conn, account, "deleted", false)
}

/// Deletes an account that owns nothing any more, with its password and its API keys. One that is gone is fine.
pub(crate) fn account_delete(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    gyre_flow::delete::remove(conn, change, Account::KIND, uuid).map(drop)
}

/// Refuses what would leave nobody to administer the cloud.
fn keep_an_admin(conn: &mut Conn, account: &Account, what: &str, hold: bool) -> Result<()> {
    if account.r#type() != AccountType::Admin || account.state() != AccountState::Enabled {
        return Ok(());
    }
    let mut sql = Sql::new("SELECT uuid FROM account WHERE type = ").bind(ADMIN).sql(" AND state = ").bind(ENABLED);
    sql.push(" ORDER BY uuid");
    if hold && conn.dialect() == Dialect::Postgres {
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

/// Whom a policy binds: a key of an account, or the account.
fn subject(account: Uuid, key: Option<Uuid>) -> Sql {
    let sql = Sql::new("subject_uuid = ").bind(account);
    match key {
        Some(key) => sql.sql(" AND api_key_uuid = ").bind(key),
        None => sql.sql(" AND api_key_uuid IS NULL"),
    }
}

/// The policies that bind an account, or are about one of its keys, as gateways go by them.
pub(crate) fn policies(conn: &mut Conn, account: Uuid, key: Option<Uuid>) -> Result<Vec<Policy>> {
    let mut policies: Vec<Policy> = gyre_query::select(conn, subject(account, key))?;
    for policy in &mut policies {
        policy.description.clear();
        policy.tags.clear();
    }
    Ok(policies)
}

/// How many policies bind an account, or one of its keys: the account's own, or those of others.
pub(crate) fn policies_on(conn: &mut Conn, account: Uuid, key: Option<Uuid>, own: bool) -> Result<usize> {
    let whose = if own { " AND account_uuid = " } else { " AND account_uuid <> " };
    count(conn, Sql::new("SELECT COUNT(*) FROM policy WHERE ").append(subject(account, key)).sql(whose).bind(account))
}

/// How many policies an account owns.
pub(crate) fn policies_of(conn: &mut Conn, owner: Uuid) -> Result<usize> {
    count(conn, Sql::new("SELECT COUNT(*) FROM policy WHERE account_uuid = ").bind(owner))
}

fn count(conn: &mut Conn, sql: Sql) -> Result<usize> {
    let count = conn.query_one(sql)?.map_or(Ok(0), |row| row.int(0))?;
    usize::try_from(count).map_err(Error::internal)
}

/// Keeps the hash of an API key.
pub(crate) fn key_secret_insert(conn: &mut Conn, key: Uuid, hash: Vec<u8>) -> Result<()> {
    let sql = Sql::new("INSERT INTO api_key_secret (api_key_uuid, hash) VALUES (");
    conn.execute(sql.bind_all([Value::from(key), Value::from(hash)]).sql(")"))?;
    Ok(())
}
