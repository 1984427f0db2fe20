//! Commands that no descriptor describes: signing in and out, members, completions, and the console of a machine.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, value_parser};

use super::value::size;
use crate::complete;
use crate::nouns::Noun;

/// Commands beside the nouns.
pub fn commands() -> Vec<Command> {
    let commands = vec![
        Command::new("login")
            .about("Signs in and keeps the token for the commands that follow")
            .after_help(
                "The token is kept in the profile's file, which only you can read ($XDG_CONFIG_HOME/gyre/credentials.json for \
                 the default one). Without a flag for it the password is asked for in the terminal.",
            )
            .arg(Arg::new("account").long("account").value_name("NAME").help("The account; asked for where it is not given"))
            .arg(
                Arg::new("password-stdin")
                    .long("password-stdin")
                    .action(ArgAction::SetTrue)
                    .help("Reads the password from standard input, up to the first line break"),
            )
            .arg(
                Arg::new("password-file")
                    .long("password-file")
                    .value_name("PATH")
                    .value_parser(value_parser!(PathBuf))
                    .conflicts_with("password-stdin")
                    .help("Reads the password from a file, up to the first line break"),
            ),
        Command::new("logout").about("Forgets the tokens that were kept"),
        profile(),
        apply(),
        Command::new("members").about("Shows the instances of the services, and the epoch of the ring"),
        Command::new("callback-key")
            .about("Shows the key that callbacks are signed with; the first time makes it")
            .arg(
                Arg::new("rotate")
                    .long("rotate")
                    .action(ArgAction::SetTrue)
                    .help("Makes a new key; the one before signs too for 24 hours"),
            ),
        Command::new("completions")
            .about("Prints completions for a shell")
            .after_help("For bash: gyre completions bash > ~/.local/share/bash-completion/completions/gyre")
            .arg(Arg::new("shell").value_name("SHELL").value_parser(PossibleValuesParser::new(complete::shells())).required(true)),
        Command::new("shell")
            .about("Takes commands line by line, with history and completion, until Ctrl-D")
            .after_help("The flags given here hold for every line. Lines may come from a pipe too; the first failure ends it then."),
        Command::new("manual")
            .about("Writes what is made from the descriptors: the reference manual, the Python client")
            .arg(
                Arg::new("dir")
                    .long("dir")
                    .value_name("PATH")
                    .value_parser(value_parser!(PathBuf))
                    .required_unless_present("python")
                    .help("The folder to write the reference manual to, a page for each kind and service"),
            )
            .arg(
                Arg::new("python")
                    .long("python")
                    .value_name("PATH")
                    .value_parser(value_parser!(PathBuf))
                    .help("The project of the Python client (deploy/clients/python), whose types and calls are written"),
            ),
        Command::new("version").about("Prints the version"),
    ];
    #[cfg(feature = "up")]
    let commands = [commands, vec![up()]].concat();
    commands
}

fn apply() -> Command {
    Command::new("apply")
        .about("Makes what documents say, and changes what is otherwise")
        .after_help(
            "Each document is a map of fields in YAML or JSON, with the kind of what it describes: \
             {kind: vm, name: web-1, image: debian-13, memory: 2GiB}. What is there is found by its uuid, or by a name that only \
             one has. Fields that a document does not give are left as they are.",
        )
        .arg(
            Arg::new(super::names::BODY)
                .short('f')
                .long("file")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .action(ArgAction::Append)
                .required(true)
                .help("A file of documents, a folder of such files, or - for standard input; several by repeating it"),
        )
        .arg(
            Arg::new(super::names::DRY_RUN)
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Shows what would be made and changed; nothing is"),
        )
        .arg(super::wait_arg("Waits for all that is made, each at most this long where it is given (--wait=5m)"))
}

fn profile() -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true).add(complete::profiles());
    Command::new("profile")
        .about("Keeps several clouds apart: where each is, and who calls there")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(Command::new("list").about("Shows the profiles; the one in use has a star"))
        .subcommand(
            Command::new("use").about("Uses a profile from now on; `default` is always there").arg(name()),
        )
        .subcommand(
            Command::new("set")
                .about("Makes a profile, or changes what it says")
                .after_help("The gateway is given with --endpoint, its certificates with --ca-file.")
                .arg(name())
                .arg(
                    Arg::new("token-file")
                        .long("token-file")
                        .value_name("PATH")
                        .value_parser(value_parser!(PathBuf))
                        .help("An API key to call with, read from this file up to the first line break; - reads standard input"),
                ),
        )
        .subcommand(Command::new("remove").about("Forgets a profile and its token").arg(name()))
}

#[cfg(feature = "up")]
fn up() -> Command {
    use clap::Args as _;
    let command =
        Command::new("up").about("Starts all of Gyre in this process, on this machine, and serves until Ctrl-C");
    crate::up::UpArgs::augment_args(command)
}

/// Verbs of a service that know more than its descriptor says; they stand in for those of the same name.
pub fn service_verbs(service: &str) -> Vec<Command> {
    if service != "lane" {
        return Vec::new();
    }
    vec![
        Command::new("list")
            .about("Shows the lanes with work in the whole mesh, those with the longest wait first")
            .arg(
                Arg::new("service")
                    .long("service")
                    .value_name("NAME")
                    .help("Only the lanes of this service, such as vm"),
            )
            .arg(Arg::new("key").long("key").value_name("UUID").help("Only the lanes of this resource or host"))
            .arg(
                Arg::new(super::names::LIMIT)
                    .long("limit")
                    .value_name("N")
                    .value_parser(value_parser!(i32).range(1..=10_000))
                    .help("At most this many [default: 1000]"),
            ),
    ]
}

/// Verbs of a noun beside those that its calls give.
pub fn verbs(noun: Noun) -> Vec<Command> {
    if noun.kind.kind != "vm" {
        return Vec::new();
    }
    vec![
        Command::new("console")
            .about("Opens a machine's serial console")
            .after_help(
                "In a terminal what you type goes to the machine, and Ctrl-] leaves; \
                 elsewhere the output is copied to standard output until it is interrupted.",
            )
            .arg(
                Arg::new("uuid")
                    .value_name("VM")
                    .required(true)
                    .add(complete::resources("vm"))
                    .help("The machine: its UUID, or its name where only one has it"),
            )
            .arg(
                Arg::new("no-follow")
                    .long("no-follow")
                    .action(ArgAction::SetTrue)
                    .help("Prints what was printed lately and ends"),
            )
            .arg(
                Arg::new("tail")
                    .long("tail")
                    .value_name("SIZE")
                    .value_parser(|text: &str| match size(text) {
                        Ok(bytes) if (1..=1 << 20).contains(&bytes) => i32::try_from(bytes).map_err(|_| String::new()),
                        Ok(_) => Err("must be between 1 and 1MiB".to_owned()),
                        Err(wrong) => Err(wrong),
                    })
                    .help("How much of what was printed before to begin with, at most 1MiB [default: 64KiB]"),
            ),
    ]
}
