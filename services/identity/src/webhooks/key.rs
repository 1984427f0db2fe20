//! The keys of webhooks. They stand beside the webhook, where no list, filter or change log reaches.

use gyre_flow::letters::sign::CHANGE_OVER;
use gyre_model::{Error, Result, Uuid, time};
use gyre_store::{Conn, Row, Sql, Value};

/// What a webhook signs with.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    secret: Vec<u8>,
    previous: Option<(Vec<u8>, i64)>,
}

/// The columns that [`Keys::read`] reads.
pub(super) const COLUMNS: &str = "secret, previous_secret, previous_expire_time";

impl Keys {
    /// Reads them from the columns that begin here.
    pub fn read(row: &Row, at: usize) -> Result<Self> {
        let previous = match row.opt_int(at + 2)? {
            Some(until) => Some((row.bytes(at + 1)?.to_vec(), until)),
            None => None,
        };
        Ok(Self { secret: row.bytes(at)?.to_vec(), previous })
    }

    /// Those that sign now.
    pub fn valid(&self) -> impl Iterator<Item = &[u8]> {
        let now = time::now_micros();
        let previous = self.previous.as_ref().filter(|(_, until)| *until > now);
        [self.secret.as_slice()].into_iter().chain(previous.map(|(secret, _)| secret.as_slice()))
    }
}

/// The keys of a webhook.
pub(crate) fn find(conn: &mut Conn, webhook: Uuid) -> Result<Keys> {
    let sql = Sql::new(format!("SELECT {COLUMNS} FROM webhook_work WHERE webhook_uuid = ")).bind(webhook);
    let row = conn.query_one(sql)?.ok_or_else(|| Error::not_found("webhook", webhook))?;
    Keys::read(&row, 0)
}

/// Puts a new key in the place of a webhook's; for a day the one before signs too.
pub(crate) fn rotate(conn: &mut Conn, webhook: Uuid, secret: Vec<u8>) -> Result<()> {
    let sql = Sql::new("UPDATE webhook_work SET previous_secret = secret, previous_expire_time = ")
        .bind(Value::time(time::now_micros() + CHANGE_OVER))
        .sql(", secret = ")
        .bind(Value::Bytes(secret))
        .sql(" WHERE webhook_uuid = ")
        .bind(webhook);
    conn.execute(sql)?;
    Ok(())
}
