//! The journal's file. See the module above for the rules.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gyre_model::{Error, Result, Uuid, time};
use gyre_proto::agent::v1::{Task, TaskOutcome};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Kept, KeptTask, Said, Thing};
use crate::failure;
use crate::host::SAID_KEPT;

/// The file is compacted when it is longer than this and mostly dead.
const COMPACT_BYTES: u64 = 4 << 20;

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Accepted(Box<Task>),
    Finished(Box<TaskOutcome>),
    Forgotten(Vec<String>),
    Said(Said),
    Bound(i64),
    Released,
    Keep(Thing),
    Discard(String, String),
    /// A line about one of many hosts.
    Of(#[serde(with = "super::id")] Uuid, Box<Line>),
}

/// What a line is about.
#[derive(Debug, Clone)]
pub(super) enum What {
    Task(String),
    Outcome(String),
    Said(Said),
    Bound,
    Thing(String, String),
}

/// What a line does to those before it.
#[derive(Debug)]
pub(super) enum Effect {
    Put(What),
    Drop(Vec<What>),
    DropAll,
}

/// A line to be written.
pub(super) struct Record {
    host: Option<Uuid>,
    effect: Effect,
    line: Vec<u8>,
}

impl Record {
    pub(super) fn new(host: Option<Uuid>, effect: Effect, line: Line) -> Result<Self> {
        Ok(Self { host, effect, line: write_line(host, line)? })
    }
}

/// The identity of a line that lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Task(String),
    Outcome(String),
    Said(Uuid),
    Bound,
    Thing(String, String),
}

impl What {
    fn key(self) -> Key {
        match self {
            Self::Task(id) => Key::Task(id),
            Self::Outcome(id) => Key::Outcome(id),
            Self::Said(said) => Key::Said(said.operation),
            Self::Bound => Key::Bound,
            Self::Thing(kind, id) => Key::Thing(kind, id),
        }
    }
}

/// A line that lives.
struct Live {
    order: u64,
    line: Box<[u8]>,
    /// When it needs to be kept no longer; 0 for never.
    until: i64,
}

pub(super) struct File {
    path: PathBuf,
    file: fs::File,
    length: u64,
    table: Table,
}

/// The lines that live, by host.
#[derive(Default)]
struct Table {
    hosts: HashMap<Option<Uuid>, HashMap<Key, Live>>,
    bytes: u64,
    order: u64,
}

