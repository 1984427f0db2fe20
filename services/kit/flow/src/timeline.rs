//! What happened to an operation, event by event. Kept in memory while it runs, written with whatever commit comes next, never
//! with one of its own; so an instance that dies takes along what happened since its last commit, and nothing that was relied on.
//! Of very many events the first and the last are kept.

use std::collections::VecDeque;

use gyre_model::{Error, Result, time};
use gyre_proto::Message as _;
use gyre_proto::common::v1::{Operation, OperationEvent, OperationEventKind, OperationTimeline};

/// How many events are kept from the beginning.
const FIRST: usize = 50;
/// How many are kept from the end.
const LAST: usize = 450;

/// What stands before an event on the wire: field 1, with a length.
const EVENTS: u8 = 1 << 3 | 2;

/// The events of one operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline {
    first: Vec<OperationEvent>,
    last: VecDeque<OperationEvent>,
    dropped: i32,
}

/// An event of an operation as it stands, happening now.
pub(crate) fn event(operation: &Operation, kind: OperationEventKind) -> OperationEvent {
    OperationEvent {
        kind: kind.into(),
        time: Some(time::now()),
        instance_uuid: operation.instance_uuid.clone(),
        fence: operation.fence,
        ..OperationEvent::default()
    }
}

impl Timeline {
    /// Adds an event, and answers where it is.
    pub fn push(&mut self, event: OperationEvent) -> &mut OperationEvent {
        if self.first.len() < FIRST {
            return self.first.push_mut(event);
        }
        if self.last.len() == LAST {
            self.last.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.last.push_back_mut(event)
    }

    /// Takes the newest event of a kind back, which did not come true. Another may have come after it.
    pub fn take_back(&mut self, kind: OperationEventKind) {
        if let Some(at) = self.last.iter().rposition(|event| event.kind() == kind) {
            self.last.remove(at);
        } else if let Some(at) = self.first.iter().rposition(|event| event.kind() == kind) {
            self.first.remove(at);
        }
    }

    /// As it is kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kept_before = i32::try_from(self.first.len()).unwrap_or(i32::MAX);
        let mut bytes = OperationTimeline { events: Vec::new(), dropped: self.dropped, kept_before }.encode_to_vec();
        for event in self.first.iter().chain(&self.last) {
            // a message that is cut in two is the message; so no event has to be copied
            bytes.push(EVENTS);
            bytes.extend_from_slice(&event.encode_length_delimited_to_vec());
        }
        bytes
    }

    /// As it is told, without so many of the newest events.
    pub fn to_message(&self, untold: usize) -> OperationTimeline {
        let told = (self.first.len() + self.last.len()).saturating_sub(untold);
        OperationTimeline {
            events: self.first.iter().chain(&self.last).take(told).cloned().collect(),
            dropped: self.dropped,
            kept_before: i32::try_from(self.first.len()).unwrap_or(i32::MAX),
        }
    }

    /// As it was kept.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let kept = OperationTimeline::decode(bytes).map_err(Error::internal)?;
        let mut events = kept.events.into_iter();
        let before = usize::try_from(kept.kept_before).unwrap_or(0).min(FIRST);
        let first = events.by_ref().take(before).collect();
        Ok(Self { first, last: events.collect(), dropped: kept.dropped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_events_the_first_and_the_last_stay() {
        let mut timeline = Timeline::default();
        for attempt in 0..1_000 {
            timeline.push(OperationEvent { attempt, ..OperationEvent::default() });
            if attempt % 100 == 0 {
                timeline = Timeline::from_bytes(&timeline.to_bytes()).unwrap();
            }
        }
        let kept = timeline.to_message(0);
        assert_eq!((kept.events.len(), kept.dropped, kept.kept_before), (500, 500, 50));
        assert_eq!((kept.events[49].attempt, kept.events[50].attempt, kept.events[499].attempt), (49, 550, 999));
    }

    #[test]
    fn what_did_not_come_true_is_taken_back_and_what_is_not_durable_is_not_told() {
        let of = |kind: OperationEventKind| OperationEvent { kind: kind.into(), ..OperationEvent::default() };
        let mut timeline = Timeline::default();
        timeline.push(of(OperationEventKind::Began));
        timeline.push(of(OperationEventKind::Ended));
        timeline.push(of(OperationEventKind::CancelAsked));
        let kinds = |told: OperationTimeline| told.events.iter().map(OperationEvent::kind).collect::<Vec<_>>();
        assert_eq!(kinds(timeline.to_message(2)), [OperationEventKind::Began]);
        timeline.take_back(OperationEventKind::Ended);
        assert_eq!(kinds(timeline.to_message(0)), [OperationEventKind::Began, OperationEventKind::CancelAsked]);
    }
}
