//! What processes cost: processor time and resident memory, told apart by the names of their programs.
//!
//! A process that is named stands for those below it, too (PostgreSQL has one for each connection). Time of children that have
//! ended counts as soon as their parent knows of their end. The memory of children is what they have for themselves, so that what
//! they share with their parent is counted once.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// The processes that are looked at: this one, and others.
#[derive(Debug, Clone)]
pub struct Processes {
    own: &'static str,
    others: Vec<u32>,
}

/// A line of `/proc/PID/stat`.
struct Stat {
    name: String,
    parent: u32,
    seconds: f64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the name of the program may have blanks in it, and ends with the last parenthesis
        let (head, tail) = text.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let ticks: u64 = fields.get(11..15)?.iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Some(Self {
            name: head.split_once('(')?.1.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            // in hundredths of a second, on every machine
            seconds: ticks as f64 / 100.0,
        })
    }
}

/// A value of `/proc/PID/status` in MiB.
fn status_mib(pid: u32, key: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: f64 = value.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

impl Processes {
    /// A node inside the driver: one process, which cannot be told apart; and others, such as a database's.
    pub fn embedded(others: Vec<u32>) -> Self {
        Self { own: "driver and node", others }
    }

    /// The driver alone, and others that do the work.
    pub fn apart(others: Vec<u32>) -> Self {
        Self { own: "driver", others }
    }

    /// Whether the work is done by others, and some of them are known.
    fn are_others(&self) -> bool {
        self.own == "driver" && !self.others.is_empty()
    }

    /// Each known process with what it is called, and whether it was named itself.
    fn all(&self) -> Vec<(String, u32, bool)> {
        let mut all = vec![(self.own.to_owned(), std::process::id(), true)];
        if self.others.is_empty() {
            return all;
        }
        let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let stats: HashMap<u32, Stat> = pids.filter_map(|pid| Some((pid, Stat::read(pid)?))).collect();
        for (pid, stat) in &stats {
            let mut at = *pid;
            // a parent has been there before its child, so this ends; init has none
            while at != 0 && !self.others.contains(&at) {
                at = stats.get(&at).map_or(0, |stat| stat.parent);
            }
            if at != 0 {
                let name = stats.get(&at).map_or(&stat.name, |root| &root.name);
                all.push((name.clone(), *pid, at == *pid));
            }
        }
        all
    }

    /// Processor seconds so far, by name.
    fn seconds(&self) -> BTreeMap<String, f64> {
        let mut seconds = BTreeMap::new();
        for (name, pid, _) in self.all() {
            *seconds.entry(name).or_default() += Stat::read(pid).map_or(0.0, |stat| stat.seconds);
        }
        seconds
    }

    /// Resident memory in MiB, by name.
    pub fn memory(&self) -> BTreeMap<String, f64> {
        let mut memory = BTreeMap::new();
        for (name, pid, named) in self.all() {
            let key = if named { "VmRSS" } else { "RssAnon" };
            *memory.entry(name).or_default() += status_mib(pid, key).unwrap_or_default();
        }
        memory
    }

    /// Resident memory of those that do the work, in MiB: without the driver where that is another process and the others are known.
    pub fn memory_of_the_work(&self, memory: &BTreeMap<String, f64>) -> f64 {
        let counts = |name: &str| !self.are_others() || name != self.own;
        memory.iter().filter(|(name, _)| counts(name)).map(|(_, mib)| mib).sum()
    }

    /// Processor seconds of those that do the work.
    pub fn seconds_of_the_work(&self, spent: &Spent) -> f64 {
        let counts = |name: &str| !self.are_others() || name != self.own;
        spent.seconds.iter().filter(|(name, _)| counts(name)).map(|(_, seconds)| seconds).sum()
    }

    /// Starts a clock.
    pub fn clock(&self) -> Clock {
        Clock { processes: self.clone(), begun: Instant::now(), seconds: self.seconds() }
    }
}

/// A clock for processor time.
#[derive(Debug, Clone)]
pub struct Clock {
    processes: Processes,
    begun: Instant,
    seconds: BTreeMap<String, f64>,
}

/// What a clock has counted.
#[derive(Debug, Clone)]
pub struct Spent {
    /// Time that has passed.
    pub wall: Duration,
    /// Processor seconds by the name of the program.
    pub seconds: BTreeMap<String, f64>,
}

impl Clock {
    /// What it has counted so far.
    pub fn spent(&self) -> Spent {
        let wall = self.begun.elapsed();
        let since = |name: &String, now: f64| (now - self.seconds.get(name).copied().unwrap_or_default()).max(0.0);
        let seconds =
            self.processes.seconds().into_iter().map(|(name, now)| (name.clone(), since(&name, now))).collect();
        Spent { wall, seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_apart_with_those_below_them() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sleep 60 & read line; kill $!"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("a shell");
        let processes = Processes::apart(vec![shell.id()]);
        let below = || processes.all().iter().filter(|(name, ..)| name == "sh").count();
        let begun = Instant::now();
        while below() < 2 && begun.elapsed() < Duration::from_secs(30) {
            std::thread::yield_now();
        }
        assert_eq!(below(), 2, "{:?}", processes.all());
        let memory = processes.memory();
        assert_eq!(memory.keys().collect::<Vec<_>>(), ["driver", "sh"]);
        assert_eq!(processes.memory_of_the_work(&memory), memory["sh"]);
        assert_eq!(Processes::apart(Vec::new()).memory_of_the_work(&memory), memory["sh"] + memory["driver"]);
        drop(shell.stdin.take());
        let _ = shell.wait();
    }
}
