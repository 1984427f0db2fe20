//! The command `gyre`: Gyre's API for people and scripts.
//!
//! No command here knows a resource. What there is to name and to do is read from the descriptors at run time
//! ([`nouns`]), turned into commands and flags ([`args`]), sent as bytes to any gateway ([`client`]) and shown
//! ([`output`]). A new resource or call in a .proto file is a new command without an edit here.
//!
//! What is written by hand ([`commands`]) is what a descriptor cannot say: signing in, a console in a terminal, waiting for an
//! operation with a progress bar. Every failure ends in one type, [`Failure`](failure::Failure), which knows its exit code.

pub mod args;
pub mod client;
pub mod commands;
pub mod complete;
pub mod document;
pub mod failure;
pub mod manual;
pub mod nouns;
pub mod output;
pub mod python;
pub mod shell;
pub mod ui;
#[cfg(feature = "up")]
pub mod up;

use std::process::ExitCode;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    if let Some(shell) = args::Globals::completing() {
        let answer = complete::answer(&shell, std::env::args_os().collect());
        return answer.map_or_else(|failure| failure.report(output::Format::Table), |()| ExitCode::SUCCESS);
    }
    // Needs nothing of what follows.
    if ["--version", "version"].iter().any(|word| std::env::args_os().skip(1).eq([*word])) {
        return commands::version(output::Format::Table)
            .map_or_else(|failure| failure.report(output::Format::Table), |()| ExitCode::SUCCESS);
    }
    let matches = match args::tree().try_get_matches() {
        Ok(matches) => matches,
        // Wrong usage, for a program.
        Err(error) if error.use_stderr() && wanted_format().structured() => {
            let text = error.render().to_string();
            let text = text.trim_start_matches("error: ").trim_end();
            return failure::Failure::usage(text).report(wanted_format());
        }
        // Help, version, and wrong usage for people; clap knows its streams and codes (0 and 2).
        Err(error) => error.exit(),
    };
    let globals = args::Globals::read(&matches);
    #[cfg(feature = "up")]
    if let Some(("up", matches)) = matches.subcommand() {
        let args = <up::UpArgs as clap::FromArgMatches>::from_arg_matches(matches);
        let outcome = args
            .map_err(|error| failure::Failure::usage(error.to_string()))
            .and_then(|args| up::run(args).map_err(failure::Failure::from));
        return outcome.map_or_else(|failure| failure.report(globals.format), |()| ExitCode::SUCCESS);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::Failure::from(error).report(globals.format),
    };
    if matches.subcommand_name() == Some("shell") {
        let flags = shell::flags(std::env::args().skip(1).collect());
        return shell::run(&globals, &flags, &runtime);
    }
    let outcome = runtime.block_on(commands::run(&globals, &matches));
    // A reader of the keyboard may be blocked in a read; the process does not wait for it.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(globals.format),
    }
}

/// The format that a command line asks for which could not be parsed.
fn wanted_format() -> output::Format {
    let words: Vec<_> = std::env::args().collect();
    let names = |word: &str, next: Option<&String>| {
        let value = match word {
            "-o" | "--output" => next.cloned(),
            _ => word.strip_prefix("--output=").or_else(|| word.strip_prefix("-o")).map(str::to_owned),
        };
        value.and_then(|value| <output::Format as clap::ValueEnum>::from_str(&value, true).ok())
    };
    words.iter().enumerate().find_map(|(at, word)| names(word, words.get(at + 1))).unwrap_or(output::Format::Table)
}