fn write_line(host: Option<Uuid>, line: Line) -> Result<Vec<u8>> {
    let line = match host {
        Some(host) => Line::Of(host, Box::new(line)),
        None => line,
    };
    let json = serde_json::to_vec(&line).map_err(Error::internal)?;
    let mut line = format!("{:016x} ", xxh3_64(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

fn parse(line: &[u8]) -> Option<Line> {
    let (sum, json) = line.split_at_checked(17)?;
    let sum = u64::from_str_radix(std::str::from_utf8(sum).ok()?.strip_suffix(' ')?, 16).ok()?;
    if sum != xxh3_64(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// Writes a file whole or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension("new");
    let write = || {
        let mut file = fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    };
    write().map_err(|error| failure::io("write", path, &error))
}

impl Table {
    fn apply(&mut self, host: Option<Uuid>, effect: Effect, line: &[u8]) {
        match effect {
            Effect::Put(what) => {
                let until = if let What::Said(said) = &what { said.time + SAID_KEPT } else { 0 };
                let key = what.key();
                let lines = self.hosts.entry(host).or_default();
                // an outcome of a task that is forgotten is not worth keeping
                if matches!(&key, Key::Outcome(id) if !lines.contains_key(&Key::Task(id.clone()))) {
                    return;
                }
                self.bytes += line.len() as u64;
                self.order += 1;
                match lines.entry(key) {
                    Entry::Occupied(mut entry) => {
                        let live = entry.get_mut();
                        self.bytes -= live.line.len() as u64;
                        // what is said again keeps its place
                        (live.line, live.until) = (line.into(), until);
                    }
                    Entry::Vacant(entry) => {
                        entry.insert(Live { order: self.order, line: line.into(), until });
                    }
                }
            }
            Effect::Drop(gone) => {
                let Some(lines) = self.hosts.get_mut(&host) else { return };
                for live in gone.into_iter().filter_map(|what| lines.remove(&what.key())) {
                    self.bytes -= live.line.len() as u64;
                }
            }
            Effect::DropAll => {
                for live in self.hosts.remove(&host).into_iter().flat_map(HashMap::into_values) {
                    self.bytes -= live.line.len() as u64;
                }
            }
        }
    }

    /// Forgets lines whose time is over.
    fn expire(&mut self, now: i64) {
        for lines in self.hosts.values_mut() {
            for (_, live) in lines.extract_if(|_, live| live.until != 0 && live.until < now) {
                self.bytes -= live.line.len() as u64;
            }
        }
        self.hosts.retain(|_, lines| !lines.is_empty());
    }

    /// All lines, in the order in which they came.
    fn lines(&self) -> Vec<&Live> {
        let mut lines: Vec<_> = self.hosts.values().flat_map(HashMap::values).collect();
        lines.sort_unstable_by_key(|live| live.order);
        lines
    }

    fn kept(&self) -> HashMap<Option<Uuid>, Kept> {
        let mut all: HashMap<Option<Uuid>, Kept> = HashMap::new();
        let mut outcomes: HashMap<(Option<Uuid>, String), TaskOutcome> = HashMap::new();
        for live in self.lines() {
            let bytes = live.line.strip_suffix(b"\n").unwrap_or(&live.line);
            let (host, line) = match parse(bytes) {
                Some(Line::Of(host, line)) => (Some(host), *line),
                Some(line) => (None, line),
                None => continue,
            };
            let kept = all.entry(host).or_default();
            match line {
                Line::Accepted(task) => kept.tasks.push(KeptTask { task: *task, outcome: None }),
                Line::Finished(outcome) => drop(outcomes.insert((host, outcome.task_id.clone()), *outcome)),
                Line::Said(said) => kept.said.push(said),
                Line::Bound(fence) => kept.bound = Some(fence),
                Line::Keep(thing) => kept.things.push(thing),
                Line::Forgotten(_) | Line::Released | Line::Discard(..) | Line::Of(..) => {}
            }
        }
        for (host, kept) in &mut all {
            for kept in &mut kept.tasks {
                kept.outcome = outcomes.remove(&(*host, kept.task.id.clone()));
            }
        }
        all
    }
}

/// What a line that was read does.
fn effect(line: &Line) -> Option<Effect> {
    Some(match line {
        Line::Accepted(task) => Effect::Put(What::Task(task.id.clone())),
        Line::Finished(outcome) => Effect::Put(What::Outcome(outcome.task_id.clone())),
        Line::Forgotten(ids) => {
            Effect::Drop(ids.iter().flat_map(|id| [What::Task(id.clone()), What::Outcome(id.clone())]).collect())
        }
        Line::Said(said) => Effect::Put(What::Said(*said)),
        Line::Bound(_) => Effect::Put(What::Bound),
        Line::Released => Effect::DropAll,
        Line::Keep(thing) => Effect::Put(What::Thing(thing.kind.clone(), thing.id.clone())),
        Line::Discard(kind, id) => Effect::Drop(vec![What::Thing(kind.clone(), id.clone())]),
        Line::Of(..) => return None,
    })
}

impl File {
    pub(super) fn open(path: &Path) -> Result<(Self, HashMap<Option<Uuid>, Kept>)> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failure::io("read the task journal", path, &error)),
        };
        let mut table = Table::default();
        let mut bad = 0;
        for bytes in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"\n") {
            let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            let (host, effect) = match parse(line) {
                Some(Line::Of(host, line)) => (Some(host), effect(&line)),
                Some(line) => (None, effect(&line)),
                None => (None, None),
            };
            match effect {
                Some(effect) => table.apply(host, effect, &[line, b"\n"].concat()),
                None => bad += 1,
            }
        }
        if bad > 0 {
            tracing::warn!(path = %path.display(), lines = bad, "skipped torn lines of the task journal");
        }
        table.expire(time::now_micros());
        let kept = table.kept();
        let (file, length) = write_live(path, &table)?;
        Ok((Self { path: path.to_owned(), file, length, table }, kept))
    }

    /// Appends lines, and flushes them to the disk when somebody relies on them.
    pub(super) fn append(&mut self, records: Vec<Record>, durable: bool) -> Result<()> {
        let bytes: Vec<u8> = records.iter().flat_map(|record| record.line.iter().copied()).collect();
        let write = |file: &mut fs::File| {
            file.write_all(&bytes)?;
            if durable { file.sync_data() } else { Ok(()) }
        };
        if let Err(error) = write(&mut self.file) {
            // what was written in part must not stand before what is written next
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::Start(self.length));
            return Err(failure::io("write the task journal", &self.path, &error));
        }
        self.length += bytes.len() as u64;
        for record in records {
            self.table.apply(record.host, record.effect, &record.line);
        }
        if self.length > COMPACT_BYTES && self.length > 4 * self.table.bytes {
            self.table.expire(time::now_micros());
            (self.file, self.length) = write_live(&self.path, &self.table)?;
        }
        Ok(())
    }
}

fn write_live(path: &Path, table: &Table) -> Result<(fs::File, u64)> {
    let bytes: Vec<u8> = table.lines().into_iter().flat_map(|live| live.line.iter().copied()).collect();
    replace(path, &bytes)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(|error| failure::io("open the task journal", path, &error))?;
    file.seek(SeekFrom::End(0)).map_err(|error| failure::io("seek in the task journal", path, &error))?;
    Ok((file, bytes.len() as u64))
}
