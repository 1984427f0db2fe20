//! The bins of all kinds that have one (`binned` in the .proto files): how long something stays there, and who deletes it for good.
//!
//! # Theory
//! - What is in a bin is a row in the state DESTROYED with the time since when, which its own service put there and can take out.
//! - How long it stays, the setting `<kind>.bin-delay` says, the nearest one of each resource. It is read when it is needed, so a change of
//!   it holds for what lies there already.
//! - One task for each service looks through its bins, oldest first. It has no input: for what is due, is owned by this instance, and is not being
//!   worked on, it asks for the workflow `expunge-<kind>`. What is recovered meanwhile is left alone: the call looks at the state in
//!   its transaction, and the workflow looks again in the resource's lane.

use std::time::Duration;

use gyre_mesh::tasks::{Activator, Background, Status};
use gyre_model::catalog::{BinInfo, KindInfo, catalog};
use gyre_model::{Caller, Error, Kind, Result, Uuid, time};
use gyre_proto::Resource;
use gyre_proto::common::v1::{DeleteRequest, Operation};
use gyre_query::settings;
use gyre_store::{Conn, Sql, Value};

use crate::{Flow, Submit};

/// How long something stays where nothing says otherwise: what the settings declare, too.
const USUAL: Duration = Duration::from_secs(7 * 24 * 3600);
/// Resources in one look.
const PAGE: usize = 500;

/// How long a resource stays in its bin. Zero: there is none.
///
/// # Errors
/// The database's.
pub fn delay(conn: &mut Conn, kind: &str, uuid: Uuid) -> Result<Duration> {
    match catalog().kind(kind).and_then(|info| info.bin) {
        Some(bin) => settings::duration(conn, bin.delay, Some((kind, uuid)), USUAL),
        None => Ok(Duration::ZERO),
    }
}

/// Refuses to use what is in the bin.
pub fn in_bin<R: Resource>(resource: &R, name: &str) -> Error {
    let text = format!("{} {} ({name}) is in the bin: recover it first", R::KIND, resource.uuid());
    Error::new(Kind::FailedPrecondition, "IN_BIN", text).with("kind", R::KIND).with("uuid", resource.uuid())
}

impl Flow {
    /// Whether a deletion that does not say `expunge` puts a resource into its bin. With a delay of nothing it does not.
    ///
    /// # Errors
    /// The database's.
    pub async fn has_bin<R: Resource>(&self, uuid: Uuid) -> Result<bool> {
        let delay = self.store().read("bin-delay", move |conn| delay(conn, R::KIND, uuid));
        Ok(!delay.await?.is_zero())
    }

    /// Deletes for good what lay long enough in the bins of this service, from now on, with a look at each period.
    pub fn empty_bins(&self, period: Duration) {
        let service = self.inner().service;
        let bins = catalog().kinds().filter(|kind| kind.service == service);
        let bins = bins.filter_map(|kind| Some((kind, kind.bin?))).collect();
        self.tasks().background("bins", period, Activator::default(), Bins { flow: self.clone(), bins });
    }
}

