//! The rules by which rows and hosts are made to agree: what follows from a machine's row, its operations, and what its host says.
//! docs/reconciliation.md explains them, and a test compares the names.

use gyre_proto::vm::v1::VmState;

use crate::state::Event;

/// A machine's row, as the host that speaks of it sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// There is none.
    None,
    /// It is on this host.
    Here(VmState),
    /// It is on another host, or on none yet.
    Elsewhere {
        /// Its state there.
        state: VmState,
        /// Whether that host answers: then it was that host's word that made the state.
        connected: bool,
    },
}

/// What there is of operations on a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Operations {
    /// One is under way, or waits.
    pub busy: bool,
    /// One has ended: the machine was Gyre's.
    pub ended: bool,
    /// One that a rule began has ended a moment ago.
    pub lately: bool,
}

/// What a host says of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It runs (or is frozen).
    Running,
    /// It is off.
    Off,
    /// A task is at it.
    AtWork,
    /// It is not known there.
    Absent,
    /// The host does not answer.
    Away,
}

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The host says that a machine is off that should run.
    StoppedByItself,
    /// The host does not know a machine that should run.
    ForgottenByHost,
    /// A machine runs of which nothing was known.
    CameBack,
    /// A machine runs that should be off.
    RunningButOff,
    /// A machine is there that was Gyre's and is gone.
    GoneButThere,
    /// A machine is there that runs on another host.
    Moved,
    /// A machine is there that should be elsewhere, and nobody says that it is.
    Elsewhere,
    /// A machine is there that was never heard of.
    UnknownMachine,
    /// The host of a machine that runs does not answer.
    LostWithHost,
}

/// Every rule.
pub const RULES: [Rule; 9] = [
    Rule::StoppedByItself,
    Rule::ForgottenByHost,
    Rule::CameBack,
    Rule::RunningButOff,
    Rule::GoneButThere,
    Rule::Moved,
    Rule::Elsewhere,
    Rule::UnknownMachine,
    Rule::LostWithHost,
];

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The row follows the host.
    Move(Event, &'static str),
    /// The host follows the row, by this workflow.
    Mend(&'static str),
    /// Nothing but to be counted and told.
    Leave,
}

/// What is to be done about a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Row and host agree.
    Agree,
    /// They do not, and it cannot be settled now: something is under way.
    Wait,
    /// They do not.
    Rule(Rule),
}

impl Rule {
    /// Its name in documents, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::StoppedByItself => "stopped-by-itself",
            Self::ForgottenByHost => "forgotten-by-host",
            Self::CameBack => "came-back",
            Self::RunningButOff => "running-but-off",
            Self::GoneButThere => "gone-but-there",
            Self::Moved => "moved",
            Self::Elsewhere => "elsewhere",
            Self::UnknownMachine => "unknown-machine",
            Self::LostWithHost => "lost-with-host",
        }
    }

    /// What it does.
    pub fn action(self) -> Action {
        match self {
            Self::StoppedByItself => Action::Move(Event::SeenOff, "it stopped by itself"),
            Self::ForgottenByHost => Action::Move(Event::SeenOff, "its host does not know it"),
            Self::CameBack => Action::Move(Event::SeenRunning, ""),
            Self::LostWithHost => Action::Move(Event::HostLost, "its host does not answer"),
            Self::RunningButOff => Action::Mend("stop-again-vm"),
            Self::GoneButThere | Self::Moved => Action::Mend("sweep-vm"),
            Self::Elsewhere | Self::UnknownMachine => Action::Leave,
        }
    }

    /// The rule of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        RULES.into_iter().find(|rule| rule.name() == name)
    }
}

/// Which rule row and word call for, whatever is under way.
fn disagreement(row: Row, ended: bool, said: Said) -> Option<Rule> {
    match (row, said) {
        (Row::Here(VmState::Running), Said::Away) => Some(Rule::LostWithHost),
        (_, Said::Away | Said::AtWork) => None,
        (Row::Here(VmState::Unknown), Said::Running) => Some(Rule::CameBack),
        (Row::Here(VmState::Running | VmState::Unknown), Said::Off) => Some(Rule::StoppedByItself),
        (Row::Here(VmState::Running | VmState::Unknown), Said::Absent) => Some(Rule::ForgottenByHost),
        (Row::Here(VmState::Stopped | VmState::Destroyed), Said::Running) => Some(Rule::RunningButOff),
        (Row::Here(_) | Row::None | Row::Elsewhere { .. }, Said::Absent)
        | (Row::Here(_), Said::Running | Said::Off) => None,
        (Row::Elsewhere { state: VmState::Running, connected: true }, Said::Running | Said::Off) => Some(Rule::Moved),
        (Row::Elsewhere { .. }, Said::Running | Said::Off) => Some(Rule::Elsewhere),
        (Row::None, Said::Running | Said::Off) if ended => Some(Rule::GoneButThere),
        (Row::None, Said::Running | Said::Off) => Some(Rule::UnknownMachine),
    }
}

