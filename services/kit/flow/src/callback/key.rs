//! The keys of accounts that callbacks are signed with: made on first need, replaced at their account's wish. For a day after that
//! the key before signs too, so that receivers can change over.

use gyre_model::{Error, Result, Uuid, time};
use gyre_proto::common::v1::CallbackKey;
use gyre_store::{Conn, Sql, Value};

use crate::letters::sign::{CHANGE_OVER, random, shown};

/// An account's key.
pub(super) struct Key {
    account: Uuid,
    secret: Vec<u8>,
    create_time: i64,
    previous: Option<(Vec<u8>, i64)>,
}

impl Key {
    /// What signs now.
    pub fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        let previous = self.valid_previous().map(|(secret, _)| secret);
        [self.secret.as_slice()].into_iter().chain(previous)
    }

    fn valid_previous(&self) -> Option<(&[u8], i64)> {
        let (secret, until) = self.previous.as_ref()?;
        (*until > time::now_micros()).then_some((secret.as_slice(), *until))
    }

    /// As its account sees it.
    pub fn message(&self) -> CallbackKey {
        let previous = self.valid_previous();
        CallbackKey {
            account_uuid: self.account.to_string(),
            secret: shown(&self.secret),
            create_time: Some(time::from_micros(self.create_time)),
            previous_secret: previous.map(|(secret, _)| shown(secret)).unwrap_or_default(),
            previous_expire_time: previous.map(|(_, until)| time::from_micros(until)),
        }
    }
}

/// The key of an account, where it has one.
pub(super) fn find(conn: &mut Conn, account: Uuid) -> Result<Option<Key>> {
    let sql = Sql::new(
        "SELECT secret, create_time, previous_secret, previous_expire_time FROM callback_key WHERE account_uuid = ",
    );
    let Some(row) = conn.query_one(sql.bind(account))? else { return Ok(None) };
    let previous = match row.opt_int(3)? {
        Some(until) => Some((row.bytes(2)?.to_vec(), until)),
        None => None,
    };
    Ok(Some(Key { account, secret: row.bytes(0)?.to_vec(), create_time: row.int(1)?, previous }))
}

/// The key of an account; makes it where it has none.
pub(super) fn find_or_make(conn: &mut Conn, account: Uuid) -> Result<Key> {
    if let Some(key) = find(conn, account)? {
        return Ok(key);
    }
    let sql = Sql::new("INSERT INTO callback_key (account_uuid, secret, create_time) VALUES (")
        .bind_all([Value::from(account), Value::Bytes(random()?), Value::time(time::now_micros())])
        .sql(") ON CONFLICT (account_uuid) DO NOTHING");
    conn.execute(sql)?;
    find(conn, account)?.ok_or_else(|| Error::internal(format!("account {account} has no key for callbacks")))
}

/// Replaces the key of an account.
pub(super) fn rotate(conn: &mut Conn, account: Uuid) -> Result<()> {
    let before = find_or_make(conn, account)?;
    let now = time::now_micros();
    let sql = Sql::new("UPDATE callback_key SET secret = ")
        .bind(Value::Bytes(random()?))
        .sql(", create_time = ")
        .bind(Value::time(now))
        .sql(", previous_secret = ")
        .bind(Value::Bytes(before.secret.clone()))
        .sql(", previous_expire_time = ")
        .bind(Value::time(now + CHANGE_OVER))
        .sql(" WHERE account_uuid = ")
        .bind(account)
        // two that rotate at once must not lose a key that somebody was told of
        .sql(" AND secret = ")
        .bind(Value::Bytes(before.secret));
    if conn.execute(sql)? == 0 {
        return Err(Error::new(
            gyre_model::Kind::Aborted,
            "KEY_CHANGED",
            "the key was replaced by another call at the same time; read it, and try again if it should change once more",
        ));
    }
    Ok(())
}
