//! What hosts say of machines. [`crate::rules`] decides what follows; here it is applied.
//!
//! # Theory
//! What comes from a host was true when the host said it, and may be so no more when it arrives: an operation may have begun and
//! ended in between. No clock that both sides share tells the order. So a report alone changes nothing:
//!
//! 1. Where report and row disagree and no operation is under way, the answer names the machine and the generation of its row
//!    ([`SeenMachine`]).
//! 2. The owner of the host asks the agent about that machine, which answers from its table of that moment, and brings the answer here
//!    together with the generation.
//! 3. It is applied in a transaction that finds the row with that same generation, and no operation under way. An operation moves
//!    the row before it lets the host do anything, and again at its end; so between the row's being seen and the transaction none was at
//!    the machine, and what the host said in between is still so, but for what the machine does by itself, which the next report
//!    tells.
//!
//! It is a compare-and-set around a question to the host. Nothing depends on who asks, on the order of messages, or on anything in
//! memory: a late, repeated or lost message costs a period and no more. What an operation is at is left alone, and said to be
//! unsettled, so that the host's owner reports it again after the period, although nothing changes on the host by then.
//!
//! Where the host must follow the row (it runs what should be off, or has what is gone) an operation does it in the machine's lane,
//! behind what users asked for, and looks at the row again when its turn has come: there a stale word could do no harm at all.
//!
//! A host that does not answer says nothing: its machines become `UNKNOWN`, in a transaction that finds the host disconnected.

use std::collections::HashMap;

use futures::StreamExt as _;
use gyre_flow::Submit;
use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::agent::v1::{MachineFacts, MachineState};
use gyre_proto::vm::v1::machine_report_service_client::MachineReportServiceClient;
use gyre_proto::vm::v1::machine_report_service_server::MachineReportService;
use gyre_proto::vm::v1::{
    MendMachineRequest, MendMachineResponse, ReportMachinesRequest, ReportMachinesResponse, SeenMachine, Vm, VmState,
};
use gyre_query::Change;
use tonic::{Request, Response, Status};

use super::{Api, uuid};
use crate::look::{self, Finding, Scope, look};
use crate::metrics;
use crate::rules::{Action, Rule, Said, Verdict};
use crate::state::{self, Event};

/// Machines that are written, or mended, at once.
const AT_ONCE: usize = 16;

fn said(machines: &[MachineFacts]) -> HashMap<Uuid, Said> {
    let word = |machine: &MachineFacts| match machine.state() {
        _ if machine.at_work => Some(Said::AtWork),
        MachineState::Running | MachineState::Paused => Some(Said::Running),
        MachineState::Stopped => Some(Said::Off),
        MachineState::Unspecified => None,
    };
    machines.iter().filter_map(|machine| Some((parse_uuid(&machine.vm_uuid)?, word(machine)?))).collect()
}

/// A machine is to be reported again, although nothing changes on its host.
fn unsettled(answer: &mut ReportMachinesResponse, vm: Uuid) {
    answer.unsettled = true;
    answer.unsettled_vm_uuids.push(vm.to_string());
}

impl Api {
    /// Moves a row by a rule, if it is still as it was seen. Answers whether it was.
    async fn follow(
        &self,
        host: Uuid,
        finding: Finding,
        rule: Rule,
        event: Event,
        reason: &'static str,
    ) -> Result<bool> {
        let Finding { vm: uuid, generation, .. } = finding;
        let after = self
            .inner
            .store
            .write_again("vm-report", move |conn| {
                if gyre_flow::busy(conn, uuid)? || rule == Rule::LostWithHost && look::connected(conn, host, true)? {
                    return Ok(None);
                }
                let Some(before) = gyre_query::find::<Vm>(conn, &Caller::system(), uuid)? else { return Ok(None) };
                let mut vm = before.clone();
                let other_host = parse_uuid(&vm.host_uuid) != Some(host);
                if other_host || generation != 0 && vm.generation != generation {
                    return Ok(None);
                }
                let Some(to) = state::next(vm.state(), event) else { return Ok(None) };
                vm.set_state(to);
                reason.clone_into(&mut vm.state_reason);
                gyre_query::update_from(conn, &Change::by(Caller::system()), &before, &vm).map(Some)
            })
            .await?;
        let Some(after) = after else { return Ok(false) };
        metrics::reconciled(rule);
        tracing::info!(vm = %uuid, %host, rule = rule.name(), state = state::name(after.state()), "machine reconciled");
        if after.state() == VmState::Stopped {
            self.inner.settle.activate();
        }
        Ok(true)
    }

    /// Has the host made what the row says, by the owner of the machine.
    async fn mend(&self, host: Uuid, vm: Uuid, rule: Rule) -> Result<()> {
        let request =
            MendMachineRequest { vm_uuid: vm.to_string(), host_uuid: host.to_string(), rule: rule.name().to_owned() };
        let mut client = MachineReportServiceClient::new(self.inner.mesh.channel(crate::NAME));
        let begun = client.mend_machine(Caller::system().request(request)).await?.into_inner();
        metrics::reconciled(rule);
        let operation = begun.operation_uuid;
        tracing::warn!(%vm, %host, rule = rule.name(), operation, "machine is mended on its host");
        Ok(())
    }

