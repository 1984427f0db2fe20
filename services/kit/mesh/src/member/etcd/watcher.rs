//! Sees the members in etcd, and replaces the view when they change.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, EventType, GetOptions, KeyValue, WatchOptions, WatchResponse, WatchStream};
use tokio::sync::mpsc;

use super::keeper::Command;
use super::{CALL, Failed, PREFIX, Shared, call};
use crate::member::Member;
use crate::member::roster::{Change, Roster};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Watcher {
    client: Client,
    shared: Arc<Shared>,
    keeper: mpsc::WeakSender<Command>,
    roster: Roster,
}

/// Why a watch ended.
enum Ended {
    /// The stream broke, or etcd is away.
    Broken,
    /// What comes next cannot be had from a watch.
    MustList,
}

impl Watcher {
    pub(super) fn new(client: Client, shared: Arc<Shared>, keeper: mpsc::WeakSender<Command>) -> Self {
        Self { client, shared, keeper, roster: Roster::default() }
    }

    /// Watches for ever.
    pub(super) async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let before = self.roster.seen();
            match self.watch().await {
                Ended::MustList => self.list_until_done().await,
                Ended::Broken => {
                    wait = if self.roster.seen() > before { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Lists until etcd answers.
    pub(super) async fn list_until_done(&mut self) {
        let mut wait = FIRST_WAIT;
        while let Err(error) = self.list().await {
            tracing::warn!(%error, "members cannot be listed");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn list(&mut self) -> Result<(), Failed> {
        let listed = call("list members", CALL, self.client.get(PREFIX, Some(GetOptions::new().with_prefix()))).await?;
        let revision = listed.header().map_or(0, |header| header.revision());
        self.roster.listed(revision, listed.kvs().iter().map(|pair| read(pair, true)));
        self.publish();
        Ok(())
    }

    async fn watch(&mut self) -> Ended {
        let options = WatchOptions::new().with_prefix().with_start_revision(self.roster.seen() + 1);
        let mut stream = match call("watch members", CALL, self.client.watch(PREFIX, Some(options))).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "members cannot be watched");
                return Ended::Broken;
            }
        };
        loop {
            match next(&mut stream).await {
                Ok(response) => {
                    if let Some(ended) = self.apply(&response) {
                        return ended;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the watch of members broke");
                    return Ended::Broken;
                }
            }
        }
    }

    fn apply(&mut self, response: &WatchResponse) -> Option<Ended> {
        let revision = response.header().map_or(0, |header| header.revision());
        if response.canceled() || response.compact_revision() > 0 {
            tracing::warn!(reason = response.cancel_reason(), "the watch of members was cancelled");
            return Some(Ended::MustList);
        }
        if response.created() && !self.roster.opened(revision) {
            tracing::warn!(revision, seen = self.roster.seen(), "etcd knows less than it did");
            return Some(Ended::MustList);
        }
        let events = response.events().iter();
        let changes = events.filter_map(|event| Some(read(event.kv()?, event.event_type() == EventType::Put)));
        if self.roster.apply(changes) {
            self.publish();
        }
        None
    }

    fn publish(&self) {
        let view = self.roster.view(&self.shared.views.now());
        tracing::info!(epoch = self.roster.epoch(), members = self.roster.len(), "the ring changed");
        let missing = self.shared.wanted.lock().iter().any(|member| !view.has(&member.service, member.uuid));
        self.shared.views.publish(view);
        if missing && let Some(keeper) = self.keeper.upgrade() {
            // A keeper with a full queue will look after it anyway.
            let _ = keeper.try_send(Command::Missing);
        }
    }
}

async fn next(stream: &mut WatchStream) -> Result<WatchResponse, String> {
    match stream.message().await {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err("the stream ended".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The end of a member's key: "vm/6f0c…".
fn end_of(pair: &KeyValue) -> &str {
    pair.key_str().ok().and_then(|key| key.strip_prefix(PREFIX)).unwrap_or_default()
}

fn read(pair: &KeyValue, there: bool) -> Change {
    let key = end_of(pair);
    let member = if there { Member::from_json(key, pair.value()) } else { None };
    if there && member.is_none() {
        tracing::warn!(key, "a member cannot be read and is passed over");
    }
    Change { revision: pair.mod_revision(), key: key.to_owned(), member }
}
