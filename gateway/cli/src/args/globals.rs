//! Flags that every command takes. This is the one place that reads `GYRE_*` of the environment.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::value::duration;
use crate::output::Format;

/// What the flags of every command say.
#[derive(Debug, Clone)]
pub struct Globals {
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

/// Their definitions.
pub fn args() -> Vec<Arg> {
    vec![
        arg("endpoint")
            .value_name("URL")
            .env("GYRE_ENDPOINT")
            .hide_env_values(true)
            .help("The gateway, such as http://127.0.0.1:7070"),
        arg("token")
            .value_name("TOKEN")
            .env("GYRE_TOKEN")
            .hide_env_values(true)
            .help("The token or API key to send (other users of the machine can see flags: better in the environment)"),
        arg("ca-file")
            .value_name("PATH")
            .env("GYRE_CA_FILE")
            .hide_env_values(true)
            .value_parser(value_parser!(PathBuf))
            .help("PEM certificates to trust for https://, instead of the system's"),
        arg("sign-in-file")
            .value_name("PATH")
            .env("GYRE_SIGN_IN_FILE")
            .hide_env_values(true)
            .value_parser(value_parser!(PathBuf))
            .help("The sign-in file that `gyre up` wrote, where it is not in the usual place"),
        arg("output")
            .short('o')
            .value_name("FORMAT")
            .value_parser(value_parser!(Format))
            .default_value("table")
            .hide_possible_values(true)
            .help("How answers and errors are printed: table, json (proto3 JSON) or yaml"),
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
        let text = |name: &str| matches.get_one::<String>(name).filter(|text| !text.is_empty()).cloned();
        let path = |name: &str| matches.get_one::<PathBuf>(name).filter(|path| !path.as_os_str().is_empty()).cloned();
        Self {
            endpoint: text("endpoint"),
            token: text("token"),
            ca_file: path("ca-file"),
            sign_in_file: path("sign-in-file"),
            format: matches.get_one::<Format>("output").copied().unwrap_or(Format::Table),
            verbose: matches.get_flag("verbose"),
            quiet: matches.get_flag("quiet"),
            timeout: matches.get_one::<Duration>("request-timeout").copied().unwrap_or(Duration::from_secs(30)),
        }
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
        )
    }
}