    /// Applies a rule to a machine that was asked about. Answers whether its row was changed, or whether it is to be looked at again.
    async fn apply(&self, host: Uuid, finding: Finding) -> std::result::Result<bool, Error> {
        let Verdict::Rule(rule) = finding.verdict else { return Ok(false) };
        match rule.action() {
            Action::Move(event, reason) => self.follow(host, finding, rule, event, reason).await,
            Action::Mend(_) => self.mend(host, finding.vm, rule).await.map(|()| false),
            Action::Leave => Ok(false),
        }
    }

    async fn apply_all(&self, host: Uuid, findings: Vec<Finding>, answer: &mut ReportMachinesResponse) {
        let applied = futures::stream::iter(findings).map(|finding| async move {
            let applied = self.apply(host, finding).await;
            if let Err(error) = &applied {
                // one bad machine does not stop the rest
                tracing::warn!(vm = %finding.vm, %host, %error, "a machine cannot be reconciled yet");
            }
            (finding.vm, applied)
        });
        let applied: Vec<_> = applied.buffer_unordered(AT_ONCE).collect().await;
        answer.changed_count +=
            i32::try_from(applied.iter().filter(|one| matches!(one, (_, Ok(true)))).count()).unwrap_or(i32::MAX);
        applied.iter().filter(|(_, one)| one.is_err()).for_each(|(vm, _)| unsettled(answer, *vm));
    }

    /// The host does not answer.
    async fn lost(&self, host: Uuid) -> Result<ReportMachinesResponse> {
        let vms = self.inner.store.read("vm-on-host", move |conn| look::running_on(conn, host)).await?;
        let lost = |vm| Finding { vm, generation: 0, verdict: Verdict::Rule(Rule::LostWithHost) };
        let mut answer = ReportMachinesResponse::default();
        self.apply_all(host, vms.into_iter().map(lost).collect(), &mut answer).await;
        Ok(answer)
    }

    async fn report(&self, request: ReportMachinesRequest) -> Result<ReportMachinesResponse> {
        let host = uuid("host", &request.host_uuid)?;
        if !request.connected {
            return self.lost(host).await;
        }
        let mut said = said(&request.machines);
        let asked: HashMap<Uuid, i64> =
            request.seen.iter().filter_map(|seen| Some((parse_uuid(&seen.vm_uuid)?, seen.generation))).collect();
        let scope = if !asked.is_empty() {
            said.retain(|vm, _| asked.contains_key(vm));
            Scope::Named(asked.keys().copied().collect())
        } else if request.complete {
            Scope::Range(parse_uuid(&request.from_uuid), parse_uuid(&request.before_uuid))
        } else {
            // a machine of which nothing is said any more is named, too
            Scope::Named(request.machines.iter().filter_map(|machine| parse_uuid(&machine.vm_uuid)).collect())
        };
        let findings = self.inner.store.read("vm-report", move |conn| look(conn, host, &said, &scope)).await?;
        let mut answer = ReportMachinesResponse::default();
        let mut counted = Vec::new();
        for finding in findings {
            match finding.verdict {
                Verdict::Agree => {}
                Verdict::Wait => unsettled(&mut answer, finding.vm),
                Verdict::Rule(rule) if rule.action() == Action::Leave => {
                    if asked.is_empty() {
                        metrics::reconciled(rule);
                        answer.unknown_vm_uuids.push(finding.vm.to_string());
                    }
                }
                Verdict::Rule(_) => match asked.get(&finding.vm) {
                    None => {
                        answer.ask.push(SeenMachine { vm_uuid: finding.vm.to_string(), generation: finding.generation })
                    }
                    Some(generation) if *generation == finding.generation => counted.push(finding),
                    // it changed while the host was asked
                    Some(_) => unsettled(&mut answer, finding.vm),
                },
            }
        }
        if let Some(first) = answer.unknown_vm_uuids.first() {
            let count = answer.unknown_vm_uuids.len();
            tracing::warn!(%host, count, first, "the host has machines that are not known to be there; they are left alone");
        }
        self.apply_all(host, counted, &mut answer).await;
        Ok(answer)
    }

    async fn begin_mending(&self, request: MendMachineRequest) -> Result<MendMachineResponse> {
        let (vm, _host) = (uuid("vm", &request.vm_uuid)?, uuid("host", &request.host_uuid)?);
        let workflow = match Rule::by_name(&request.rule).map(Rule::action) {
            Some(Action::Mend(workflow)) => workflow,
            _ => {
                return Err(Error::invalid(
                    "rule",
                    format!("must be a rule that mends a host, got {:?}", request.rule),
                ));
            }
        };
        let submit = Submit { caller: Caller::system(), workflow, resource: vm, request_id: "", input: &request };
        let rows = move |conn: &mut gyre_store::Conn, _: &Change| {
            if gyre_flow::busy(conn, vm)? {
                let text = format!("an operation is at vm {vm}: the next report tells whether it needs mending then");
                return Err(Error::new(Kind::Aborted, "VM_BUSY", text));
            }
            Ok(())
        };
        let operation = self.inner.flow.submit(submit, rows).await?;
        Ok(MendMachineResponse { operation_uuid: operation.uuid })
    }
}

#[tonic::async_trait]
impl MachineReportService for Api {
    async fn report_machines(
        &self,
        request: Request<ReportMachinesRequest>,
    ) -> std::result::Result<Response<ReportMachinesResponse>, Status> {
        Ok(Response::new(self.report(request.into_inner()).await?))
    }

    async fn mend_machine(
        &self,
        request: Request<MendMachineRequest>,
    ) -> std::result::Result<Response<MendMachineResponse>, Status> {
        Ok(Response::new(self.begin_mending(request.into_inner()).await?))
    }
}
