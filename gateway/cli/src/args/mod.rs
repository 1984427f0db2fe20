//! The command tree. Only names and one-line descriptions of the nouns are made at the start; the verbs and flags of a noun are
//! made when clap comes to it (`Command::defer`), so that `gyre --help` costs nothing that it does not show.

mod flag;
mod flags;
mod globals;
mod own;
mod value;

pub use flag::{Flag, Place};
pub use flags::flags;
pub use globals::Globals;
pub use value::{Given, duration, size};

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Arg, ArgAction, Command, value_parser};

use crate::failure::EXIT_CODES;
use crate::nouns::{Noun, Shape, Verb, alias, noun, nouns};

/// Names of arguments that more than one place reads.
pub mod names {
    /// `--wait`.
    pub const WAIT: &str = "wait";
    /// `--callback`.
    pub const CALLBACK: &str = "callback";
    /// `--filter`.
    pub const FILTER: &str = "filter";
    /// `--order-by`.
    pub const ORDER_BY: &str = "order-by";
    /// `--page-size`.
    pub const PAGE_SIZE: &str = "page-size";
    /// `--limit`.
    pub const LIMIT: &str = "limit";
    /// `--columns`.
    pub const COLUMNS: &str = "columns";
    /// `--file`.
    pub const FILE: &str = "file";
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// The whole command.
pub fn tree() -> Command {
    let root = Command::new("gyre")
        .about("Gyre, a control plane for private and public clouds")
        .version(env!("CARGO_PKG_VERSION"))
        .styles(STYLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .args(globals::args())
        .after_help(format!(
            "Where Gyre is: --endpoint, else GYRE_ENDPOINT, else where `gyre login` signed in, else the sign-in file that \
             `gyre up` wrote, else http://127.0.0.1:7070.\n\n{EXIT_CODES}"
        ))
        .subcommands(own::commands());
    root.subcommands(nouns().into_iter().map(noun_command))
}

fn noun_command(noun: Noun) -> Command {
    let mut command = Command::new(noun.kind.kind)
        .about(first_sentence(noun.message.doc))
        .alias(noun.kind.plural)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .defer(noun_verbs);
    if let Some(alias) = alias(noun.kind.kind) {
        command = command.visible_alias(alias);
    }
    command
}

/// The verbs of a noun. A function without captures, since that is what `defer` takes; the command's name says which noun.
fn noun_verbs(command: Command) -> Command {
    let Some(noun) = noun(command.get_name()) else { return command };
    let verbs = noun.verbs();
    let command = command.subcommands(own::verbs(noun));
    command.subcommands(verbs.iter().map(|verb| verb_command(noun, verb)))
}

fn verb_command(noun: Noun, verb: &Verb) -> Command {
    let about = match verb.shape {
        Shape::Update(_) => format!("Changes what the flags say of {}", noun.article()),
        _ if verb.name == "get" => format!("Shows {}", noun.article()),
        Shape::List => format!("Shows {}", noun.kind.plural.replace('-', " ")),
        _ => sentence(verb.method.doc),
    };
    let mut command = Command::new(verb.name.clone()).about(about);
    for flag in flags(noun, verb) {
        command = command.arg(flag.arg());
    }
    if verb.starts_operation() {
        command = command.arg(
            Arg::new(names::WAIT)
                .long("wait")
                .value_name("DURATION")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("")
                .value_parser(|text: &str| if text.is_empty() { Ok(None) } else { duration(text).map(Some) })
                .help(
                    "Waits for the end with a progress bar, at most this long where it is given (--wait=5m), and answers the \
                     resource as it is then",
                ),
        );
    }
    if verb.takes_callback() {
        command = command.arg(
            Arg::new(names::CALLBACK)
                .long("callback")
                .value_name("URL")
                .help("Where the finished operation is posted, signed with the key of `gyre callback-key`"),
        );
    }
    match verb.shape {
        Shape::List => command.args(list_args(noun)),
        Shape::Upload(_) => command.arg(
            Arg::new(names::FILE)
                .long("file")
                .value_name("PATH")
                .value_parser(value_parser!(std::path::PathBuf))
                .required(true)
                .help("The file to send; - reads standard input"),
        ),
        _ => command,
    }
}

fn list_args(noun: Noun) -> Vec<Arg> {
    let columns: Vec<_> = noun.message.fields.iter().map(|field| field.name).collect();
    vec![
        Arg::new(names::FILTER).long("filter").value_name("FILTER").help(
            "Which ones: comparisons of fields, such as 'name = \"web-1\" AND create_time > \"2026-01-01T00:00:00Z\"'",
        ),
        Arg::new(names::ORDER_BY)
            .long("order-by")
            .value_name("FIELDS")
            .help("Fields to sort by, such as \"name, create_time desc\""),
        Arg::new(names::LIMIT)
            .long("limit")
            .value_name("N")
            .value_parser(value_parser!(u64).range(1..))
            .help("At most this many; all of them where it is not given"),
        Arg::new(names::PAGE_SIZE)
            .long("page-size")
            .value_name("N")
            .value_parser(value_parser!(i32).range(1..=1000))
            .help("How many are asked for in one call, 1 to 1000"),
        Arg::new(names::COLUMNS)
            .long("columns")
            .value_name("FIELDS")
            .value_delimiter(',')
            .action(ArgAction::Append)
            .hide_possible_values(true)
            .value_parser(clap::builder::PossibleValuesParser::new(columns))
            .help("Fields that the table shows, with commas between"),
    ]
}

/// A comment as a line of help: without its full stop where it is one sentence.
fn sentence(doc: &str) -> String {
    match doc.strip_suffix('.') {
        Some(one) if !one.contains(". ") => one.to_owned(),
        _ => doc.to_owned(),
    }
}

/// Its first sentence, for lists of commands.
fn first_sentence(doc: &str) -> String {
    doc.split_once(". ").map_or_else(|| sentence(doc), |(first, _)| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_tree_holds_together() {
        // clap checks names, clashes and defaults of every command here.
        tree().debug_assert();
    }

    #[test]
    fn verbs_are_built_only_when_they_are_named() {
        let tree = tree();
        let vm = tree.find_subcommand("vm").unwrap();
        assert_eq!(vm.get_subcommands().count(), 0);
        let matches = tree.try_get_matches_from(["gyre", "vm", "get", "web-1", "-o", "json"]).unwrap();
        assert_eq!(Globals::read(&matches).format, crate::output::Format::Json);
    }

    #[test]
    fn kinds_have_shorter_names_and_plurals() {
        for words in [["gyre", "network", "list"], ["gyre", "offering", "list"], ["gyre", "vms", "list"]] {
            tree().try_get_matches_from(words).unwrap();
        }
    }
}
