//! Telling the machines' service what runs on a host.
//!
//! # Theory
//! 1. The agent is asked for all its machines every period, names the state of its table that it tells of, and answers only
//!    "unchanged" where that is the last one that came. Changes it tells at once.
//! 2. What comes is brought to the machines' service: whole reports in pages, each complete between two UUIDs. What that disagrees
//!    about it names, with how it saw the row; the agent is asked about those machines, and the answer goes back together with
//!    that. Only this counts (see `api/report.rs` of the machines' service), so nothing here needs an order: reports are hints.
//! 3. The whole is brought when a session opens, when it could not be brought, and where it was not compared for
//!    [`Config::report_compare`]. In between only those machines are brought that the host tells otherwise than before, that could not be
//!    settled, and with which a task has ended since (the row may say something new). So hosts at rest cost a message each
//!    period, a change costs what it changes however many machines there are beside it, and rows are found to disagree
//!    within a period as long as they do.
//! 4. A whole report, and that the host does not answer, are brought until they arrive, or until a later one takes their place. What else
//!    cannot be brought is dropped: the next period asks anew.
//!
//! An agent that cannot be asked (its hello has no stamp) is too old: what it says is brought, and nothing follows from it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_model::{Caller, Result, Uuid};
use gyre_proto::agent::v1::session_request::Message;
use gyre_proto::agent::v1::task_outcome::Result as Found;
use gyre_proto::agent::v1::{
    AgentHello, AskMachines, MachineFacts, MachineReport, ReportStamp, SessionRequest, TaskOutcome,
};
use gyre_proto::vm::v1::machine_report_service_client::MachineReportServiceClient;
use gyre_proto::vm::v1::{ReportMachinesRequest, ReportMachinesResponse, SeenMachine};
use parking_lot::Mutex;

use super::{Link, Shared};
use crate::config::Config;
use crate::metrics;
use crate::store::host;

const LIMIT: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Most machines in one message.
const PAGE: usize = 1000;
/// Most unknown machines that a host's row names.
const MOST_NAMED: usize = 100;

/// Reports of one host.
pub(crate) struct Reporter {
    host: Uuid,
    state: Mutex<State>,
}

/// All machines of a host, by UUID.
type Whole = Arc<Vec<MachineFacts>>;

#[derive(Default)]
struct State {
    /// Whether there is a session with an agent that can be asked.
    open: bool,
    serial: i64,
    /// To be sent to the agent.
    questions: VecDeque<AskMachines>,
    /// Sent, and not answered to the end: what has come, and how the machines were seen; of all machines where that is empty.
    asked: HashMap<i64, Asked>,
    /// When the agent was last asked for all.
    asked_at: Option<Instant>,
    /// What the agent last said of all.
    known: Option<(ReportStamp, Whole)>,
    /// Whether that was brought, and nobody knows why it should be brought again.
    settled: bool,
    /// Machines that are to be brought again, although nothing changes on the host.
    touched: BTreeSet<String>,
    compared_at: Option<Instant>,
    letters: Letters,
    sending: bool,
    /// Unknown machines as the host's row has them, as far as this instance knows.
    unknown: Option<Vec<String>>,
}

#[derive(Default)]
struct Asked {
    seen: Vec<SeenMachine>,
    machines: Vec<MachineFacts>,
}

/// What is to be brought to the machines' service.
#[derive(Default)]
struct Letters {
    away: bool,
    answered: VecDeque<Asked>,
    changed: BTreeMap<String, MachineFacts>,
    whole: Option<Whole>,
}

enum Letter {
    Away,
    Answered(Asked),
    Changed(Vec<MachineFacts>),
    Whole(Whole),
}

impl Letters {
    fn take(&mut self) -> Option<Letter> {
        if std::mem::take(&mut self.away) {
            return Some(Letter::Away);
        }
        if let Some(answered) = self.answered.pop_front() {
            return Some(Letter::Answered(answered));
        }
        if !self.changed.is_empty() {
            return Some(Letter::Changed(std::mem::take(&mut self.changed).into_values().collect()));
        }
        self.whole.take().map(Letter::Whole)
    }
}

impl State {
    fn ask(&mut self, vm_uuids: Vec<String>, seen: Vec<SeenMachine>, known: Option<ReportStamp>) {
        self.serial += 1;
        let serial = self.serial;
        self.asked.insert(serial, Asked { seen, machines: Vec::new() });
        self.questions.push_back(AskMachines { serial, vm_uuids, known });
    }

