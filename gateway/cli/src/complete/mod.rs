//! Completion for shells, and for `gyre shell`: nouns, verbs, flags and values from the command tree, names and UUIDs of resources
//! from the gateway.
//!
//! A shell's script (`gyre completions bash`) runs the command with `GYRE_COMPLETE` set, and `--` before the words typed so far;
//! the answer is a line for each candidate. Asking a gateway must never be noticed by somebody who types: it has
//! 0.7 s, what it found is kept for a few seconds, and every failure is silence.

mod ask;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Mutex;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};
use clap_complete::env::{EnvCompleter, Shells};

use crate::args::{Globals, tree_for};
use crate::client::{DEFAULT, Paths};
use crate::failure::{Failure, Result};
use crate::output;

/// What tells the command that a shell asks it.
pub const VARIABLE: &str = "GYRE_COMPLETE";

/// Whose cloud is asked: what the words typed so far say, or the flags of `gyre shell`.
static CALLER: Mutex<Option<Globals>> = Mutex::new(None);

/// Sets whose cloud is asked.
pub fn ask_as(globals: Globals) {
    *CALLER.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(globals);
}

fn caller() -> Globals {
    let known = CALLER.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    known.unwrap_or_else(|| Globals::of_words(&[]))
}

/// Prints a shell's script.
///
/// # Errors
/// When there is no such shell.
pub fn script(shell: &str) -> Result<()> {
    let mut text = Vec::new();
    completer(shell)?.write_registration(VARIABLE, "gyre", "gyre", "gyre", &mut text)?;
    output::print_bytes(&text)
}

/// The shells that there are scripts for.
pub fn shells() -> Vec<&'static str> {
    Shells::builtins().names().collect()
}

fn completer(shell: &str) -> Result<&'static dyn EnvCompleter> {
    const BUILTIN: &Shells<'static> = &Shells::builtins();
    BUILTIN.completer(shell).ok_or_else(|| {
        Failure::usage(format!("there are no completions for {shell:?}"))
            .hint(format!("there are for {}", shells().join(", ")))
    })
}

/// Answers a shell that asks: `words` is the process's whole command line.
///
/// # Errors
/// When the shell is none that is known, or asks in another way than its script does.
pub fn answer(shell: &str, words: Vec<OsString>) -> Result<()> {
    let words: Vec<_> = words.into_iter().skip_while(|word| word != "--").skip(1).collect();
    if words.is_empty() {
        return Err(Failure::usage(format!(
            "{VARIABLE} is set by the scripts of `gyre completions`; nothing was asked"
        )));
    }
    let text: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    ask_as(Globals::of_words(&text));
    let mut out = Vec::new();
    completer(shell)?.write_complete(&mut tree_for(&text), words, std::env::current_dir().ok().as_deref(), &mut out)?;
    output::print_bytes(&out)
}

/// The candidates for the last of the words, which begin with the command's name.
pub fn candidates(words: &[String]) -> Vec<CompletionCandidate> {
    let args: Vec<_> = words.iter().map(OsString::from).collect();
    let Some(last) = args.len().checked_sub(1) else { return Vec::new() };
    // What cannot be completed has no candidates.
    complete(&mut tree_for(words), args, last, std::env::current_dir().ok().as_deref()).unwrap_or_default()
}

/// Completes names and UUIDs of a kind.
pub fn resources(kind: &'static str) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let current = current.to_string_lossy();
        let found = ask::ask(&caller(), kind, &current);
        let mut fitting: Vec<_> = found.into_iter().filter(|found| found.value.starts_with(&*current)).collect();
        fitting.sort_by(|one, other| one.value.cmp(&other.value));
        fitting.into_iter().map(|found| CompletionCandidate::new(found.value).help(Some(found.help.into()))).collect()
    })
}

/// Completes one of these words.
pub fn words(all: Vec<&'static str>) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let current = current.to_string_lossy();
        all.iter().filter(|word| word.starts_with(&*current)).map(|word| CompletionCandidate::new(*word)).collect()
    })
}

/// Completes names of profiles.
pub fn profiles() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let names = crate::commands::profiles(&Paths::from_environment());
        let all = [DEFAULT.to_owned()].into_iter().chain(names);
        all.filter(|name| name.starts_with(&*current.to_string_lossy())).map(CompletionCandidate::new).collect()
    })
}

/// Where what was asked lately is kept.
fn folder(paths: &Paths) -> PathBuf {
    paths.completions.clone()
}
