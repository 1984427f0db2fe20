//! `gyre shell`: commands without the prefix, one line after the other, with history and completion.
//!
//! A line is parsed and run as a command of its own; the flags that the shell was started with stand before its words. A failure
//! is told and the shell goes on, but where the lines come from a file or a pipe the first failure ends it with its exit code.
//! Ctrl-C ends the command that runs, Ctrl-D the shell.

mod edit;
mod words;

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use rustyline::error::ReadlineError;
use tokio::runtime::Runtime;

use crate::args::{Globals, tree};
use crate::client::Paths;
use crate::commands;
use crate::complete;
use crate::failure::{Failure, Result};

/// How a line ended.
enum Ended {
    Well,
    Badly(ExitCode),
    Leave,
}

/// The flags that the shell was started with: all words but its name, which is no flag's value.
pub fn flags(mut words: Vec<String>) -> Vec<String> {
    let value = |before: &str| {
        before == "-o"
            || (before.starts_with("--") && !before.contains('=') && !matches!(before, "--quiet" | "--verbose"))
    };
    let name = (0..words.len()).find(|at| words[*at] == "shell" && (*at == 0 || !value(&words[*at - 1])));
    if let Some(at) = name {
        words.remove(at);
    }
    words
}

/// Runs the shell. `flags` are those that it was started with.
pub fn run(globals: &Globals, flags: &[String], runtime: &Runtime) -> ExitCode {
    complete::ask_as(globals.clone());
    if std::io::stdin().is_terminal() {
        typed(globals, flags, runtime).map_or_else(|failure| failure.report(globals.format), |()| ExitCode::SUCCESS)
    } else {
        read(globals, flags, runtime)
    }
}

/// Lines from a file or a pipe.
fn read(globals: &Globals, flags: &[String], runtime: &Runtime) -> ExitCode {
    let mut line = String::new();
    loop {
        line.clear();
        // The lock is not held while a command runs, which may read standard input itself.
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(0) => return ExitCode::SUCCESS,
            Ok(_) => {}
            Err(error) => return Failure::from(error).report(globals.format),
        }
        match obey(&line, flags, runtime) {
            Ended::Well => {}
            Ended::Badly(code) => return code,
            Ended::Leave => return ExitCode::SUCCESS,
        }
    }
}

/// Lines from a terminal.
fn typed(globals: &Globals, flags: &[String], runtime: &Runtime) -> Result<()> {
    let failed = |error: ReadlineError| Failure::general(format!("the terminal cannot be used: {error}"));
    let mut editor = edit::editor().map_err(failed)?;
    let history = Paths::from_environment().history;
    edit::load(&mut editor, &history);
    if !globals.quiet {
        eprintln!("the command `gyre` is left out here; Tab completes, `exit` or Ctrl-D leaves");
    }
    let prompt = match &globals.profile {
        Some(name) => format!("gyre {name}> "),
        None => "gyre> ".to_owned(),
    };
    loop {
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        edit::remember(&mut editor, &history, &line);
        if let Ended::Leave = obey(&line, flags, runtime) {
            return Ok(());
        }
    }
}

/// Runs a line.
fn obey(line: &str, flags: &[String], runtime: &Runtime) -> Ended {
    let line = line.trim_end_matches(['\r', '\n']);
    let words::Words { mut words, open, .. } = words::split(line);
    let wrong = |text: &str| Ended::Badly(Failure::usage(text).report(crate::output::Format::Table));
    if open {
        return wrong("a quote is not closed");
    }
    // What a blank at the end begins is no word of the command; an empty word in quotes is.
    if words.last().is_some_and(String::is_empty) && !line.ends_with(['"', '\'']) {
        words.pop();
    }
    if words.first().is_some_and(|word| word == "gyre") {
        words.remove(0);
    }
    match words.first().map(String::as_str) {
        None => return Ended::Well,
        Some("exit" | "quit") => return Ended::Leave,
        Some("help") => words[0] = "--help".to_owned(),
        Some("shell") => return wrong("this is the shell already"),
        Some("up") => return wrong("`gyre up` serves until Ctrl-C; start it in a terminal of its own"),
        Some(_) => {}
    }
    let all: Vec<_> = ["gyre".to_owned()].into_iter().chain(flags.iter().cloned()).chain(words).collect();
    // A console takes the keyboard for itself, key by key, until its process ends.
    if all.windows(2).any(|pair| matches!(pair[0].as_str(), "vm" | "vms") && pair[1] == "console") {
        return beside(&all[1..]);
    }
    let matches = match tree().try_get_matches_from(&all) {
        Ok(matches) => matches,
        Err(error) => {
            // Standard output or error may be gone; nobody is left to tell then.
            let _ = error.print();
            let code = u8::try_from(error.exit_code()).unwrap_or(1);
            return if code == 0 { Ended::Well } else { Ended::Badly(ExitCode::from(code)) };
        }
    };
    let globals = Globals::read(&matches);
    let outcome = runtime.block_on(async {
        tokio::select! {
            // one that hears Ctrl-C itself knows better what to say
            biased;
            outcome = commands::run(&globals, &matches) => outcome,
            _ = tokio::signal::ctrl_c() => Err(Failure::interrupted("interrupted")),
        }
    });
    match outcome {
        Ok(()) => Ended::Well,
        Err(failure) => Ended::Badly(failure.report(globals.format)),
    }
}

/// Runs a command as a process of its own.
fn beside(words: &[String]) -> Ended {
    let status = std::env::current_exe().and_then(|gyre| std::process::Command::new(gyre).args(words).status());
    match status {
        Ok(status) if status.success() => Ended::Well,
        Ok(status) => Ended::Badly(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
        Err(error) => Ended::Badly(Failure::from(error).report(crate::output::Format::Table)),
    }
}
