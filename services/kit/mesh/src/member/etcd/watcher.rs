//! Sees the members in etcd, and replaces the view when they change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, EventType, GetOptions, KeyValue, WatchOptions, WatchResponse, WatchStream};
use tokio::sync::mpsc;

use super::keeper::Command;
use super::{CALL, Failed, PREFIX, Shared, call};
use crate::member::Member;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Watcher {
    client: Client,
    shared: Arc<Shared>,
    keeper: mpsc::WeakSender<Command>,
    /// By the end of their keys.
    members: BTreeMap<String, Member>,
    /// The revision of the last change under the prefix.
    epoch: i64,
    /// The revision up to which everything was seen.
    seen: i64,
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
        Self { client, shared, keeper, members: BTreeMap::new(), epoch: 0, seen: 0 }
    }

    /// Watches for ever.
    pub(super) async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let before = self.seen;
            match self.watch().await {
                Ended::MustList => self.list_until_done().await,
                Ended::Broken => {
                    wait = if self.seen > before { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
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
        let mut members = BTreeMap::new();
        let mut newest = 0;
        for pair in listed.kvs() {
            newest = newest.max(pair.mod_revision());
            if let Some((key, member)) = read(pair) {
                members.insert(key, member);
            }
        }
        let missing = self.members.keys().any(|key| !members.contains_key(key));
        self.epoch = if missing { revision } else { self.epoch.max(newest) };
        self.seen = revision;
        self.members = members;
        self.publish();
        Ok(())
    }

    async fn watch(&mut self) -> Ended {
        let options = WatchOptions::new().with_prefix().with_start_revision(self.seen + 1);
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
        if response.created() && revision < self.seen {
            tracing::warn!(revision, seen = self.seen, "etcd knows less than it did");
            self.epoch = 0;
            return Some(Ended::MustList);
        }
        let mut changed = false;
        for event in response.events() {
            let Some(pair) = event.kv() else { continue };
            self.seen = self.seen.max(pair.mod_revision());
            self.epoch = self.epoch.max(pair.mod_revision());
            changed = true;
            match (event.event_type(), read(pair)) {
                (EventType::Put, Some((key, member))) => {
                    self.members.insert(key, member);
                }
                (EventType::Put, None) | (EventType::Delete, _) => {
                    self.members.remove(end_of(pair));
                }
            }
        }
        if changed {
            self.publish();
        }
        None
    }

    fn publish(&self) {
        let view = self.shared.views.now().next(self.epoch, self.members.values().cloned());
        tracing::info!(epoch = self.epoch, members = self.members.len(), "the ring changed");
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

fn read(pair: &KeyValue) -> Option<(String, Member)> {
    let end = end_of(pair);
    let member = Member::from_json(end, pair.value());
    // A deleted key has no value.
    if member.is_none() && !pair.value().is_empty() {
        tracing::warn!(key = end, "a member cannot be read and is passed over");
    }
    Some((end.to_owned(), member?))
}
