//! Watching a list that only the database can tell: what is in it is remembered, and compared with what it answers.

use std::collections::{HashMap, HashSet};

use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::Bytes;
use gyre_proto::common::v1::{WatchEventType, WatchResponse};
use gyre_query::stream::{self, Found};
use gyre_query::table::{Table, by_kind};
use gyre_store::Conn;
use tokio::time::Instant;

use super::AGAIN;
use super::event::{found, gone};
use crate::matcher::Matcher;
use crate::position::Position;
use crate::row::{self, Row};

/// Most resources in a list that is watched so.
pub(super) const MOST: usize = 200_000;

/// Resources that left a list, as they are now, or as the watcher last saw them.
pub(super) type Left = HashMap<Uuid, Bytes>;

/// How far back in the log of a resource it is looked for what the watcher could see of it.
const BACK: usize = 20;

/// What resources are like that left a list: as they are now where they are there to be seen, or else as they last were when they
/// were. Nothing for those of which the log has no images.
///
/// # Errors
/// The database's.
pub(super) fn last_seen(conn: &mut Conn, caller: &Caller, kind: &'static str, uuids: &[Uuid]) -> Result<Left> {
    let now = stream::among(conn, caller, kind, "", uuids)?;
    let mut left: Left = now.into_iter().map(|found| (found.uuid, found.message.into())).collect();
    let table = by_kind(kind);
    let matcher = Matcher::new(table, *caller, None);
    for uuid in uuids {
        if left.contains_key(uuid) {
            continue;
        }
        let rows = row::newest(conn, kind, *uuid, BACK)?;
        let images = rows.iter().flat_map(|row| [row.after(), row.before()]).flatten();
        if let Some(image) = images.into_iter().find(|image| matcher.sees(image)) {
            left.insert(*uuid, matcher.shown(table, &image.message));
        }
    }
    Ok(left)
}

/// What is known of such a list.
#[derive(Default)]
pub(super) struct Asking {
    /// What is in it, each with the generation that was sent.
    pub known: HashMap<Uuid, i64>,
    touched: HashSet<Uuid>,
    /// Whether a row of the list's own kind may change what else is in it.
    through_itself: bool,
    /// Since when something on a path has changed.
    stale: bool,
    read: Option<Instant>,
}

impl Asking {
    pub fn new(through_itself: bool) -> Self {
        Self { through_itself, ..Self::default() }
    }

    /// Takes a row that touches the list's kind or one on a path.
    pub fn touch(&mut self, row: &Row, kind: &str) {
        let own = match kind {
            "operation" | "debt" if !row.is_change() => row.operation,
            _ => (row.kind == kind && row.is_change()).then_some(row.uuid),
        };
        match own {
            Some(uuid) => {
                self.touched.insert(uuid);
                self.stale |= self.through_itself;
            }
            None => self.stale = true,
        }
    }

    /// When the list is to be read again.
    pub fn again(&self) -> Option<Instant> {
        let earliest = self.read.map_or_else(Instant::now, |read| read + AGAIN);
        self.stale.then_some(earliest)
    }

    /// It is being read: what changes from here on is not in it for sure.
    pub fn reading(&mut self) {
        self.stale = false;
        self.read = Some(Instant::now());
    }

    /// Takes out what is to be asked about.
    pub fn touched(&mut self) -> Vec<Uuid> {
        let mut touched: Vec<_> = self.touched.drain().collect();
        touched.sort_unstable();
        touched
    }

    /// Marks what is in the list now and was not, is there in another generation, or is there no longer.
    pub fn differ(&mut self, keys: &[(Uuid, i64)]) -> Result<()> {
        if keys.len() > MOST {
            return Err(too_large());
        }
        let now: HashMap<Uuid, i64> = keys.iter().copied().collect();
        let other = now.iter().filter(|(uuid, generation)| self.known.get(uuid) != Some(generation));
        let touched: Vec<_> = other.map(|(uuid, _)| *uuid).collect();
        self.touched.extend(touched);
        self.touched.extend(self.known.keys().filter(|uuid| !now.contains_key(uuid)));
        Ok(())
    }

    /// Which of these were in the list and are not among those that are there.
    pub fn left(&self, asked: &[Uuid], there: &[Found]) -> Vec<Uuid> {
        let there: HashSet<Uuid> = there.iter().map(|found| found.uuid).collect();
        asked.iter().filter(|uuid| self.known.contains_key(uuid) && !there.contains(uuid)).copied().collect()
    }

    /// What became of the resources that were asked about, of which these are in the list, and what those are like that left it.
    pub fn compare(
        &mut self,
        table: &Table,
        place: &Position,
        asked: &[Uuid],
        there: Vec<Found>,
        mut left: Left,
    ) -> Vec<WatchResponse> {
        let mut there: HashMap<Uuid, Found> = there.into_iter().map(|found| (found.uuid, found)).collect();
        let mut events = Vec::new();
        for uuid in asked {
            match (there.remove(uuid), self.known.get(uuid).copied()) {
                (Some(now), Some(before)) if before == now.generation => {}
                (Some(now), before) => {
                    self.known.insert(*uuid, now.generation);
                    let ty = if before.is_some() { WatchEventType::Modified } else { WatchEventType::Added };
                    events.push(found(table, ty, Some(place), now));
                }
                (None, Some(_)) => {
                    self.known.remove(uuid);
                    events.push(gone(table, place, *uuid, left.remove(uuid)));
                }
                (None, None) => {}
            }
        }
        events
    }

    /// That it can be remembered.
    pub fn bounded(&self) -> Result<()> {
        if self.known.len() > MOST { Err(too_large()) } else { Ok(()) }
    }
}

fn too_large() -> Error {
    let text = format!(
        "a list by a filter through references is watched up to {MOST} resources: choose a narrower filter, or one over the kind's own attributes"
    );
    Error::new(Kind::ResourceExhausted, "LIST_TOO_LARGE", text)
}
