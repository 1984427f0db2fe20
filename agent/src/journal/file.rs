//! The journal's file. See the module above for the rules.

use std::collections::HashMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gyre_model::{Error, Result};
use gyre_proto::agent::v1::{Task, TaskOutcome};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Kept, Record};
use crate::failure;

/// The file is compacted when it is longer than this and mostly dead.
const COMPACT_BYTES: u64 = 4 << 20;

/// A line, as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Accepted(Box<Task>),
    Finished(Box<TaskOutcome>),
    Forgotten(Vec<String>),
}

/// A line, as it is written.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum LineRef<'a> {
    Accepted(&'a Task),
    Finished(&'a TaskOutcome),
    Forgotten(&'a [String]),
}

/// The lines of a task that is not forgotten yet.
#[derive(Default)]
struct Live {
    order: u64,
    accepted: Vec<u8>,
    finished: Vec<u8>,
}

pub(super) struct File {
    path: PathBuf,
    file: fs::File,
    length: u64,
    live: HashMap<String, Live>,
    next_order: u64,
}

fn line(record: &LineRef<'_>) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(record).map_err(Error::internal)?;
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

impl File {
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Kept>)> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failure::io("read the task journal", path, &error)),
        };
        let mut kept: HashMap<String, (u64, Kept)> = HashMap::new();
        let mut bad = 0;
        for (order, bytes) in (0..).zip(bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())) {
            match parse(bytes) {
                Some(Line::Accepted(task)) => {
                    kept.insert(task.id.clone(), (order, Kept { task: *task, outcome: None }));
                }
                Some(Line::Finished(outcome)) => {
                    if let Some((_, kept)) = kept.get_mut(&outcome.task_id) {
                        kept.outcome = Some(*outcome);
                    }
                }
                Some(Line::Forgotten(task_ids)) => task_ids.iter().for_each(|id| drop(kept.remove(id))),
                None => bad += 1,
            }
        }
        if bad > 0 {
            tracing::warn!(path = %path.display(), lines = bad, "skipped torn lines of the task journal");
        }
        let mut kept: Vec<_> = kept.into_values().collect();
        kept.sort_by_key(|(order, _)| *order);
        let kept: Vec<_> = kept.into_iter().map(|(_, kept)| kept).collect();

        let mut live = HashMap::new();
        for (order, kept) in (0..).zip(&kept) {
            let finished = kept.outcome.as_ref().map_or(Ok(Vec::new()), |outcome| line(&LineRef::Finished(outcome)))?;
            live.insert(
                kept.task.id.clone(),
                Live { order, accepted: line(&LineRef::Accepted(&kept.task))?, finished },
            );
        }
        let next_order = live.len() as u64;
        let (file, length) = Self::write_live(path, &live)?;
        Ok((Self { path: path.to_owned(), file, length, live, next_order }, kept))
    }

    fn write_live(path: &Path, live: &HashMap<String, Live>) -> Result<(fs::File, u64)> {
        let mut lines: Vec<_> = live.values().collect();
        lines.sort_by_key(|live| live.order);
        let bytes: Vec<u8> =
            lines.into_iter().flat_map(|live| [live.accepted.as_slice(), &live.finished].concat()).collect();
        replace(path, &bytes)?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(path)
            .map_err(|error| failure::io("open the task journal", path, &error))?;
        file.seek(SeekFrom::End(0)).map_err(|error| failure::io("seek in the task journal", path, &error))?;
        Ok((file, bytes.len() as u64))
    }

    /// Appends records, and flushes them to the disk when somebody relies on them.
    pub(super) fn append<'a>(&mut self, records: impl Iterator<Item = &'a Record>, durable: bool) -> Result<()> {
        let mut bytes = Vec::new();
        let mut changes = Vec::new();
        for record in records {
            let line = match record {
                Record::Accepted(task) => line(&LineRef::Accepted(task))?,
                Record::Finished(outcome) => line(&LineRef::Finished(outcome))?,
                Record::Forgotten(task_ids) => line(&LineRef::Forgotten(task_ids))?,
            };
            bytes.extend_from_slice(&line);
            changes.push((record, line));
        }
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
        for (record, line) in changes {
            match record {
                Record::Accepted(task) => {
                    self.live
                        .insert(task.id.clone(), Live { order: self.next_order, accepted: line, finished: Vec::new() });
                    self.next_order += 1;
                }
                Record::Finished(outcome) => {
                    if let Some(live) = self.live.get_mut(&outcome.task_id) {
                        live.finished = line;
                    }
                }
                Record::Forgotten(task_ids) => task_ids.iter().for_each(|id| drop(self.live.remove(id))),
            }
        }
        let alive: usize = self.live.values().map(|live| live.accepted.len() + live.finished.len()).sum();
        if self.length > COMPACT_BYTES && self.length > 4 * alive as u64 {
            (self.file, self.length) = Self::write_live(&self.path, &self.live)?;
        }
        Ok(())
    }
}
