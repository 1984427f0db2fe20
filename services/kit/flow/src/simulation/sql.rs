//! The same changes by the statements that production uses, and the test that they and the model agree.

use gyre_model::{Acting, Caller, Uuid, parse_uuid, time};
use gyre_proto::common::v1::{GetOperationRequest, Operation, OperationState};
use gyre_store::{Conn, Store, StoreConfig};
use serde_json::Map;

use super::operations::{Memory, New, Operations, Saved, Stands, Turn};
use super::random::Random;
use crate::fence;
use crate::record::{self, Record};
use crate::request::{Before, Wish};
use crate::timeline::Timeline;

/// The real tables.
struct Tables<'a>(&'a mut Conn);

fn stands(record: &Record) -> Stands {
    let operation = &record.operation;
    let uuid = |text: &str| parse_uuid(text).unwrap();
    Stands {
        uuid: uuid(&operation.uuid),
        resource: uuid(&operation.resource_uuid),
        instance: uuid(&operation.instance_uuid),
        fence: operation.fence,
        state: operation.state(),
        cancel: record.cancel,
    }
}

impl Operations for Tables<'_> {
    fn insert(&mut self, new: &New) -> Stands {
        let now = time::from_micros(time::now_micros());
        let wish = Wish::new(&Caller::system(), "test", &new.request, &GetOperationRequest::default());
        if let Before::Operation(before) = wish.claim(self.0, new.uuid).unwrap() {
            return self.get(before).unwrap();
        }
        let operation = Operation {
            uuid: new.uuid.to_string(),
            account_uuid: Uuid::nil().to_string(),
            create_time: Some(now),
            update_time: Some(now),
            generation: 1,
            state: OperationState::Running.into(),
            service: "host".into(),
            workflow: "test".into(),
            resource_kind: "zone".into(),
            resource_uuid: new.resource.to_string(),
            fence: 1,
            instance_uuid: new.instance.to_string(),
            request_id: new.request.clone(),
            ..Operation::default()
        };
        let mut record = Record {
            operation,
            input: Vec::new(),
            vars: Map::new(),
            admin: true,
            cancel: false,
            timeline: Timeline::default(),
            owes: false,
            fresh: true,
        };
        record::insert(self.0, &mut record).unwrap();
        self.get(new.uuid).unwrap()
    }

    fn take(&mut self, uuid: Uuid, seen: i64, instance: Uuid) -> Option<Stands> {
        record::take_all(self.0, &[(uuid, seen)], instance).unwrap().first().map(stands)
    }

    fn promote(&mut self, uuid: Uuid, fence: i64, undo: bool) -> Turn {
        let state = if undo { OperationState::Undoing } else { OperationState::Running };
        match record::promote(self.0, uuid, fence, state) {
            Ok(true) => Turn::Come,
            Ok(false) => Turn::Busy,
            Err(error) if error.reason() == "FENCED" => Turn::Fenced,
            Err(error) => panic!("{error}"),
        }
    }

    fn save(&mut self, uuid: Uuid, fence: i64, state: OperationState, unless_cancelled: bool) -> Saved {
        // as the last commit of a run does: the save, and then the look at the cancel, which takes it back
        let saved = self.0.savepoint(|conn| {
            let mut operation = record::load(conn, uuid)?.ok_or_else(record::fenced)?.operation;
            operation.fence = fence;
            operation.set_state(state);
            let timeline = Timeline::default().to_bytes();
            let saved = record::save(conn, uuid, &operation, &Map::new(), &timeline, Uuid::new_v4())?;
            if unless_cancelled && saved.cancel {
                return Err(gyre_model::Error::new(gyre_model::Kind::Cancelled, "CANCELLED", "cancelled"));
            }
            Ok(())
        });
        match saved {
            Ok(()) => Saved::Done,
            Err(error) if error.reason() == "FENCED" => Saved::Fenced,
            Err(error) if error.reason() == "CANCELLED" => Saved::Cancelled,
            Err(error) => panic!("{error}"),
        }
    }

    fn cancel(&mut self, uuid: Uuid) -> bool {
        record::set_cancel(self.0, uuid, |_| false).unwrap()
    }

    fn may_act(&mut self, uuid: Uuid, fence: i64, undo: bool) -> bool {
        let acting = Acting { operation: uuid, fence, undoing: undo };
        fence::check(self.0, &Caller::system().acting(acting)).is_ok()
    }

    fn get(&mut self, uuid: Uuid) -> Option<Stands> {
        record::load(self.0, uuid).unwrap().map(|record| stands(&record))
    }
}

/// One random change, done by whatever keeps operations; the answer in words.
fn change(operations: &mut dyn Operations, random: &mut Random) -> String {
    const STATES: [OperationState; 7] = [
        OperationState::Running,
        OperationState::Running,
        OperationState::Undoing,
        OperationState::Stuck,
        OperationState::Succeeded,
        OperationState::Failed,
        OperationState::Cancelled,
    ];
    let id = |kind: u128, number: usize| Uuid::from_u128((kind << 64) | (number as u128 + 1));
    let number = random.below(12);
    let uuid = id(1, number);
    let instance = id(3, random.below(3));
    let before = operations.get(uuid);
    // mostly the fence that it has, sometimes one that was
    let fence = before.as_ref().map_or(1, |row| row.fence) - i64::from(random.percent(25));
    let undo = random.percent(40);
    let state = STATES[random.below(STATES.len())];
    let unless_cancelled = state == OperationState::Succeeded;
    // the engine saves none into a state that holds the resource unless it holds it already
    let queued = before.as_ref().is_some_and(|row| row.state == OperationState::Queued);
    let done = match random.below(7) {
        0 => {
            let request = format!("request-{number}");
            let new = New { uuid, resource: id(2, number % 3), instance, request };
            format!("insert {:?}", operations.insert(&new))
        }
        1 => format!("take {:?}", operations.take(uuid, fence, instance)),
        2 => format!("promote {:?}", operations.promote(uuid, fence, undo)),
        3 | 4 if !queued => format!("save {:?}", operations.save(uuid, fence, state, unless_cancelled)),
        5 => format!("cancel {}", operations.cancel(uuid)),
        _ => format!("act {}", operations.may_act(uuid, fence, undo)),
    };
    format!("{done}: {before:?} becomes {:?}", operations.get(uuid))
}

#[tokio::test]
async fn the_model_and_the_statements_agree() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..20 {
        let file = folder.path().join(format!("{seed}.db"));
        let store = Store::open(&StoreConfig::new(format!("sqlite://{}", file.display()))).unwrap();
        store.migrate().await.unwrap();
        let real = store.write("random", move |conn| {
            let mut random = Random::new(seed);
            Ok((0..200).map(|_| change(&mut Tables(conn), &mut random)).collect::<Vec<_>>())
        });
        let (mut random, mut memory) = (Random::new(seed), Memory::default());
        for (at, real) in real.await.unwrap().into_iter().enumerate() {
            assert_eq!(change(&mut memory, &mut random), real, "change {at} of seed {seed}");
        }
    }
}
