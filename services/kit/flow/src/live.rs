//! Operations that this process works on or has in a lane: what watchers see, and how they are told to stop.

use std::collections::HashMap;
use std::sync::Arc;

use gyre_model::Uuid;
use gyre_proto::common::v1::Operation;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::record::Record;

/// An operation in this process.
pub(crate) struct Live {
    /// As it is now, progress included.
    pub now: watch::Sender<Operation>,
    /// Tells it to stop and undo itself.
    pub cancel: CancellationToken,
    /// What the engine needs to begin, until it does.
    pub record: Mutex<Option<Record>>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct LiveOperations {
    all: Mutex<HashMap<Uuid, Arc<Live>>>,
}

impl LiveOperations {
    /// Adds one. Nothing where it is there already.
    pub fn add(&self, uuid: Uuid, record: Record) -> Option<Arc<Live>> {
        let mut all = self.all.lock();
        if all.contains_key(&uuid) {
            return None;
        }
        let live = Arc::new(Live {
            now: watch::channel(record.operation.clone()).0,
            cancel: CancellationToken::new(),
            record: Mutex::new(Some(record)),
        });
        all.insert(uuid, Arc::clone(&live));
        Some(live)
    }

    pub fn get(&self, uuid: Uuid) -> Option<Arc<Live>> {
        self.all.lock().get(&uuid).cloned()
    }

    pub fn remove(&self, uuid: Uuid) {
        self.all.lock().remove(&uuid);
    }

    pub fn has(&self, uuid: Uuid) -> bool {
        self.all.lock().contains_key(&uuid)
    }
}
