//! Calls that were refused, on their way into the log of changes. Whoever is refused does not wait for it, and a flood of
//! refusals costs the database little: at most [`WAITING`] wait, [`A_SECOND`] are written in a second, and the rest is counted
//! and left out.

use std::time::Duration;

use gyre_mesh::Mesh;
use gyre_mesh::refused::RefusedCall;
use gyre_mesh::tasks::Tasks;
use gyre_model::{Result, catalog, time};
use gyre_query::log::{self, Account, Action, Entry};
use gyre_store::{Conn, Sql, Store};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep_until};

use crate::metrics;

/// Most refusals that wait to be written.
const WAITING: usize = 256;
/// Most that are written in one transaction.
const TOGETHER: usize = 50;
/// Most that a process writes in a second.
const A_SECOND: usize = 100;

/// A call that was refused, and when.
pub(crate) struct Refusal {
    pub call: RefusedCall,
    pub time: i64,
    /// The name of the account that somebody failed to sign in to; empty for all else.
    pub account_name: String,
}

/// The way into the log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Refusals(Sender<Refusal>);

impl Refusals {
    /// Writes what is refused in this process from now on, until the tasks end.
    pub fn start(tasks: &Tasks, mesh: &Mesh, store: &Store) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let refusals = Self(sender);
        let listener = refusals.clone();
        mesh.on_refused(move |call| {
            listener.take(Refusal { call, time: time::now_micros(), account_name: String::new() });
        });
        tasks.spawn_until_stop("refusals", write_all(receiver, store.clone()));
        refusals
    }

    /// Takes one, or drops it where too many wait.
    pub fn take(&self, refusal: Refusal) {
        if self.0.try_send(refusal).is_err() {
            metrics::refusals("dropped", 1);
        }
    }
}

async fn write_all(mut receiver: Receiver<Refusal>, store: Store) {
    let mut batch = Vec::with_capacity(TOGETHER);
    while receiver.recv_many(&mut batch, TOGETHER).await > 0 {
        let count = batch.len();
        let pause = Duration::from_secs(1) * u32::try_from(count).unwrap_or(1) / A_SECOND as u32;
        let next = Instant::now() + pause;
        let rows = std::mem::take(&mut batch);
        let written = store.write("log-refusals", move |conn| rows.iter().try_for_each(|row| write(conn, row))).await;
        match written {
            Ok(()) => metrics::refusals("written", count),
            Err(error) => {
                metrics::refusals("dropped", count);
                tracing::warn!(%error, count, "refused calls are missing in the log of changes");
            }
        }
        sleep_until(next).await;
    }
}

fn write(conn: &mut Conn, Refusal { call, time, account_name }: &Refusal) -> Result<()> {
    let (mut kind, mut resource) = (kind_of(call.method.service), call.resource);
    let mut account = Some(call.caller.account_uuid).filter(|account| !account.is_nil());
    if !account_name.is_empty() {
        // whose account it is sees who tried; a name that is none is not written down
        let sql = Sql::new("SELECT uuid FROM account WHERE name = ").bind(account_name.as_str());
        account = conn.query_one(sql)?.map(|row| row.id(0)).transpose()?;
        (kind, resource) = ("account", account);
    }
    let entry = Entry {
        account: Account::Is(account),
        outcome: "REFUSED",
        reason: &call.reason,
        ..Entry::new(call.caller, Action::Call, kind, resource)
    };
    log::append_refusal(conn, entry, &call.origin, *time)
}

/// The kind of resource that the calls of a service are about: "vm" of "gyre.vm.v1.VmService"; empty where it is about none.
fn kind_of(service: &str) -> &'static str {
    let message = service.strip_suffix("Service").and_then(|name| catalog().message(name));
    message.and_then(|message| message.kind).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_tells_its_kind() {
        assert_eq!(kind_of("gyre.vm.v1.VmService"), "vm");
        assert_eq!(kind_of("gyre.network.v1.L3NetworkService"), "l3-network");
        assert_eq!(kind_of("gyre.common.v1.LaneService"), "");
    }
}