/// What is to be done.
pub fn decide(row: Row, operations: Operations, said: Said) -> Verdict {
    // a state on its way is its operation's; a machine with a task at it may be anything in a moment
    let on_its_way = matches!(row, Row::Here(state) if crate::state::ON_ITS_WAY.contains(&state)) && said != Said::Away;
    if on_its_way || said == Said::AtWork {
        return Verdict::Wait;
    }
    match disagreement(row, operations.ended, said) {
        None => Verdict::Agree,
        Some(_) if operations.busy => Verdict::Wait,
        Some(rule) if operations.lately && matches!(rule.action(), Action::Mend(_)) => Verdict::Wait,
        Some(rule) => Verdict::Rule(rule),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{STATES, next};

    const SAID: [Said; 5] = [Said::Running, Said::Off, Said::AtWork, Said::Absent, Said::Away];

    /// Rows, in the order of the table below.
    fn rows() -> Vec<(Row, &'static str)> {
        use VmState as S;
        let here = |state| match state {
            //               Running            Off                  AtWork  Absent               Away
            S::Running => "agree               stopped-by-itself    wait    forgotten-by-host    lost-with-host",
            S::Unknown => "came-back           stopped-by-itself    wait    forgotten-by-host    agree",
            S::Stopped => "running-but-off     agree                wait    agree                agree",
            S::Destroyed => "running-but-off   agree                wait    agree                agree",
            _ => "wait                         wait                 wait    wait                 agree",
        };
        let mut rows: Vec<_> = STATES.into_iter().map(|state| (Row::Here(state), here(state))).collect();
        for state in STATES {
            for connected in [false, true] {
                let verdicts = match (state, connected) {
                    (S::Running, true) => "moved       moved       wait    agree    agree",
                    _ => "elsewhere                elsewhere   wait    agree    agree",
                };
                rows.push((Row::Elsewhere { state, connected }, verdicts));
            }
        }
        rows
    }

    fn verdict(name: &str) -> Verdict {
        match name {
            "agree" => Verdict::Agree,
            "wait" => Verdict::Wait,
            name => Verdict::Rule(Rule::by_name(name).unwrap_or_else(|| panic!("{name}"))),
        }
    }

    #[test]
    fn every_combination_has_its_verdict() {
        let mut seen = 0;
        let mut check = |row: Row, line: &str, ended: bool| {
            for (said, name) in SAID.into_iter().zip(line.split_whitespace()) {
                for (busy, lately) in [(false, false), (false, true), (true, false), (true, true)] {
                    let quiet = verdict(name);
                    let mends = matches!(quiet, Verdict::Rule(rule) if matches!(rule.action(), Action::Mend(_)));
                    let expected = match quiet {
                        Verdict::Rule(_) if busy || lately && mends => Verdict::Wait,
                        quiet => quiet,
                    };
                    let operations = Operations { busy, ended, lately };
                    assert_eq!(decide(row, operations, said), expected, "{row:?} {operations:?} {said:?}");
                    seen += 1;
                }
            }
        };
        for ended in [false, true] {
            for (row, line) in rows() {
                check(row, line, ended);
            }
        }
        check(Row::None, "unknown-machine unknown-machine wait agree agree", false);
        check(Row::None, "gone-but-there gone-but-there wait agree agree", true);
        assert_eq!(seen, (2 * 3 * STATES.len() + 2) * SAID.len() * 4);
    }

    #[test]
    fn rules_move_rows_by_the_table_of_states() {
        for state in STATES {
            for said in SAID {
                if let Verdict::Rule(rule) = decide(Row::Here(state), Operations::default(), said)
                    && let Action::Move(event, _) = rule.action()
                {
                    assert!(next(state, event).is_some(), "{rule:?} of {state:?}");
                }
            }
        }
    }

    #[test]
    fn the_document_names_every_rule() {
        let document = include_str!("../../../docs/reconciliation.md");
        for rule in RULES {
            assert!(document.contains(&format!("| `{}` |", rule.name())), "{}", rule.name());
        }
    }
}