    fn ask_all(&mut self, now: Instant) {
        self.asked_at = Some(now);
        let known = self.known.as_ref().map(|(stamp, _)| stamp.clone());
        self.ask(Vec::new(), Vec::new(), known);
    }

    /// Takes a part of an answer. Answers whether there is something to be brought.
    fn answer(&mut self, report: MachineReport, now: Instant, compare: Duration) -> bool {
        let Some(asked) = self.asked.get_mut(&report.serial) else { return false };
        asked.machines.extend(report.machines);
        if !report.last {
            return false;
        }
        let Some(asked) = self.asked.remove(&report.serial) else { return false };
        if !asked.seen.is_empty() {
            self.letters.answered.push_back(asked);
            return true;
        }
        let due = !self.settled || self.compared_at.is_none_or(|at| now.saturating_duration_since(at) >= compare);
        let before = match &self.known {
            Some((_, whole)) if report.unchanged => Some(Arc::clone(whole)),
            before => {
                let before = before.as_ref().map(|(_, whole)| Arc::clone(whole));
                self.now_known(report.stamp.unwrap_or_default(), asked.machines);
                before
            }
        };
        let Some((_, whole)) = &self.known else { return false };
        let whole = Arc::clone(whole);
        match before {
            Some(before) if !due => {
                let again = std::mem::take(&mut self.touched);
                let changed = differing(&before, &whole, &again);
                if changed.len() > PAGE {
                    // more than one message takes: whole reports come in pages
                    metrics::report("compared");
                    self.letters.whole = Some(whole);
                    return true;
                }
                metrics::report(if changed.is_empty() { "unchanged" } else { "changed" });
                let any = !changed.is_empty();
                self.letters.changed.extend(changed.into_iter().map(|machine| (machine.vm_uuid.clone(), machine)));
                any
            }
            _ => {
                metrics::report("compared");
                self.touched.clear();
                self.letters.whole = Some(whole);
                true
            }
        }
    }

    fn now_known(&mut self, stamp: ReportStamp, mut machines: Vec<MachineFacts>) {
        machines.sort_unstable_by(|a, b| a.vm_uuid.cmp(&b.vm_uuid));
        self.known = Some((stamp, Arc::new(machines)));
    }

    /// What the machines' service said of these machines.
    fn settle(&mut self, answer: &ReportMachinesResponse) {
        self.touched.extend(answer.unsettled_vm_uuids.iter().cloned());
        self.touched.extend(answer.ask.iter().map(|seen| seen.vm_uuid.clone()));
        // one of an older version does not say which
        self.settled &= !answer.unsettled || !answer.unsettled_vm_uuids.is_empty();
    }
}

/// Machines that are told otherwise than before, and these. Of one that is gone nothing is said but its UUID. Both are ordered by UUID.
fn differing(before: &[MachineFacts], now: &[MachineFacts], again: &BTreeSet<String>) -> Vec<MachineFacts> {
    let find = |all: &[MachineFacts], vm_uuid: &str| {
        let at = all.binary_search_by(|machine| machine.vm_uuid.as_str().cmp(vm_uuid)).ok()?;
        all.get(at).cloned()
    };
    let gone = |vm_uuid: &String| MachineFacts { vm_uuid: vm_uuid.clone(), ..MachineFacts::default() };
    let changed = now.iter().filter(|machine| find(before, &machine.vm_uuid).as_ref() != Some(machine)).cloned();
    let missing = before.iter().filter(|machine| find(now, &machine.vm_uuid).is_none());
    let mut all: BTreeMap<String, MachineFacts> =
        again.iter().map(|vm| (vm.clone(), find(now, vm).unwrap_or_else(|| gone(vm)))).collect();
    all.extend(changed.map(|machine| (machine.vm_uuid.clone(), machine)));
    all.extend(missing.map(|machine| (machine.vm_uuid.clone(), gone(&machine.vm_uuid))));
    all.into_values().collect()
}

impl Reporter {
    pub fn new(host: Uuid) -> Self {
        Self { host, state: Mutex::default() }
    }

    /// A session is open. Questions of the one before are void.
    pub fn opened(&self, shared: &Arc<Shared>, link: &Arc<Link>, hello: AgentHello) {
        let now = Instant::now();
        {
            let mut state = self.state.lock();
            state.close();
            state.letters.away = false;
            state.open = hello.stamp.is_some();
            state.settled = false;
            let complete = hello.stamp.is_none()
                || usize::try_from(hello.machine_count).is_ok_and(|count| count == hello.machines.len());
            if complete {
                state.now_known(hello.stamp.unwrap_or_default(), hello.machines);
                state.letters.whole = state.known.as_ref().map(|(_, whole)| Arc::clone(whole));
                // hosts whose sessions were opened together are not asked together for ever
                let part = u32::from(self.host.as_bytes()[15]);
                state.asked_at = now.checked_sub(shared.config.report_period * part / 256);
            } else {
                state.known = None;
                state.ask_all(now);
            }
        }
        link.poke();
        self.deliver(shared, link);
    }

