//! The log of changes: one row for each change, each operation that begins or ends, and each call that was refused, written in the
//! transaction of what it tells of. It is the kind `change` to readers.

use gyre_model::catalog::{Scope, catalog};
use gyre_model::id::ordered_uuid;
use gyre_model::{Caller, Result, Uuid, time};
use gyre_store::{Conn, Sql, Type, Value};

use crate::table::by_kind;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A resource was made.
    Create,
    /// A resource was changed.
    Update,
    /// A resource was deleted.
    Delete,
    /// An operation was accepted.
    Begin,
    /// An operation ended or came to rest.
    End,
    /// A call was refused.
    Call,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Begin => "BEGIN",
            Self::End => "END",
            Self::Call => "CALL",
        }
    }
}

/// Whose a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// This account's; nobody's where there is none.
    Is(Option<Uuid>),
    /// That of the resource's owner, as it is in this transaction; where the resource is gone, whoever owned it when the operation
    /// began, or else this account.
    Owner(Option<Uuid>),
}

/// A row that is about to be written.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The kind of the resource.
    pub kind: &'a str,
    /// The resource, where it has a UUID.
    pub resource: Option<Uuid>,
    /// The account that sees it.
    pub account: Account,
    /// Who asked.
    pub caller: Caller,
    /// The operation that it is part of.
    pub operation: Option<Uuid>,
    /// What happened.
    pub action: Action,
    /// The short name of a `ChangeOutcome`.
    pub outcome: &'a str,
    /// Why it was refused or failed.
    pub reason: &'a str,
    /// The resource before, as JSON.
    pub before: Option<Value>,
    /// The resource after, as JSON.
    pub after: Option<Value>,
}

impl<'a> Entry<'a> {
    /// A row about a resource, without images of it.
    pub fn new(caller: Caller, action: Action, kind: &'a str, resource: Option<Uuid>) -> Self {
        Self {
            kind,
            resource,
            account: Account::Is(None),
            caller,
            operation: None,
            action,
            outcome: "DONE",
            reason: "",
            before: None,
            after: None,
        }
    }
}

/// Where the call came from, as the columns have it.
struct Call<'a> {
    client: String,
    agent: &'a str,
    method: &'a str,
    request_id: &'a str,
}

/// Appends a row.
///
/// # Errors
/// The database's.
pub fn append(conn: &mut Conn, entry: Entry<'_>) -> Result<()> {
    let origin = conn.origin().cloned();
    let from = match origin.as_deref() {
        Some(origin) => Call {
            client: origin.address(),
            agent: &origin.user_agent,
            method: origin.action,
            request_id: &origin.request_id,
        },
        None => Call { client: String::new(), agent: "", method: "", request_id: "" },
    };
    write(conn, entry, from, time::now_micros())
}

/// Appends a call that was refused elsewhere, at a time of its own.
///
/// # Errors
/// The database's.
pub fn append_refusal(conn: &mut Conn, entry: Entry<'_>, origin: &gyre_model::Origin, time: i64) -> Result<()> {
    let from = Call {
        client: origin.address(),
        agent: &origin.user_agent,
        method: origin.action,
        request_id: &origin.request_id,
    };
    write(conn, entry, from, time)
}

/// The account of a row, in SQL: found by the statement that writes the row, so that it costs no other.
fn account(entry: &Entry<'_>) -> Sql {
    let (known, owner) = match entry.account {
        Account::Is(account) => (account, false),
        Account::Owner(account) => (account, true),
    };
    let known = Value::or_null(known, Type::Id);
    let Some((kind, resource)) = catalog().kind(entry.kind).zip(entry.resource).filter(|_| owner) else {
        return Sql::default().bind(known);
    };
    match (kind.scope, by_kind(kind.kind).account()) {
        (Scope::Account | Scope::Unspecified, Some(_)) => {
            Sql::new(format!("COALESCE((SELECT account_uuid FROM {} WHERE uuid = ", kind.table))
                .bind(resource)
                .sql("), (SELECT account_uuid FROM change_log WHERE resource_uuid = ")
                .bind(resource)
                .sql(" AND action = 'BEGIN' AND operation_uuid = ")
                .bind(Value::or_null(entry.operation, Type::Id))
                .sql(" ORDER BY position LIMIT 1), ")
                .bind(known)
                .sql(")")
        }
        // an account is its own
        (Scope::Account | Scope::Unspecified, None) => Sql::default().bind(resource),
        (Scope::Global | Scope::Admin, _) => Sql::default().bind(Value::Null(Type::Id)),
    }
}

fn write(conn: &mut Conn, entry: Entry<'_>, from: Call<'_>, time: i64) -> Result<()> {
    // Gyre asks itself for changes, and is refused nothing: that is a stranger
    let stranger = entry.action == Action::Call && entry.caller.account_uuid.is_nil();
    let actor = (!stranger).then_some(entry.caller.account_uuid);
    let sql = Sql::new(
        "INSERT INTO change_log (uuid, account_uuid, time, kind, resource_uuid, action, actor_uuid, api_key_uuid, \
         client_address, user_agent, method, request_id, operation_uuid, outcome, reason, before, after) VALUES (",
    )
    .bind(ordered_uuid())
    .sql(", ")
    .append(account(&entry))
    .sql(", ")
    .bind_all([
        Value::time(time),
        Value::from(entry.kind),
        Value::or_null(entry.resource, Type::Id),
        Value::from(entry.action.name()),
        Value::or_null(actor, Type::Id),
        Value::or_null(entry.caller.api_key_uuid, Type::Id),
        Value::from(from.client),
        Value::from(from.agent),
        Value::from(from.method),
        Value::from(from.request_id),
        Value::or_null(entry.operation, Type::Id),
        Value::from(entry.outcome),
        Value::from(entry.reason),
        entry.before.unwrap_or(Value::Null(Type::Json)),
        entry.after.unwrap_or(Value::Null(Type::Json)),
    ])
    .sql(")");
    conn.execute(sql)?;
    conn.logged();
    Ok(())
}
