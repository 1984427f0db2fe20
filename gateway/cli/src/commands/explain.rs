//! `gyre operation explain`: what happened to an operation, a line for each event.

use gyre_proto::common::v1::{ExplainOperationResponse, Operation, OperationEvent, OperationEventKind as Kind};
use prost_reflect::DynamicMessage;

use crate::failure::{Failure, Result};
use crate::output;

/// The full name of the answer.
pub const EXPLAINED: &str = "gyre.common.v1.ExplainOperationResponse";

/// Prints the timeline for people.
pub fn print(answer: &DynamicMessage) -> Result<()> {
    let told: ExplainOperationResponse =
        answer.transcode_to().map_err(|error| Failure::general(format!("the answer is no timeline: {error}")))?;
    output::print(&timeline(&told))
}

fn timeline(told: &ExplainOperationResponse) -> String {
    let operation = told.operation.clone().unwrap_or_default();
    let begin = operation.create_time.as_ref().map_or(0, micros);
    let mut rows: Vec<_> = told.events.iter().map(|event| row(event, begin)).collect();
    if told.dropped > 0 {
        let at = usize::try_from(told.kept_before).unwrap_or(0).min(rows.len());
        let note = format!("{} events are not kept", told.dropped);
        rows.insert(at, [const { String::new() }; 7].into_iter().chain([note]).collect());
    }
    let head = ["AFTER", "INSTANCE", "FENCE", "STEP", "EVENT", "TOOK", "HOST", "NOTE"].map(str::to_owned);
    format!("{}\n\n{}", headline(&operation, begin), output::text_table(&head, rows))
}

/// "create-vm 6f0c… of vm 91d2…: SUCCEEDED after 1.2 s", and why where it did not succeed.
fn headline(operation: &Operation, begin: i64) -> String {
    let state = operation.state().as_str_name().trim_start_matches("OPERATION_STATE_");
    let Operation { workflow, uuid, resource_kind, resource_uuid, .. } = operation;
    let mut text = format!("{workflow} {uuid} of {resource_kind} {resource_uuid}: {state}");
    if let Some(end) = &operation.end_time {
        text += &format!(" after {}", span(micros(end) - begin));
    }
    if let Some(error) = &operation.error {
        text += &format!("\n{} ({})", plain(&error.message), plain(&error.reason));
    }
    text
}

fn row(event: &OperationEvent, begin: i64) -> Vec<String> {
    let time = event.time.as_ref().map_or(0, micros);
    let took = event.duration.as_ref().map(|took| span(took.seconds * 1_000_000 + i64::from(took.nanos) / 1_000));
    let step = match event.attempt {
        0 | 1 => plain(&event.step),
        attempt => format!("{} (try {attempt})", plain(&event.step)),
    };
    vec![
        format!("+{}", span(time - begin)),
        short(&event.instance_uuid),
        event.fence.to_string(),
        step,
        what(event),
        took.unwrap_or_default(),
        short(&event.host_uuid),
        plain(&event.message),
    ]
}

/// What happened, in words; of a kind that this version does not know, its number.
fn what(event: &OperationEvent) -> String {
    match Kind::try_from(event.kind) {
        Ok(kind) => kind.as_str_name().trim_start_matches("OPERATION_EVENT_KIND_").trim_start_matches("STEP_"),
        Err(_) => return format!("event {}", event.kind),
    }
    .to_lowercase()
    .replace('_', " ")
}

/// The end of a UUID, which is enough to tell a few apart; the beginning is the time in which it was made.
fn short(uuid: &str) -> String {
    uuid.rsplit('-').next().unwrap_or_default().to_owned()
}

fn micros(time: &gyre_proto::Timestamp) -> i64 {
    time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000
}

/// A length of time: "0 ms", "12 ms", "1.25 s", "3 m 20 s".
fn span(micros: i64) -> String {
    let ms = micros.max(0) / 1_000;
    match ms {
        0..=999 => format!("{ms} ms"),
        1_000..=119_999 => format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10),
        _ => format!("{} m {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// What a guest or another user wrote must not steer this terminal.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use gyre_proto::{Duration, Timestamp};

    use super::*;

    fn event(kind: Kind, ms: i32, fence: i64, step: &str) -> OperationEvent {
        OperationEvent {
            kind: kind.into(),
            time: Some(Timestamp { seconds: 100, nanos: ms * 1_000_000 }),
            step: step.into(),
            attempt: 1,
            instance_uuid: format!("0193f3a0-0000-4000-8000-{fence}0000003a12b"),
            fence,
            ..OperationEvent::default()
        }
    }

    #[test]
    fn a_timeline_has_a_line_for_each_event() {
        let operation = Operation {
            uuid: "u".into(),
            workflow: "create-vm".into(),
            resource_kind: "vm".into(),
            resource_uuid: "r".into(),
            state: gyre_proto::common::v1::OperationState::Succeeded.into(),
            create_time: Some(Timestamp { seconds: 100, nanos: 0 }),
            end_time: Some(Timestamp { seconds: 101, nanos: 250_000_000 }),
            ..Operation::default()
        };
        let done = OperationEvent {
            duration: Some(Duration { seconds: 0, nanos: 30_000_000 }),
            host_uuid: "0193f3a0-0000-4000-8000-0000abcdef01".into(),
            attempt: 2,
            message: "a\u{1b}[31mb".into(),
            ..event(Kind::StepDone, 42, 2, "start")
        };
        let events = vec![event(Kind::Began, 0, 1, ""), event(Kind::Taken, 12, 2, ""), done];
        let told = ExplainOperationResponse { operation: Some(operation), events, dropped: 3, kept_before: 1 };
        let text = timeline(&told);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "create-vm u of vm r: SUCCEEDED after 1.25 s");
        assert_eq!(lines.len(), 7, "{text}");
        assert_eq!(lines[3].split_whitespace().collect::<Vec<_>>(), ["+0", "ms", "10000003a12b", "1", "began"]);
        assert_eq!(lines[4].trim(), "3 events are not kept");
        assert!(lines[5].ends_with("taken"), "{text}");
        let last: Vec<_> = lines[6].split_whitespace().collect();
        assert_eq!(last[..4], ["+42", "ms", "20000003a12b", "2"]);
        assert!(lines[6].contains("start (try 2)  done   30 ms  0000abcdef01  a [31mb"), "{text}");
    }
}
