//! The line editor: history in a file that only this user can read, and completion of the last word.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustyline::completion::{Completer, Pair};
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::words;
use crate::complete;

/// The most lines that are remembered.
const MOST: usize = 5000;

/// Completes the last word of a line.
#[derive(Debug)]
pub struct Completing;

/// An editor of lines.
pub type LineEditor = Editor<Completing, DefaultHistory>;

/// A new one.
///
/// # Errors
/// When the terminal cannot be used.
pub fn editor() -> rustyline::Result<LineEditor> {
    let config = Config::builder()
        .max_history_size(MOST)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Completing));
    Ok(editor)
}

/// Reads what was typed before. A history that cannot be read is an empty one.
pub fn load(editor: &mut LineEditor, path: &Path) {
    if let Some(folder) = path.parent() {
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    }
    // The file has its mode before anything stands in it.
    let _ = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    let _ = editor.load_history(path);
}

/// Remembers a line, but none that may hold a token.
pub fn remember(editor: &mut LineEditor, path: &Path, line: &str) {
    if line.trim().is_empty() || line.contains("--token") {
        return;
    }
    let _ = editor.add_history_entry(line);
    let _ = editor.append_history(path);
}

impl Completer for Completing {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let words::Words { words, last, .. } = words::split(&line[..at]);
        let all: Vec<_> = ["gyre".to_owned()].into_iter().chain(words).collect();
        let found = complete::candidates(&all)
            .into_iter()
            .map(|candidate| {
                let value = candidate.get_value().to_string_lossy().into_owned();
                // A word that is whole is followed by a blank; a folder or a flag with its "=" goes on.
                let end = if value.ends_with(['/', '=']) { "" } else { " " };
                Pair { replacement: words::quoted(&value) + end, display: value }
            })
            .collect();
        Ok((last, found))
    }
}

impl rustyline::hint::Hinter for Completing {
    type Hint = String;
}
impl rustyline::highlight::Highlighter for Completing {}
impl rustyline::validate::Validator for Completing {}
impl Helper for Completing {}
