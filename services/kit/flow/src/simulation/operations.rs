//! The few changes of the `operation` table that takeover and turns stand on, as the simulation keeps them in memory and as the
//! real SQL does them. A test drives both with the same random changes, so that the model is honest.

use std::collections::BTreeMap;

use gyre_model::Uuid;
use gyre_proto::common::v1::OperationState;

/// A new operation.
#[derive(Debug, Clone)]
pub(super) struct New {
    pub uuid: Uuid,
    pub resource: Uuid,
    pub instance: Uuid,
    /// The id of the wish.
    pub request: String,
}

/// An operation as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stands {
    pub uuid: Uuid,
    pub resource: Uuid,
    pub instance: Uuid,
    pub fence: i64,
    pub state: OperationState,
    pub cancel: bool,
}

/// What became of an attempt to get a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Come,
    Busy,
    Fenced,
}

/// What became of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Saved {
    Done,
    Fenced,
    /// A cancel was accepted before.
    Cancelled,
}

/// The changes. Each is one transaction.
pub(super) trait Operations {
    /// Writes a new operation, running or queued; or finds the one that the same request made before.
    fn insert(&mut self, new: &New) -> Stands;
    /// Takes an operation over, if its fence is still the one that was seen.
    fn take(&mut self, uuid: Uuid, seen: i64, instance: Uuid) -> Option<Stands>;
    /// Makes a queued or stuck operation run, unless another one runs on the resource.
    fn promote(&mut self, uuid: Uuid, fence: i64, undo: bool) -> Turn;
    /// Writes where an operation stands, under its fence.
    fn save(&mut self, uuid: Uuid, fence: i64, state: OperationState, unless_cancelled: bool) -> Saved;
    /// Asks an operation to stop. False where that is too late.
    fn cancel(&mut self, uuid: Uuid) -> bool;
    /// Whether a step of this fence and direction still has the say.
    fn may_act(&mut self, uuid: Uuid, fence: i64, undo: bool) -> bool;
    /// An operation.
    fn get(&mut self, uuid: Uuid) -> Option<Stands>;
}

/// The model.
#[derive(Default)]
pub(super) struct Memory {
    pub rows: BTreeMap<Uuid, Stands>,
    requests: BTreeMap<String, Uuid>,
    /// Deliberately broken: a save does not look at the fence.
    pub no_fence: bool,
    /// Deliberately broken: taking is no compare-and-set.
    pub no_compare: bool,
    /// Deliberately broken: no index says who runs.
    pub no_index: bool,
}

pub(super) fn holds(state: OperationState) -> bool {
    matches!(state, OperationState::Running | OperationState::Undoing | OperationState::Stuck)
}

impl Memory {
    fn busy(&self, resource: Uuid, but: Uuid) -> bool {
        !self.no_index && self.rows.values().any(|row| row.resource == resource && row.uuid != but && holds(row.state))
    }

    fn under(&mut self, uuid: Uuid, fence: i64) -> Option<&mut Stands> {
        let no_fence = self.no_fence;
        self.rows.get_mut(&uuid).filter(|row| (row.fence == fence || no_fence) && !crate::record::ended(row.state))
    }
}

impl Operations for Memory {
    fn insert(&mut self, new: &New) -> Stands {
        if let Some(row) = self.requests.get(&new.request).and_then(|before| self.rows.get(before)) {
            return row.clone();
        }
        let waited_for =
            self.rows.values().any(|row| row.resource == new.resource && row.state == OperationState::Queued);
        let queued = waited_for || self.busy(new.resource, new.uuid);
        let state = if queued { OperationState::Queued } else { OperationState::Running };
        let New { uuid, resource, instance, .. } = *new;
        let row = Stands { uuid, resource, instance, fence: 1, state, cancel: false };
        self.requests.insert(new.request.clone(), uuid);
        self.rows.insert(uuid, row.clone());
        row
    }

    fn take(&mut self, uuid: Uuid, seen: i64, instance: Uuid) -> Option<Stands> {
        let compare = !self.no_compare;
        let row = self.rows.get_mut(&uuid)?;
        if crate::record::ended(row.state) || (compare && row.fence != seen) {
            return None;
        }
        row.fence = seen + 1;
        row.instance = instance;
        Some(row.clone())
    }

    fn promote(&mut self, uuid: Uuid, fence: i64, undo: bool) -> Turn {
        let Some(resource) = self.under(uuid, fence).map(|row| row.resource) else { return Turn::Fenced };
        if self.busy(resource, uuid) {
            return Turn::Busy;
        }
        if let Some(row) = self.under(uuid, fence) {
            row.state = if undo { OperationState::Undoing } else { OperationState::Running };
        }
        Turn::Come
    }

    fn save(&mut self, uuid: Uuid, fence: i64, state: OperationState, unless_cancelled: bool) -> Saved {
        let Some(row) = self.under(uuid, fence) else { return Saved::Fenced };
        if unless_cancelled && row.cancel {
            return Saved::Cancelled;
        }
        row.state = state;
        Saved::Done
    }

    fn cancel(&mut self, uuid: Uuid) -> bool {
        let open = |row: &&mut Stands| matches!(row.state, OperationState::Queued | OperationState::Running);
        self.rows.get_mut(&uuid).filter(open).map(|row| row.cancel = true).is_some()
    }

    fn may_act(&mut self, uuid: Uuid, fence: i64, undo: bool) -> bool {
        self.rows.get(&uuid).is_some_and(|row| {
            row.fence == fence
                && match row.state {
                    OperationState::Running => true,
                    OperationState::Undoing | OperationState::Stuck | OperationState::Queued => undo,
                    _ => false,
                }
        })
    }

    fn get(&mut self, uuid: Uuid) -> Option<Stands> {
        self.rows.get(&uuid).cloned()
    }
}
