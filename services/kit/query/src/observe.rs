//! Observers before the fact: functions that run inside the transaction of every change of a kind, and may refuse it.
//!
//! They are registered once in a process, each with a name and an order; one of the same name takes the place of the one before. Of
//! one kind they run in their order, and by name where that is the same. The first error ends the change, and with it the
//! transaction. They are on the way of every write: they must be quick, and call nobody.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use gyre_model::{Result, Uuid};
use gyre_store::Conn;

use crate::write::Change;

/// A change that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Coming<'a> {
    /// The kind.
    pub kind: &'static str,
    /// The resource.
    pub uuid: Uuid,
    /// The resource before, as its message's wire bytes; nothing for what is new.
    pub before: Option<&'a [u8]>,
    /// The resource after; nothing for what is deleted.
    pub after: Option<&'a [u8]>,
}

type Observe = Arc<dyn Fn(&mut Conn, &Change, Coming<'_>) -> Result<()> + Send + Sync>;

struct Known {
    kind: &'static str,
    order: i32,
    name: &'static str,
    observe: Observe,
}

static KNOWN: LazyLock<RwLock<Vec<Known>>> = LazyLock::new(RwLock::default);

/// Registers an observer of a kind. Lower orders run first.
pub fn before(
    kind: &'static str,
    order: i32,
    name: &'static str,
    observe: impl Fn(&mut Conn, &Change, Coming<'_>) -> Result<()> + Send + Sync + 'static,
) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    known.retain(|known| (known.kind, known.name) != (kind, name));
    known.push(Known { kind, order, name, observe: Arc::new(observe) });
    known.sort_by_key(|known| (known.kind, known.order, known.name));
}

/// Asks all that observe a kind.
///
/// # Errors
/// The first that refuses.
pub(crate) fn ask(conn: &mut Conn, change: &Change, coming: Coming<'_>) -> Result<()> {
    // not held while they run: one may change something itself
    let all: Vec<Observe> = {
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|known| known.kind == coming.kind).map(|known| Arc::clone(&known.observe)).collect()
    };
    all.iter().try_for_each(|observe| observe(conn, change, coming))
}
