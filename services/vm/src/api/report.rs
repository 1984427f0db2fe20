//! What hosts say of machines. A machine that an operation works on is left to that operation; of the others the state follows
//! the host by the table in [`crate::state`].

use std::collections::HashMap;

use gyre_model::{Caller, Error, Result, Uuid, parse_uuid};
use gyre_proto::agent::v1::MachineState;
use gyre_proto::vm::v1::machine_report_service_server::MachineReportService;
use gyre_proto::vm::v1::{ReportMachinesRequest, ReportMachinesResponse, Vm, VmState};
use gyre_query::Change;
use gyre_store::Sql;
use tonic::{Request, Response, Status};

use super::{Api, uuid};
use crate::state::{self, Event};

/// What a report means for a machine in the database.
fn event(vm: &Vm, said: Option<MachineState>, request: &ReportMachinesRequest) -> Option<(Event, &'static str)> {
    let event = if !request.connected {
        (Event::HostLost, "its host does not answer")
    } else {
        match said {
            Some(MachineState::Running | MachineState::Paused) => (Event::SeenRunning, ""),
            Some(MachineState::Stopped) => (Event::SeenOff, "it stopped by itself"),
            None if request.complete => (Event::SeenOff, "its host does not know it"),
            Some(MachineState::Unspecified) | None => return None,
        }
    };
    state::next(vm.state(), event.0).map(|_| event)
}

impl Api {
    async fn apply(&self, vm: Vm, event: Event, reason: &'static str) -> Result<bool> {
        let uuid = parse_uuid(&vm.uuid).ok_or_else(|| Error::internal("a machine without UUID"))?;
        let after = self
            .inner
            .store
            .write("vm-report", move |conn| {
                if gyre_flow::busy(conn, uuid)? {
                    return Ok(None);
                }
                let Some(mut vm) = gyre_query::find::<Vm>(conn, &Caller::system(), uuid)? else { return Ok(None) };
                let Some(to) = state::next(vm.state(), event) else { return Ok(None) };
                vm.set_state(to);
                vm.state_reason = reason.to_owned();
                gyre_query::update(conn, &Change::by(Caller::system()), &vm).map(Some)
            })
            .await?;
        let Some(after) = after else { return Ok(false) };
        tracing::info!(vm = %uuid, state = state::name(after.state()), reason, "machine changed on its host");
        if after.state() == VmState::Stopped {
            self.inner.settle.activate();
        }
        Ok(true)
    }

    async fn report(&self, request: ReportMachinesRequest) -> Result<i32> {
        let host = uuid("host", &request.host_uuid)?;
        let mut said: HashMap<Uuid, MachineState> = HashMap::with_capacity(request.machines.len());
        for machine in &request.machines {
            if let Some(uuid) = parse_uuid(&machine.vm_uuid) {
                said.insert(uuid, machine.state());
            }
        }
        let mut condition = Sql::new("host_uuid = ").bind(host).sql(" AND state IN ('RUNNING', 'UNKNOWN')");
        if request.connected && !request.complete {
            if said.is_empty() {
                return Ok(0);
            }
            condition = condition.sql(" AND uuid IN (").bind_all(said.keys().copied()).sql(")");
        }
        let machines: Vec<Vm> =
            self.inner.store.read("vm-on-host", move |conn| gyre_query::select(conn, condition)).await?;
        let mut changed = 0;
        for vm in machines {
            let state = parse_uuid(&vm.uuid).and_then(|uuid| said.get(&uuid).copied());
            if let Some((event, reason)) = event(&vm, state, &request) {
                // one bad machine does not stop the rest
                match self.apply(vm, event, reason).await {
                    Ok(true) => changed += 1,
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%host, %error, "a report cannot be noted"),
                }
            }
        }
        Ok(changed)
    }
}

#[tonic::async_trait]
impl MachineReportService for Api {
    async fn report_machines(
        &self,
        request: Request<ReportMachinesRequest>,
    ) -> std::result::Result<Response<ReportMachinesResponse>, Status> {
        let changed_count = self.report(request.into_inner()).await?;
        Ok(Response::new(ReportMachinesResponse { changed_count }))
    }
}
