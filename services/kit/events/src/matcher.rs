//! Which rows of the log concern whoever watches, decided in memory: the caller's scope and the filter on a resource's own
//! attributes. It agrees with what the database says of the same row (`tests/agree.rs`).

use gyre_model::catalog::Scope;
use gyre_model::{Caller, Uuid};
use gyre_proto::Bytes;
use gyre_query::filter::Predicate;
use gyre_query::table::Table;
use gyre_store::Value;

use crate::row::Image;

/// What a watcher of one kind wants to know of.
#[derive(Debug)]
pub struct Matcher {
    caller: Caller,
    scope: Scope,
    account: Option<usize>,
    shared: Option<usize>,
    uuid: usize,
    filter: Option<Predicate>,
}

impl Matcher {
    /// For a caller, with a filter or none.
    pub fn new(table: &Table, caller: Caller, filter: Option<Predicate>) -> Self {
        Self {
            caller,
            scope: table.scope(),
            account: table.account(),
            shared: table.column("shared").map(|(at, _)| at),
            uuid: table.column("uuid").map_or(0, |(at, _)| at),
            filter,
        }
    }

    /// Whether a resource as it was then is for the caller to see.
    pub fn sees(&self, image: &Image) -> bool {
        if self.caller.admin {
            return true;
        }
        let account = Value::from(self.caller.account_uuid);
        match self.scope {
            Scope::Global => true,
            Scope::Admin => false,
            Scope::Account | Scope::Unspecified => {
                let owner = self.account.unwrap_or(self.uuid);
                image.values.get(owner) == Some(&account) || self.shared.is_some_and(|at| is_true(image, at))
            }
        }
    }

    /// Whether a resource as it was then is in the list.
    pub fn has(&self, image: &Image) -> bool {
        self.sees(image) && self.filter.as_ref().is_none_or(|filter| filter.holds(&image.values))
    }

    /// A resource's message as the caller sees it.
    pub fn shown(&self, table: &Table, message: &Bytes) -> Bytes {
        table.seen(message, self.caller.admin).map_or_else(|| message.clone(), Bytes::from)
    }

    /// The account whose rows are all that can concern it; nothing where others can, too.
    pub fn account(&self) -> Option<Uuid> {
        let one = !self.caller.admin && self.scope != Scope::Global;
        one.then_some(self.caller.account_uuid)
    }
}

/// Whether everybody sees a resource.
pub(crate) fn is_shared(table: &Table, image: &Image) -> bool {
    table.column("shared").is_some_and(|(at, _)| is_true(image, at))
}

fn is_true(image: &Image, at: usize) -> bool {
    image.values.get(at) == Some(&Value::Bool(true))
}
