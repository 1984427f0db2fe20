//! The same wish twice is one wish: calls that change something carry a `request_id`, and the same id again from the same account
//! answers what the first call did. Kept for 24 hours, in the commit of what the call did.

use gyre_model::{Caller, Error, Kind, Result, Uuid, time};
use gyre_proto::{Message, Named};
use gyre_query::Change;
use gyre_store::{Conn, Sql, Store, Type, Value};

use crate::fence;

/// How long an id is remembered, in microseconds.
pub(crate) const REMEMBERED: i64 = 24 * 3600 * 1_000_000;

/// What a call with this id did before.
pub(crate) enum Before {
    /// Nothing: it is new.
    New,
    /// It asked for an operation.
    Operation(Uuid),
    /// It was answered at once.
    Response(Vec<u8>),
}

/// A wish with its id.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub account: Uuid,
    pub request_id: String,
    pub method: &'static str,
    /// What else the first call may have noted as its method.
    pub alias: Option<&'static str>,
    pub body: i64,
}

impl Wish {
    pub fn new<M: Message>(caller: &Caller, method: &'static str, request_id: &str, body: &M) -> Self {
        Self {
            account: caller.account_uuid,
            request_id: request_id.to_owned(),
            method,
            alias: None,
            body: xxhash(&body.encode_to_vec()),
        }
    }

    /// What a call with this id did before.
    pub fn look_up(&self, conn: &mut Conn) -> Result<Before> {
        if self.request_id.is_empty() {
            return Ok(Before::New);
        }
        let sql =
            Sql::new("SELECT method, body_hash, operation_uuid, response, time FROM request WHERE account_uuid = ")
                .bind(self.account)
                .sql(" AND request_id = ")
                .bind(self.request_id.as_str());
        let Some(row) = conn.query_one(sql)? else { return Ok(Before::New) };
        if row.int(4)? + REMEMBERED < time::now_micros() {
            let sql = Sql::new("DELETE FROM request WHERE account_uuid = ").bind(self.account);
            conn.execute(sql.sql(" AND request_id = ").bind(self.request_id.as_str()))?;
            return Ok(Before::New);
        }
        let method = row.text(0)?;
        if (method != self.method && Some(method) != self.alias) || row.int(1)? != self.body {
            return Err(Error::new(
                Kind::AlreadyExists,
                "REQUEST_ID_REUSED",
                format!("request id {:?} was used for another call: choose a new one for each wish", self.request_id),
            )
            .violation("request_id", "must be new for a new wish"));
        }
        match row.opt_id(2)? {
            Some(operation) => Ok(Before::Operation(operation)),
            None => Ok(Before::Response(row.bytes(3)?.to_vec())),
        }
    }

    /// Takes the id for an operation that is about to be written; answers what a call with this id did before. One statement where it
    /// is new, as it mostly is. Where the same call is beside this one, the database waits for that.
    pub fn claim(&self, conn: &mut Conn, operation: Uuid) -> Result<Before> {
        if self.request_id.is_empty()
            || conn.execute(self.row(Some(operation), None).sql(" ON CONFLICT DO NOTHING"))? == 1
        {
            return Ok(Before::New);
        }
        let before = self.look_up(conn)?;
        if matches!(before, Before::New) {
            // the first one is forgotten by now
            conn.execute(self.row(Some(operation), None))?;
        }
        Ok(before)
    }

    /// Remembers what the call did.
    pub fn remember(&self, conn: &mut Conn, response: Vec<u8>) -> Result<()> {
        if !self.request_id.is_empty() {
            conn.execute(self.row(None, Some(response)))?;
        }
        Ok(())
    }

    fn row(&self, operation: Option<Uuid>, response: Option<Vec<u8>>) -> Sql {
        Sql::new(
            "INSERT INTO request (account_uuid, request_id, method, body_hash, operation_uuid, response, time) VALUES (",
        )
        .bind_all([
            Value::from(self.account),
            Value::from(self.request_id.as_str()),
            Value::from(self.method),
            Value::Int(self.body),
            Value::or_null(operation, Type::Id),
            Value::or_null(response, Type::Bytes),
            Value::time(time::now_micros()),
        ])
        .sql(")")
    }
}

fn xxhash(bytes: &[u8]) -> i64 {
    xxhash_rust::xxh3::xxh3_64(bytes) as i64
}

/// Runs a call that only writes rows, once for each request id: in one transaction, with the answer remembered. The transaction is
/// run again where another was in its way, so the closure may run more than once; what it wrote before is undone then.
///
/// # Errors
/// What the closure answers; `REQUEST_ID_REUSED` for an id that was used for another call.
pub async fn once<Q, R, F>(
    store: &Store,
    caller: Caller,
    method: &'static str,
    request_id: &str,
    request: &Q,
    run: F,
) -> Result<R>
where
    Q: Message,
    R: Named + 'static,
    F: FnOnce(&mut Conn, &Change) -> Result<R> + Clone + Send + Sync + 'static,
{
    once_new(store, caller, method, request_id, request, run).await.map(|(answer, _)| answer)
}

/// The same, and whether this very call did it: what is told once, such as a secret, is known to nobody else. That a closure ran does
/// not say so, since what it did may have been undone.
///
/// # Errors
/// As [`once`].
pub async fn once_new<Q, R, F>(
    store: &Store,
    caller: Caller,
    method: &'static str,
    request_id: &str,
    request: &Q,
    run: F,
) -> Result<(R, bool)>
where
    Q: Message,
    R: Named + 'static,
    F: FnOnce(&mut Conn, &Change) -> Result<R> + Clone + Send + Sync + 'static,
{
    let wish = Wish::new(&caller, method, request_id, request);
    let again = wish.clone();
    let outcome = store
        .write_again(method, move |conn| match wish.look_up(conn)? {
            Before::Response(bytes) => Ok((R::decode(bytes.as_slice()).map_err(Error::internal)?, false)),
            Before::Operation(_) => Err(Error::internal("a call that writes rows answered an operation before")),
            Before::New => {
                fence::check(conn, &caller)?;
                let response = run.clone()(conn, &Change::by(caller))?;
                wish.remember(conn, response.encode_to_vec())?;
                Ok((response, true))
            }
        })
        .await;
    match outcome {
        // the same call beside this one was first, and has committed by now
        Err(error) if error.kind() == Kind::AlreadyExists => {
            let before = store.write_again(method, move |conn| match again.look_up(conn)? {
                Before::Response(bytes) => R::decode(bytes.as_slice()).map(Some).map_err(Error::internal),
                Before::New | Before::Operation(_) => Ok(None),
            });
            before.await?.map(|answer| (answer, false)).ok_or(error)
        }
        outcome => outcome,
    }
}
