//! Sees the members in etcd, and replaces the view when they change.
//!
//! A watch that broke is opened again after a list: etcd may have lost its data meanwhile, and have come further than where we
//! were, so that no revision tells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Client, EventType, GetOptions, KeyValue, WatchOptions, WatchResponse, WatchStream};
use tokio::sync::mpsc;

use super::keeper::Command;
use super::{CALL, Failed, PREFIX, Shared, call};
use crate::member::Member;
use crate::member::roster::{Change, Roster};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long members that are gone are held on to by a process that lost its own membership with them: longer than everybody's
/// keeper takes to register again.
const HELD: Duration = Duration::from_secs(3);

pub(super) struct Watcher {
    client: Client,
    shared: Arc<Shared>,
    keeper: mpsc::WeakSender<Command>,
    roster: Roster,
    /// Members that are not in etcd any more and held on to, until when.
    held: BTreeMap<String, (Member, Instant)>,
    /// Whether they were lost while this process was not in order itself.
    doubted: bool,
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
        Self { client, shared, keeper, roster: Roster::default(), held: BTreeMap::new(), doubted: false }
    }

    /// Watches for ever.
    pub(super) async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let before = self.roster.seen();
            match self.watch().await {
                Ended::MustList => self.list_until_done().await,
                Ended::Broken => {
                    self.shared.proof.broke();
                    wait = if self.roster.seen() > before { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
                    tokio::time::sleep(wait).await;
                    self.list_until_done().await;
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
        self.shared.proof.heard();
        let revision = listed.header().map_or(0, |header| header.revision());
        let before = self.roster.clone();
        self.roster.listed(revision, listed.kvs().iter().map(|pair| read(pair, true)));
        self.hold(&before);
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
            let until = self.held.values().map(|(_, until)| *until).min();
            let over = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                next = next(&mut stream) => next,
                () = over => {
                    self.publish();
                    continue;
                }
            };
            match next {
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
        let before = self.roster.clone();
        if self.roster.apply(changes) {
            self.hold(&before);
            self.publish();
        }
        None
    }

    /// Holds on to those who are gone, for now: [`Watcher::publish`] decides.
    fn hold(&mut self, before: &Roster) {
        let until = Instant::now() + HELD;
        for (key, member) in self.roster.missing(before) {
            self.held.insert(key.clone(), (member.clone(), until));
        }
    }

    fn publish(&mut self) {
        let seen = self.roster.view(&self.shared.views.now());
        let missing = self.shared.wanted.lock().iter().any(|member| !seen.has(&member.service, member.uuid));
        // That others are gone says something of them only where this process is in order itself.
        let doubtful = missing || self.shared.unproved();
        let (now, roster, doubted) = (Instant::now(), &self.roster, doubtful || self.doubted);
        self.held.retain(|key, (_, until)| doubted && *until > now && !roster.has(key));
        self.doubted = doubtful || !self.held.is_empty();
        let view = if self.held.is_empty() {
            seen
        } else {
            let held = self.held.values().map(|(member, _)| member);
            self.shared.views.now().next(self.roster.epoch(), self.roster.members().chain(held).cloned())
        };
        tracing::info!(epoch = roster.epoch(), members = roster.len(), held = self.held.len(), "the ring changed");
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
