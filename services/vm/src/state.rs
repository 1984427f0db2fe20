//! The states of a machine as a table; docs/vm-states.md is printed from it, and a test compares them.

use gyre_proto::vm::v1::VmState;

/// What happens to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A start begins.
    Start,
    /// A stop begins.
    Stop,
    /// A restart begins.
    Reboot,
    /// It is about to be put in the bin.
    Destroy,
    /// It is taken out of the bin.
    Recover,
    /// It is about to be deleted for good, out of the bin.
    Expunge,
    /// It is about to be deleted for good, from wherever it is.
    Erase,
    /// What began has ended with the machine running.
    Running,
    /// What began has ended with the machine off.
    Off,
    /// It is in the bin.
    Binned,
    /// Its host says that it runs.
    SeenRunning,
    /// Its host says that it is off, or does not know it.
    SeenOff,
    /// Its host does not answer.
    HostLost,
}

/// Every event, in the order of the table's rows.
pub const EVENTS: [Event; 13] = [
    Event::Start,
    Event::Stop,
    Event::Reboot,
    Event::Destroy,
    Event::Recover,
    Event::Expunge,
    Event::Erase,
    Event::Running,
    Event::Off,
    Event::Binned,
    Event::SeenRunning,
    Event::SeenOff,
    Event::HostLost,
];

/// Every state, in the order of the table's columns.
pub const STATES: [VmState; 10] = [
    VmState::Creating,
    VmState::Starting,
    VmState::Running,
    VmState::Stopping,
    VmState::Stopped,
    VmState::Rebooting,
    VmState::Destroying,
    VmState::Destroyed,
    VmState::Expunging,
    VmState::Unknown,
];

/// States that an operation makes at its begin and leaves at its end.
pub const ON_ITS_WAY: [VmState; 6] = [
    VmState::Creating,
    VmState::Starting,
    VmState::Stopping,
    VmState::Rebooting,
    VmState::Destroying,
    VmState::Expunging,
];

/// The state after an event; nothing where the event is refused (or, of what hosts say, ignored).
pub fn next(state: VmState, event: Event) -> Option<VmState> {
    use VmState as S;
    match event {
        Event::Start => match state {
            S::Stopped | S::Starting => Some(S::Starting),
            S::Unspecified
            | S::Creating
            | S::Running
            | S::Stopping
            | S::Rebooting
            | S::Destroying
            | S::Destroyed
            | S::Expunging
            | S::Unknown => None,
        },
        Event::Stop => match state {
            S::Running | S::Unknown | S::Stopping => Some(S::Stopping),
            S::Unspecified
            | S::Creating
            | S::Starting
            | S::Stopped
            | S::Rebooting
            | S::Destroying
            | S::Destroyed
            | S::Expunging => None,
        },
        Event::Reboot => match state {
            S::Running | S::Rebooting => Some(S::Rebooting),
            S::Unspecified
            | S::Creating
            | S::Starting
            | S::Stopping
            | S::Stopped
            | S::Destroying
            | S::Destroyed
            | S::Expunging
            | S::Unknown => None,
        },
        Event::Destroy => match state {
            S::Running | S::Stopped | S::Unknown | S::Destroying => Some(S::Destroying),
            S::Unspecified | S::Creating | S::Starting | S::Stopping | S::Rebooting | S::Destroyed | S::Expunging => {
                None
            }
        },
        Event::Recover => match state {
            S::Destroyed => Some(S::Stopped),
            S::Unspecified
            | S::Creating
            | S::Starting
            | S::Running
            | S::Stopping
            | S::Stopped
            | S::Rebooting
            | S::Destroying
            | S::Expunging
            | S::Unknown => None,
        },
        Event::Expunge => match state {
            S::Destroyed | S::Expunging => Some(S::Expunging),
            S::Unspecified
            | S::Creating
            | S::Starting
            | S::Running
            | S::Stopping
            | S::Stopped
            | S::Rebooting
            | S::Destroying
            | S::Unknown => None,
        },
        // in its lane nothing else works on it, so a state on its way is one that somebody left
        Event::Erase => match state {
            S::Creating
            | S::Starting
            | S::Running
            | S::Stopping
            | S::Stopped
            | S::Rebooting
            | S::Destroying
            | S::Destroyed
            | S::Expunging
            | S::Unknown => Some(S::Expunging),
            S::Unspecified => None,
        },
        Event::Running => match state {
            S::Creating | S::Starting | S::Rebooting | S::Running => Some(S::Running),
            S::Unspecified | S::Stopping | S::Stopped | S::Destroying | S::Destroyed | S::Expunging | S::Unknown => {
                None
            }
        },
        Event::Off => match state {
            S::Stopping | S::Stopped => Some(S::Stopped),
            S::Unspecified
            | S::Creating
            | S::Starting
            | S::Running
            | S::Rebooting
            | S::Destroying
            | S::Destroyed
            | S::Expunging
            | S::Unknown => None,
        },
        Event::Binned => match state {
            S::Destroying | S::Destroyed => Some(S::Destroyed),
            S::Unspecified
            | S::Creating
            | S::Starting
            | S::Running
            | S::Stopping
            | S::Stopped
            | S::Rebooting
            | S::Expunging
            | S::Unknown => None,
        },
        Event::SeenRunning => match state {
            S::Unknown => Some(S::Running),
            S::Unspecified
            | S::Creating
            | S::Starting
            | S::Running
            | S::Stopping
            | S::Stopped
            | S::Rebooting
            | S::Destroying
            | S::Destroyed
            | S::Expunging => None,
        },
        Event::SeenOff => match state {
            S::Running | S::Unknown => Some(S::Stopped),
            S::Unspecified
            | S::Creating
            | S::Starting
            | S::Stopping
            | S::Stopped
            | S::Rebooting
            | S::Destroying
            | S::Destroyed
            | S::Expunging => None,
        },
        Event::HostLost => match state {
            S::Running => Some(S::Unknown),
            S::Unspecified
            | S::Creating
            | S::Starting
            | S::Stopping
            | S::Stopped
            | S::Rebooting
            | S::Destroying
            | S::Destroyed
            | S::Expunging
            | S::Unknown => None,
        },
    }
}

/// A state as people write it.
pub fn name(state: VmState) -> &'static str {
    state.as_str_name().trim_start_matches("VM_STATE_")
}

/// The table as Markdown.
pub fn markdown() -> String {
    let names: Vec<_> = STATES.iter().map(|state| name(*state)).collect();
    let mut text = format!("| event | {} |\n| --- |{}\n", names.join(" | "), " --- |".repeat(STATES.len()));
    for event in EVENTS {
        let row: Vec<_> = STATES.iter().map(|state| next(*state, event).map_or("", name)).collect();
        text.push_str(&format!("| {event:?} | {} |\n", row.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_shows_the_table() {
        let document = include_str!("../../../docs/vm-states.md");
        assert!(document.contains(&markdown()), "docs/vm-states.md should hold:\n{}", markdown());
    }

    #[test]
    fn what_is_on_its_way_is_left_to_its_operation() {
        for state in [VmState::Creating, VmState::Starting, VmState::Stopping, VmState::Rebooting, VmState::Destroying]
        {
            for event in [Event::SeenRunning, Event::SeenOff, Event::HostLost] {
                assert_eq!(next(state, event), None, "{state:?} {event:?}");
            }
        }
    }
}