    /// The session is over.
    pub fn closed(&self) {
        self.state.lock().close();
    }

    /// A machine changed without being told to.
    pub fn machine(&self, shared: &Arc<Shared>, link: &Arc<Link>, machine: MachineFacts) {
        self.state.lock().letters.changed.insert(machine.vm_uuid.clone(), machine);
        self.deliver(shared, link);
    }

    /// A task has ended: the row of its machine may say something new soon.
    pub fn task_ended(&self, outcome: &TaskOutcome) {
        let mut state = self.state.lock();
        match &outcome.result {
            Some(Found::Machine(machine)) => drop(state.touched.insert(machine.vm_uuid.clone())),
            // nothing of machines
            Some(_) if outcome.error.is_none() => {}
            // of which one it was is not known here
            _ => state.settled = false,
        }
    }

    /// The host does not answer.
    pub fn disconnected(&self, shared: &Arc<Shared>, link: &Arc<Link>) {
        self.state.lock().letters = Letters { away: true, ..Letters::default() };
        self.deliver(shared, link);
    }

    /// Asks the agent for all its machines, once in a period.
    pub fn tick(&self, config: &Config, now: Instant) {
        let mut state = self.state.lock();
        let due = state.asked_at.is_none_or(|at| now.saturating_duration_since(at) >= config.report_period);
        // one that has not been answered yet is not asked again
        if state.open && due && !state.asked.values().any(|asked| asked.seen.is_empty()) {
            state.ask_all(now);
        }
    }

    /// A question to be sent to the agent.
    pub fn next_question(&self) -> Option<SessionRequest> {
        let question = self.state.lock().questions.pop_front()?;
        Some(SessionRequest { message: Some(Message::Ask(question)) })
    }

    /// A part of an answer has come.
    pub fn answered(&self, shared: &Arc<Shared>, link: &Arc<Link>, report: MachineReport) {
        if self.state.lock().answer(report, Instant::now(), shared.config.report_compare) {
            self.deliver(shared, link);
        }
    }

    fn deliver(&self, shared: &Arc<Shared>, link: &Arc<Link>) {
        if !std::mem::replace(&mut self.state.lock().sending, true) {
            let (sender, link) = (Arc::clone(shared), Arc::clone(link));
            shared.tasks.spawn_until_stop("machine-report", async move {
                // whoever owns the host next tells anew
                let stop = link.stopped().clone();
                stop.run_until_cancelled(link.reporter.deliver_all(&sender, &link)).await;
            });
        }
    }

