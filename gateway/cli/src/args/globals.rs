//! Flags that every command takes. This is the one place that reads `GYRE_*` of the environment.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::value::duration;
use crate::output::Format;

/// What the flags of every command say.
#[derive(Debug, Clone)]
pub struct Globals {
    /// The profile to use.
    pub profile: Option<String>,
    /// Where the gateway is.
    pub endpoint: Option<String>,
    /// The token or API key to send.
    pub token: Option<String>,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The sign-in file of a node that does not keep it in the usual place.
    pub sign_in_file: Option<PathBuf>,
    /// How answers are printed.
    pub format: Format,
    /// Whether to tell about each call.
    pub verbose: bool,
    /// Whether to be silent about progress.
    pub quiet: bool,
    /// How long one call may take.
    pub timeout: Duration,
}

const HEADING: &str = "Options of every command";

fn arg(name: &'static str) -> Arg {
    Arg::new(name).long(name).global(true).help_heading(HEADING)
}

/// A path; an empty one counts as none, and is no error.
fn path(text: &str) -> Result<PathBuf, Infallible> {
    Ok(PathBuf::from(text))
}

/// What the environment says for a flag: `GYRE_CA_FILE` for `--ca-file`.
fn environment(name: &str) -> Option<String> {
    std::env::var(format!("GYRE_{}", name.replace('-', "_").to_ascii_uppercase())).ok()
}

/// Their definitions.
pub fn args() -> Vec<Arg> {
    vec![
        arg("profile")
            .value_name("NAME")
            .add(crate::complete::profiles())
            .help("The cloud to talk to, of those that `gyre profile list` shows [env: GYRE_PROFILE]"),
        arg("endpoint")
            .value_name("URL")
            .help("The gateway, such as http://127.0.0.1:7070 [env: GYRE_ENDPOINT]"),
        arg("token")
            .value_name("TOKEN")
            .help("The token or API key to send (other users of the machine can see flags: better in the environment) [env: GYRE_TOKEN]"),
        arg("ca-file")
            .value_name("PATH")
            .value_parser(path)
            .value_hint(clap::ValueHint::FilePath)
            .help("PEM certificates to trust for https://, instead of the system's [env: GYRE_CA_FILE]"),
        arg("sign-in-file")
            .value_name("PATH")
            .value_parser(path)
            .value_hint(clap::ValueHint::FilePath)
            .help("The sign-in file that `gyre up` wrote, where it is not in the usual place [env: GYRE_SIGN_IN_FILE]"),
        arg("output")
            .short('o')
            .value_name("FORMAT")
            .value_parser(value_parser!(Format))
            .default_value("table")
            .hide_possible_values(true)
            .help("How answers are printed: table, wide, json (proto3 JSON), yaml, csv or name"),
        arg("request-timeout")
            .value_name("DURATION")
            .default_value("30s")
            .value_parser(|text: &str| duration(text))
            .help("How long one call may take; streams and --wait are not bound by it"),
        arg("quiet").short('q').action(ArgAction::SetTrue).help("Shows no progress"),
        arg("verbose")
            .short('v')
            .action(ArgAction::SetTrue)
            .help("Tells on standard error what is called, and the trace that it belongs to"),
        // One form of help: the long one takes three lines for each flag.
        arg("help").short('h').action(ArgAction::HelpShort).help("Prints help"),
    ]
}

impl Globals {
    /// Reads them. Empty values count as not given, so that `GYRE_TOKEN= gyre …` unsets it.
    pub fn read(matches: &ArgMatches) -> Self {
        // clap is not told of the environment: its usage lines would show what is set there as if it had been typed.
        let flag = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        let text = |name: &str| {
            let typed = matches.get_one::<String>(name).cloned();
            typed.or_else(|| environment(name)).filter(|text| !text.is_empty())
        };
        let path = |name: &str| {
            let typed = matches.get_one::<PathBuf>(name).cloned();
            typed.or_else(|| environment(name).map(PathBuf::from)).filter(|path| !path.as_os_str().is_empty())
        };
        // A profile that is named on the command line stands before what the environment says of another cloud.
        let named = flag("profile");
        let cloud = |name: &str| text(name).filter(|_| flag(name) || !named);
        Self {
            profile: text("profile"),
            endpoint: cloud("endpoint"),
            token: cloud("token"),
            ca_file: path("ca-file"),
            sign_in_file: path("sign-in-file").filter(|_| flag("sign-in-file") || !named),
            format: matches.get_one::<Format>("output").copied().unwrap_or(Format::Table),
            verbose: matches.get_flag("verbose"),
            quiet: matches.get_flag("quiet"),
            timeout: matches.get_one::<Duration>("request-timeout").copied().unwrap_or(Duration::from_secs(30)),
        }
    }

    /// What words that are not yet a whole command say about whom to ask.
    pub fn of_words(words: &[String]) -> Self {
        let command = clap::Command::new("gyre").disable_help_flag(true).ignore_errors(true).args(args());
        // Flags may stand anywhere between the words.
        let mut kept = vec!["gyre".to_owned()];
        let mut words = words.iter().skip(1).peekable();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").map(|name| name.split('=').next().unwrap_or_default());
            if !matches!(name, Some("endpoint" | "token" | "ca-file" | "sign-in-file" | "profile")) {
                continue;
            }
            kept.push(word.clone());
            if !word.contains('=') {
                kept.extend(words.next().cloned());
            }
        }
        match command.try_get_matches_from(kept) {
            Ok(matches) => Self::read(&matches),
            Err(_) => Self::nothing(),
        }
    }

    fn nothing() -> Self {
        Self {
            profile: None,
            endpoint: None,
            token: None,
            ca_file: None,
            sign_in_file: None,
            format: Format::Table,
            verbose: false,
            quiet: true,
            timeout: Duration::from_secs(30),
        }
    }

    /// The shell that asks for completions, and not for a command.
    pub fn completing() -> Option<String> {
        std::env::var(crate::complete::VARIABLE).ok().filter(|shell| !shell.is_empty())
    }

    /// Whether a flag of this name belongs to every command.
    pub fn takes(name: &str) -> bool {
        matches!(
            name,
            "endpoint"
                | "token"
                | "ca-file"
                | "sign-in-file"
                | "output"
                | "request-timeout"
                | "quiet"
                | "verbose"
                | "help"
                | "version"
                | "wait"
                | "callback"
                | "dry-run"
                | "body"
                | "profile"
                | "watch"
        )
    }
}