/// The task.
struct Bins {
    flow: Flow,
    bins: Vec<(&'static KindInfo, BinInfo)>,
}

/// Something in a bin: since when, in microseconds since 1970, and whether its time is up.
struct Binned {
    since: i64,
    uuid: Uuid,
    due: bool,
}

/// What lies in the bin of a kind behind a place, oldest first.
fn page(conn: &mut Conn, kind: &KindInfo, after: (i64, Uuid), now: i64) -> Result<Vec<Binned>> {
    let table = kind.table;
    let sql =
        Sql::new(format!("SELECT destroy_time, uuid FROM {table} WHERE state = 'DESTROYED' AND (destroy_time > "))
            .bind(Value::time(after.0))
            .sql(" OR (destroy_time = ")
            .bind(Value::time(after.0))
            .sql(" AND uuid > ")
            .bind(after.1)
            .sql(format!(
                ")) AND NOT EXISTS (SELECT 1 FROM operation WHERE operation.resource_uuid = {table}.uuid \
         AND operation.state IN ('QUEUED', 'RUNNING', 'UNDOING', 'STUCK')) ORDER BY destroy_time, uuid LIMIT {PAGE}"
            ));
    let mut found = Vec::new();
    for row in conn.query(sql)? {
        let (since, uuid) = (row.int(0)?, row.id(1)?);
        let delay = i64::try_from(delay(conn, kind.kind, uuid)?.as_micros()).unwrap_or(i64::MAX);
        found.push(Binned { since, uuid, due: since.saturating_add(delay) <= now });
    }
    Ok(found)
}

/// Whether a resource is still in its bin.
fn is_there(conn: &mut Conn, kind: &KindInfo, uuid: Uuid) -> Result<()> {
    let sql = Sql::new(format!("SELECT 1 FROM {} WHERE state = 'DESTROYED' AND uuid = ", kind.table)).bind(uuid);
    if conn.query_one(sql)?.is_some() {
        return Ok(());
    }
    let text = format!("{} {uuid} is not in the bin any more", kind.kind);
    Err(Error::new(Kind::FailedPrecondition, "WRONG_STATE", text))
}

impl Background for Bins {
    async fn activate(&mut self) -> Status {
        let mut status = Status::default();
        for (kind, bin) in &self.bins {
            self.empty(kind, *bin, &mut status).await;
        }
        status
    }
}

impl Bins {
    async fn empty(&self, kind: &'static KindInfo, bin: BinInfo, status: &mut Status) {
        let mut after = (0, Uuid::nil());
        loop {
            let now = time::now_micros();
            let looked = self.flow.store().read("bin", move |conn| page(conn, kind, after, now)).await;
            let binned = match looked {
                Ok(binned) => binned,
                Err(error) => {
                    tracing::warn!(kind = kind.kind, %error, "cannot look through a bin");
                    status.errors += 1;
                    return;
                }
            };
            let Some(last) = binned.last() else { return };
            after = (last.since, last.uuid);
            let mesh = self.flow.mesh();
            for one in binned.iter().filter(|one| one.due && mesh.owns(kind.service, one.uuid)) {
                status.found += 1;
                match self.expunge(kind, bin, one.uuid).await {
                    Ok(_) => status.changed += 1,
                    Err(error) if error.reason() == "WRONG_STATE" => status.already_ok += 1,
                    Err(error) => {
                        status.errors += 1;
                        tracing::warn!(kind = kind.kind, uuid = %one.uuid, %error, "what is in a bin cannot be deleted yet");
                    }
                }
            }
            if binned.len() < PAGE {
                return;
            }
        }
    }

    async fn expunge(&self, kind: &'static KindInfo, bin: BinInfo, uuid: Uuid) -> Result<Operation> {
        let input = DeleteRequest { uuid: uuid.to_string(), expunge: true, ..DeleteRequest::default() };
        let (caller, workflow) = (Caller::system(), bin.expunge);
        let submit = Submit { caller, workflow, resource: uuid, request_id: "", input: &input };
        self.flow.submit(submit, move |conn, _| is_there(conn, kind, uuid)).await
    }
}

#[cfg(test)]
mod tests {
    use gyre_model::catalog::{FieldType, HostedBy};

    use super::*;

    #[test]
    fn every_kind_with_a_bin_has_what_belongs_to_one() {
        let mut seen = 0;
        for (kind, bin) in catalog().kinds().filter_map(|kind| Some((kind, kind.bin?))) {
            seen += 1;
            let message = catalog().message(kind.message).unwrap();
            let state = message.field("state").unwrap_or_else(|| panic!("{} has no state", kind.kind));
            assert!(state.values.iter().any(|(_, _, short)| *short == "DESTROYED"), "{}: no DESTROYED", kind.kind);
            assert_eq!(message.field("destroy_time").map(|field| field.ty), Some(FieldType::Time), "{}", kind.kind);
            let setting = &catalog().setting(bin.delay).unwrap_or_else(|| panic!("no setting {}", bin.delay)).rule;
            assert_eq!((setting.default_value.as_str(), setting.min.as_str()), ("7d", "0s"), "{}", bin.delay);
            assert!(setting.kinds.iter().any(|of| of == kind.kind), "{}", bin.delay);
            for verb in ["Delete", "Recover", "Expunge"] {
                let of = |name: &str| name.strip_prefix(verb).map(str::to_lowercase);
                let call = catalog().methods().find(|method| {
                    of(method.name).is_some_and(|name| name == kind.kind.replace('-', ""))
                        && method.host == HostedBy::Service(kind.service)
                });
                let call = call.unwrap_or_else(|| panic!("{} has no call {verb}", kind.kind));
                let expunge = catalog().message(call.input).unwrap().field("expunge").is_some();
                assert_eq!(expunge, verb == "Delete", "{}", call.path);
            }
        }
        assert!(seen >= 3, "machines, volumes and images");
        for message in catalog().kinds().filter(|kind| kind.bin.is_none()) {
            let field = catalog().message(message.message).and_then(|message| message.field("destroy_time"));
            assert!(field.is_none(), "{} has the field of a bin, and does not say `binned`", message.kind);
        }
    }
}