    async fn deliver_all(&self, shared: &Shared, link: &Link) {
        let mut wait = FIRST_WAIT;
        loop {
            let letter = {
                let mut state = self.state.lock();
                match state.letters.take() {
                    Some(letter) => letter,
                    None => {
                        state.sending = false;
                        return;
                    }
                }
            };
            let again = match &letter {
                Letter::Away => Letter::Away,
                Letter::Whole(whole) => Letter::Whole(Arc::clone(whole)),
                Letter::Answered(_) | Letter::Changed(_) => Letter::Changed(Vec::new()),
            };
            match self.bring(shared, link, letter).await {
                Ok(()) => wait = FIRST_WAIT,
                Err(error) => {
                    tracing::warn!(host = %self.host, %error, "machines could not be reported; trying again");
                    {
                        let mut state = self.state.lock();
                        state.settled = false;
                        match again {
                            Letter::Away => state.letters.away |= !state.open,
                            Letter::Whole(whole) if !state.letters.away => {
                                state.letters.whole.get_or_insert(whole);
                            }
                            Letter::Whole(_) | Letter::Answered(_) | Letter::Changed(_) => {}
                        }
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    async fn bring(&self, shared: &Shared, link: &Link, letter: Letter) -> Result<()> {
        let base = ReportMachinesRequest { host_uuid: self.host.to_string(), connected: true, ..Default::default() };
        match letter {
            Letter::Away => self.send(shared, ReportMachinesRequest { connected: false, ..base }).await.map(drop),
            Letter::Changed(machines) => {
                let named: Vec<_> = machines.iter().map(|machine| machine.vm_uuid.clone()).collect();
                let answer = self.send(shared, ReportMachinesRequest { machines, ..base }).await?;
                {
                    // which machines are not known is told of all together
                    let mut state = self.state.lock();
                    let listed =
                        state.unknown.as_ref().is_some_and(|unknown| named.iter().any(|vm| unknown.contains(vm)));
                    state.settled &= answer.unknown_vm_uuids.is_empty() && !listed;
                }
                self.take(link, answer);
                Ok(())
            }
            Letter::Answered(Asked { seen, machines }) => {
                let answer = self.send(shared, ReportMachinesRequest { machines, seen, ..base }).await?;
                self.state.lock().settle(&answer);
                Ok(())
            }
            Letter::Whole(whole) => {
                {
                    let mut state = self.state.lock();
                    (state.settled, state.compared_at) = (true, Some(Instant::now()));
                }
                let mut unknown = Vec::new();
                for request in pages(&whole, &base) {
                    let mut answer = self.send(shared, request).await?;
                    unknown.append(&mut answer.unknown_vm_uuids);
                    self.take(link, answer);
                }
                self.tell_unknown(shared, link, unknown).await
            }
        }
    }

    /// Takes what the machines' service said to a report that does not count by itself.
    fn take(&self, link: &Link, answer: ReportMachinesResponse) {
        let mut state = self.state.lock();
        state.settle(&answer);
        if state.open && !answer.ask.is_empty() {
            let vms = answer.ask.iter().map(|seen| seen.vm_uuid.clone()).collect();
            state.ask(vms, answer.ask, None);
            drop(state);
            link.poke();
        }
    }

    /// Writes into the host's row which machines are not known, where that is new.
    async fn tell_unknown(&self, shared: &Shared, link: &Link, unknown: Vec<String>) -> Result<()> {
        if self.state.lock().unknown.as_ref() == Some(&unknown) {
            return Ok(());
        }
        let (uuid, fence, count) = (self.host, link.fence(), unknown.len());
        let named: Vec<_> = unknown.iter().take(MOST_NAMED).cloned().collect();
        let seen = named.clone();
        // mostly there is nothing to write: a read tells so without a place in the writer's queue
        let same =
            shared.store.read("host-unknown-same", move |conn| host::unknown_same(conn, uuid, &seen, count)).await?;
        if !same {
            shared
                .store
                .write_again("host-unknown", move |conn| host::write_unknown(conn, uuid, fence, &named, count))
                .await?;
        }
        self.state.lock().unknown = Some(unknown);
        Ok(())
    }

    async fn send(&self, shared: &Shared, request: ReportMachinesRequest) -> Result<ReportMachinesResponse> {
        let _turn = shared.reports.acquire().await.map_err(gyre_model::Error::internal)?;
        let mut request = Caller::system().request(request);
        request.set_timeout(LIMIT);
        let mut client = MachineReportServiceClient::new(shared.mesh.channel("vm"));
        Ok(client.report_machines(request).await?.into_inner())
    }
}

impl State {
    fn close(&mut self) {
        self.open = false;
        self.questions.clear();
        self.asked.clear();
    }
}

/// A whole report in pages, each complete between two UUIDs.
fn pages<'a>(
    whole: &'a [MachineFacts],
    base: &'a ReportMachinesRequest,
) -> impl Iterator<Item = ReportMachinesRequest> + Send + 'a {
    let bound = |at: usize| whole.get(at * PAGE).map(|machine| machine.vm_uuid.clone()).unwrap_or_default();
    (0..whole.len().div_ceil(PAGE).max(1)).map(move |at| ReportMachinesRequest {
        machines: whole.iter().skip(at * PAGE).take(PAGE).cloned().collect(),
        complete: true,
        from_uuid: if at == 0 { String::new() } else { bound(at) },
        before_uuid: bound(at + 1),
        ..base.clone()
    })
}

#[cfg(test)]
mod tests {
    use gyre_proto::agent::v1::MachineState;

    use super::*;

    fn machine(at: usize) -> MachineFacts {
        let vm_uuid = format!("{at:08}-0000-4000-8000-000000000000");
        MachineFacts { vm_uuid, state: MachineState::Running.into(), at_work: false }
    }

    #[test]
    fn pages_cover_everything_once() {
        let base = ReportMachinesRequest::default();
        for count in [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE] {
            let whole: Vec<_> = (0..count).map(machine).collect();
            let pages: Vec<_> = pages(&whole, &base).collect();
            assert_eq!(pages.iter().map(|page| page.machines.len()).sum::<usize>(), count);
            assert!(pages[0].from_uuid.is_empty() && pages[pages.len() - 1].before_uuid.is_empty());
            for two in pages.windows(2) {
                assert_eq!(two[0].before_uuid, two[1].from_uuid);
                assert_eq!(two[1].machines[0].vm_uuid, two[1].from_uuid);
            }
            assert!(pages.iter().all(|page| page.complete));
        }
    }

    #[test]
    fn what_did_not_change_is_not_brought_unless_something_asks_for_it() {
        let (now, compare) = (Instant::now(), Duration::from_secs(60));
        let mut state = State { open: true, ..State::default() };
        let stamp = |sequence| Some(ReportStamp { sequence, ..ReportStamp::default() });
        let ask = |state: &mut State, sequence, unchanged, now| {
            state.ask_all(now);
            let question = state.questions.pop_front().expect("a question");
            let machines = if unchanged { Vec::new() } else { vec![machine(2), machine(1)] };
            let report =
                MachineReport { serial: question.serial, stamp: stamp(sequence), unchanged, machines, last: true };
            (question.known, state.answer(report, now, compare))
        };
        assert_eq!(ask(&mut state, 1, false, now), (None, true));
        assert!(matches!(state.letters.take(), Some(Letter::Whole(whole)) if whole[0] == machine(1)));
        (state.settled, state.compared_at) = (true, Some(now));
        assert_eq!(ask(&mut state, 1, true, now), (stamp(1), false));
        assert!(state.letters.take().is_none());
        state.settled = false;
        assert!(ask(&mut state, 1, true, now).1, "something was not settled");
        state.settled = true;
        assert!(ask(&mut state, 1, true, now + compare).1, "it was not compared for long");
        state.letters = Letters::default();
        assert!(!ask(&mut state, 2, false, now).1, "it is told as before");
        let unsettled = ReportMachinesResponse {
            unsettled: true,
            unsettled_vm_uuids: vec![machine(2).vm_uuid],
            ..ReportMachinesResponse::default()
        };
        state.settle(&unsettled);
        assert!(state.settled && ask(&mut state, 2, true, now).1, "one was not settled");
        assert!(matches!(state.letters.take(), Some(Letter::Changed(changed)) if changed == [machine(2)]));
        assert!(!ask(&mut state, 2, true, now).1);
        // one of an older version does not say which
        state.settle(&ReportMachinesResponse { unsettled: true, ..ReportMachinesResponse::default() });
        assert!(ask(&mut state, 2, true, now).1);
        assert!(matches!(state.letters.take(), Some(Letter::Whole(_))));
        // more than a message takes comes in pages, as a whole report does
        state.settled = true;
        state.touched = (0..=PAGE).map(|at| machine(at).vm_uuid).collect();
        assert!(ask(&mut state, 2, true, now).1);
        assert!(matches!(state.letters.take(), Some(Letter::Whole(_))));
    }

    #[test]
    fn a_change_is_brought_without_what_stands_beside_it() {
        let stopped = |at| MachineFacts { state: MachineState::Stopped.into(), ..machine(at) };
        let gone = |at| MachineFacts { vm_uuid: machine(at).vm_uuid, ..MachineFacts::default() };
        let before = [machine(1), machine(2), machine(3), machine(5)];
        let now = [machine(1), stopped(2), machine(4), machine(5)];
        let again = [machine(1), machine(3), machine(9)].map(|machine| machine.vm_uuid).into();
        let differing = differing(&before, &now, &again);
        assert_eq!(differing, [machine(1), stopped(2), gone(3), machine(4), gone(9)]);
        assert!(super::differing(&now, &now, &BTreeSet::new()).is_empty());
    }

    #[test]
    fn answers_come_in_parts_and_go_back_with_how_rows_were_seen() {
        let mut state = State { open: true, ..State::default() };
        let seen = SeenMachine { vm_uuid: machine(1).vm_uuid, generation: 4 };
        state.ask(vec![seen.vm_uuid.clone()], vec![seen.clone()], None);
        let serial = state.questions[0].serial;
        let part = |last| MachineReport { serial, machines: vec![machine(1)], last, ..MachineReport::default() };
        assert!(!state.answer(part(false), Instant::now(), Duration::ZERO));
        assert!(state.answer(part(true), Instant::now(), Duration::ZERO));
        assert!(!state.answer(part(true), Instant::now(), Duration::ZERO), "nobody asked any more");
        let Some(Letter::Answered(answered)) = state.letters.take() else { panic!("an answer") };
        assert_eq!((answered.seen, answered.machines.len()), (vec![seen], 2));
    }
}
