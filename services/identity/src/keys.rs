//! The keys that tokens are signed with.
//!
//! Ground rules:
//! 1. The keys are in the database; no instance keeps any. A sign-in reads the one to sign with together with the account.
//! 2. There is always one. Whoever finds none, or the newest too old, makes the next; the unique sequence lets one instance do so
//!    where several try.
//! 3. A new key is listed for a while before it signs, so that every gateway knows it by then. Only the very first signs at once.
//! 4. A key is listed until the last token that it can have signed has expired.

use std::sync::Arc;
use std::time::Duration;

use gyre_model::{Error, Result, Uuid, time};
use gyre_proto::identity::v1::VerificationKey;
use gyre_store::{Conn, DbError, Sql, Store, Value};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::{Config, Inner};

/// How long a new key is listed before it signs: longer than gateways believe the list that they have.
const SETTLE: i64 = 120 * 1_000_000;
/// How long a key stays listed beyond what its tokens need: for clocks that differ and sign-ins under way.
const SLACK: i64 = 3600 * 1_000_000;

/// A key to sign with.
pub(crate) struct SigningKey {
    pub id: String,
    pub pair: Ed25519KeyPair,
}

/// What was done for the keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tended {
    pub made: usize,
    pub deleted: usize,
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// Looks after the keys for as long as the service runs.
pub(crate) fn start(inner: &Arc<Inner>) {
    let inner = Arc::clone(inner);
    let tasks = inner.flow.tasks().clone();
    tasks.spawn_until_stop("signing-keys", async move {
        let mut tick = tokio::time::interval(inner.config.key_period);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // the first one is at once, and was done at the start
        tick.tick().await;
        loop {
            tick.tick().await;
            if let Err(error) = tend(&inner.store, &inner.config).await {
                tracing::warn!(%error, "cannot look after the keys of tokens");
            }
        }
    });
}

/// Makes the next key when it is time, and deletes those that no token needs any more. Doing it again changes nothing.
pub(crate) async fn tend(store: &Store, config: &Config) -> Result<Tended> {
    let (lifetime, ttl) = (micros(config.key_lifetime), micros(config.token_ttl));
    let tended = store.write("signing-keys", move |conn| keys_tend(conn, time::now_micros(), lifetime, ttl)).await?;
    if tended != Tended::default() {
        tracing::info!(made = tended.made, deleted = tended.deleted, "keys of tokens changed");
    }
    Ok(tended)
}

fn keys_tend(conn: &mut Conn, now: i64, lifetime: i64, ttl: i64) -> Result<Tended> {
    let rows = conn.query(Sql::new("SELECT sequence, create_time FROM signing_key ORDER BY sequence"))?;
    let keys = rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?))).collect::<Result<Vec<_>>>()?;
    let mut tended = Tended::default();
    for pair in keys.windows(2) {
        let (sequence, successor) = (pair[0].0, pair[1].1);
        if successor.saturating_add(SETTLE).saturating_add(ttl).saturating_add(SLACK) < now {
            tended.deleted += conn.execute(Sql::new("DELETE FROM signing_key WHERE sequence = ").bind(sequence))?;
        }
    }
    let next = match keys.last() {
        Some((_, made)) if made.saturating_add(lifetime) > now => None,
        Some((sequence, _)) => Some(sequence + 1),
        None => Some(1),
    };
    if let Some(sequence) = next {
        tended.made += usize::from(key_insert(conn, sequence, now)?);
    }
    Ok(tended)
}

/// Makes a key. Answers false where another instance made the same one first.
fn key_insert(conn: &mut Conn, sequence: i64, now: i64) -> Result<bool> {
    let broken = |_| Error::internal("cannot make a key");
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(broken)?;
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).map_err(Error::internal)?;
    let sql = Sql::new("INSERT INTO signing_key (id, sequence, private_key, public_key, create_time) VALUES (")
        .bind_all([
            Value::from(Uuid::new_v4().to_string()),
            Value::from(sequence),
            Value::from(private.as_ref().to_vec()),
            Value::from(pair.public_key().as_ref().to_vec()),
            Value::time(now),
        ])
        .sql(")");
    match conn.try_execute(sql) {
        Ok(_) => Ok(true),
        Err(DbError::Unique(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The key to sign with now: the newest that gateways know by now.
pub(crate) fn key_to_sign(conn: &mut Conn) -> Result<SigningKey> {
    let settled = Sql::new("SELECT id, private_key FROM signing_key WHERE create_time <= ")
        .bind(Value::time(time::now_micros() - SETTLE))
        .sql(" ORDER BY sequence DESC LIMIT 1");
    let row = match conn.query_one(settled)? {
        Some(row) => Some(row),
        None => conn.query_one(Sql::new("SELECT id, private_key FROM signing_key ORDER BY sequence LIMIT 1"))?,
    };
    let row = row.ok_or_else(|| Error::internal("there is no key to sign tokens with"))?;
    let pair = Ed25519KeyPair::from_pkcs8(row.bytes(1)?).map_err(Error::internal)?;
    Ok(SigningKey { id: row.text(0)?.to_owned(), pair })
}

/// Every key that a valid token may be signed with.
pub(crate) fn keys_list(conn: &mut Conn) -> Result<Vec<VerificationKey>> {
    let rows = conn.query(Sql::new("SELECT id, public_key FROM signing_key ORDER BY sequence"))?;
    rows.iter()
        .map(|row| Ok(VerificationKey { id: row.text(0)?.to_owned(), public_key: row.bytes(1)?.to_vec().into() }))
        .collect()
}
