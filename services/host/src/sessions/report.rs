//! Telling the machines' service what runs on a host. Reports gather while one is on its way, and are sent again until they
//! arrive: they are levels, so a later one takes the place of an earlier.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gyre_model::{Caller, Result, Uuid};
use gyre_proto::agent::v1::MachineFacts;
use gyre_proto::vm::v1::ReportMachinesRequest;
use gyre_proto::vm::v1::machine_report_service_client::MachineReportServiceClient;
use parking_lot::Mutex;

use super::{Link, Shared};

const LIMIT: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Reports of one host on their way.
pub(crate) struct Reporter {
    host: Uuid,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pending: Option<Report>,
    sending: bool,
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq)]
struct Report {
    machines: BTreeMap<String, MachineFacts>,
    complete: bool,
    connected: bool,
}

impl Report {
    fn new(machines: Vec<MachineFacts>, complete: bool, connected: bool) -> Self {
        let machines = machines.into_iter().map(|machine| (machine.vm_uuid.clone(), machine)).collect();
        Self { machines, complete, connected }
    }

    /// Both, the other being the later: all there is to say takes the place of everything before.
    fn then(mut self, later: Self) -> Self {
        if later.complete || !later.connected || !self.connected {
            return later;
        }
        self.machines.extend(later.machines);
        self
    }
}

impl Reporter {
    pub fn new(host: Uuid) -> Self {
        Self { host, state: Mutex::default() }
    }

    /// All machines of the host, after a session was opened.
    pub fn complete(&self, shared: &Arc<Shared>, link: &Arc<Link>, machines: Vec<MachineFacts>) {
        self.put(shared, link, Report::new(machines, true, true));
    }

    /// A machine that changed without being told to.
    pub fn machine(&self, shared: &Arc<Shared>, link: &Arc<Link>, machine: MachineFacts) {
        self.put(shared, link, Report::new(vec![machine], false, true));
    }

    /// The host does not answer.
    pub fn disconnected(&self, shared: &Arc<Shared>, link: &Arc<Link>) {
        self.put(shared, link, Report::new(Vec::new(), false, false));
    }

    fn put(&self, shared: &Arc<Shared>, link: &Arc<Link>, report: Report) {
        let idle = {
            let mut state = self.state.lock();
            state.pending = Some(match state.pending.take() {
                Some(before) => before.then(report),
                None => report,
            });
            !std::mem::replace(&mut state.sending, true)
        };
        if idle {
            let (sender, link) = (Arc::clone(shared), Arc::clone(link));
            shared.tasks.spawn_until_stop("machine-report", async move {
                // whoever owns the host next tells anew
                let stop = link.stopped().clone();
                stop.run_until_cancelled(link.reporter.send_all(&sender)).await;
            });
        }
    }

    async fn send_all(&self, shared: &Shared) {
        let mut wait = FIRST_WAIT;
        loop {
            let report = {
                let mut state = self.state.lock();
                match state.pending.take() {
                    Some(report) => report,
                    None => {
                        state.sending = false;
                        return;
                    }
                }
            };
            match self.send(shared, &report).await {
                Ok(()) => wait = FIRST_WAIT,
                Err(error) => {
                    tracing::warn!(host = %self.host, %error, "machines could not be reported; trying again");
                    {
                        let mut state = self.state.lock();
                        state.pending = Some(match state.pending.take() {
                            Some(later) => report.then(later),
                            None => report,
                        });
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    async fn send(&self, shared: &Shared, report: &Report) -> Result<()> {
        let _turn = shared.reports.acquire().await.map_err(gyre_model::Error::internal)?;
        let request = ReportMachinesRequest {
            host_uuid: self.host.to_string(),
            machines: report.machines.values().cloned().collect(),
            complete: report.complete,
            connected: report.connected,
        };
        let mut request = Caller::system().request(request);
        request.set_timeout(LIMIT);
        MachineReportServiceClient::new(shared.mesh.channel("vm")).report_machines(request).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gyre_proto::agent::v1::MachineState;

    use super::*;

    fn machine(name: &str, state: MachineState) -> MachineFacts {
        MachineFacts { vm_uuid: name.into(), state: state.into() }
    }

    #[test]
    fn later_reports_take_the_place_of_earlier_ones() {
        let all =
            Report::new(vec![machine("a", MachineState::Running), machine("b", MachineState::Running)], true, true);
        let event = Report::new(vec![machine("b", MachineState::Stopped)], false, true);
        let both = all.clone().then(event.clone());
        assert!(both.complete && both.connected);
        assert_eq!(both.machines["b"].state(), MachineState::Stopped);
        assert_eq!(both.machines["a"].state(), MachineState::Running);
        let gone = Report::new(Vec::new(), false, false);
        assert_eq!(both.then(gone.clone()), gone);
        assert_eq!(gone.then(all.clone()), all);
        let other = Report::new(vec![machine("a", MachineState::Paused)], false, true);
        assert_eq!(event.then(other).machines.len(), 2);
    }
}
