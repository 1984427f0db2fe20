//! What the demo tells at its end: where the machine is, what it said, and what to try next.

use gyre_proto::vm::v1::{Vm, VmState};

use super::DemoSetup;
use crate::ui::Ui;

/// How many lines of the console are shown.
const LINES: usize = 12;

/// Tells it.
pub fn tell(setup: &DemoSetup, vm: &Vm, greeted: bool, console: &str, ui: &Ui) {
    let lines: Vec<_> = console
        .lines()
        .map(|line| line.chars().filter(|letter| !letter.is_control()).collect::<String>())
        .filter(|line| !line.trim().is_empty())
        .collect();
    if !lines.is_empty() {
        ui.say("\nthe machine's console:");
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            ui.say(&format!("  | {line}"));
        }
    }
    let state = match vm.state() {
        VmState::Running => "runs",
        _ => "does not run",
    };
    let address = if vm.addresses.is_empty() { String::new() } else { format!(" at {}", vm.addresses.join(", ")) };
    let kind = if setup.simulated { " (simulated: there is no guest inside)" } else { "" };
    ui.say(&format!("\nthe machine {:?} {state}{address}{kind}; its UUID is {}", vm.name, vm.uuid));
    if !setup.simulated && !setup.greeting.is_empty() && !greeted {
        ui.say("it has not greeted yet; its console shows how far it is");
    }
    let name = if vm.name.contains(char::is_whitespace) { vm.uuid.clone() } else { vm.name.clone() };
    let size = setup.memory_bytes >> 20;
    ui.say("\nto try next, in another terminal:");
    for (command, what) in [
        (format!("gyre vm console {name}"), "type into the machine; Ctrl-] leaves"),
        ("gyre vm list".to_owned(), "all machines"),
        (format!("gyre vm stop {name} --wait"), "switch it off; `start` switches it on"),
        (
            format!(
                "gyre vm create --name web-1 --image {} --network {} --cpu-count 1 --memory {size}MiB --wait",
                setup.image_name, setup.name
            ),
            "another machine",
        ),
        ("gyre operation list --limit 5".to_owned(), "what was done"),
        (format!("gyre vm delete {name} --wait"), "put it in the bin; `recover` takes it out, `expunge` empties it"),
    ] {
        ui.say(&format!("  {command}\n      {what}"));
    }
}
