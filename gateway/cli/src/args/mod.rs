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
use value::loose;
pub use value::{Given, duration, parse, size};

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Arg, ArgAction, Command, value_parser};
use gyre_model::catalog::{MessageInfo, catalog};

use crate::document::field_of;
use crate::failure::EXIT_CODES;
use crate::nouns::{Noun, Service, Shape, Verb, alias, call, call_name, noun, nouns, open_calls, service, services};

/// Names of arguments that more than one place reads.
pub mod names {
    /// `--watch`.
    pub const WATCH: &str = "watch";
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
    /// `--body`.
    pub const BODY: &str = "body";
    /// `--dry-run`.
    pub const DRY_RUN: &str = "dry-run";
    /// The command that makes any call.
    pub const CALL: &str = "call";
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// The whole command. A noun's verbs are made when somebody comes to it.
pub fn tree() -> Command {
    tree_of(|_| true)
}

/// The command as far as these words need it: completion builds all that it is given at once.
pub fn tree_for(words: &[String]) -> Command {
    tree_of(|command| {
        let names = command.get_all_aliases().chain([command.get_name()]);
        names.into_iter().any(|name| words.iter().any(|word| word == name))
    })
}

fn tree_of(wanted: impl Fn(&Command) -> bool) -> Command {
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
        .subcommands(own::commands())
        .subcommand(
            Command::new(names::CALL)
                .about("Makes any call of the API by its name, such as VmService.StartVm")
                .after_help("The flags of a call are told by `gyre call SERVICE.METHOD --help`; -f takes a whole request.")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .disable_help_subcommand(true)
                .subcommand_value_name("SERVICE.METHOD")
                .subcommand_help_heading("Calls"),
        );
    let deep = |command: Command, verbs: fn(Command) -> Command| {
        if wanted(&command) { command.defer(verbs) } else { command }
    };
    root.mut_subcommand(names::CALL, |command| deep(command, call_commands))
        .subcommands(nouns().into_iter().map(|noun| deep(noun_command(noun), noun_verbs)))
        .subcommands(services().iter().map(|service| {
            deep(service_command(service), if service.itself().is_some() { service_flags } else { service_verbs })
        }))
}

/// Every call, under each of its names.
fn call_commands(command: Command) -> Command {
    command.subcommands(open_calls().into_iter().map(|method| {
        Command::new(call_name(method))
            .about(first_sentence(method.doc))
            .aliases([
                format!("{}.{}", method.service, method.name),
                method.path[1..].to_owned(),
                method.path.to_owned(),
            ])
            .defer(call_flags)
    }))
}

fn call_flags(command: Command) -> Command {
    let Some(method) = call(command.get_name()) else { return command };
    verb_flags(command, &Verb::of(method.name.to_owned(), method))
}

fn service_command(service: &Service) -> Command {
    let command = Command::new(service.name.clone());
    if let Some(verb) = service.itself() {
        return command.about(first_sentence(verb.method.doc));
    }
    command
        .about(first_sentence(&service.doc()))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
}

fn service_flags(command: Command) -> Command {
    match service(command.get_name()).and_then(|service| service.itself()) {
        Some(verb) => verb_flags(command, &verb),
        None => command,
    }
}

fn service_verbs(command: Command) -> Command {
    let Some(service) = service(command.get_name()) else { return command };
    let own = own::service_verbs(&service.name);
    let hidden = |verb: &Verb| own.iter().any(|own| own.get_name() == verb.name);
    let verbs: Vec<_> = service.verbs().into_iter().filter(|verb| !hidden(verb)).collect();
    let verbs =
        verbs.iter().map(|verb| verb_flags(Command::new(verb.name.clone()).about(sentence(verb.method.doc)), verb));
    command.subcommands(own.clone()).subcommands(verbs)
}

fn noun_command(noun: Noun) -> Command {
    let mut command = Command::new(noun.kind.kind)
        .about(first_sentence(noun.message.doc))
        .alias(noun.kind.plural)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true);
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
    let command = verb_flags(Command::new(verb.name.clone()).about(about), verb);
    if matches!(verb.shape, Shape::List) || verb.name == "get" { command.arg(watch_arg()) } else { command }
}

fn watch_arg() -> Arg {
    Arg::new(names::WATCH)
        .long("watch")
        .action(ArgAction::SetTrue)
        .help("Shows it, and then each change of it as it happens, until Ctrl-C")
}

/// A command with the flags of a verb.
fn verb_flags(mut command: Command, verb: &Verb) -> Command {
    let body = takes_body(verb);
    for flag in flags(verb) {
        // What the flags do not say may stand in a file.
        let arg = if body && flag.required {
            flag.arg().required(false).required_unless_present(names::BODY)
        } else {
            flag.arg()
        };
        command = command.arg(arg);
    }
    if body {
        command = command.arg(body_arg(verb));
    }
    if verb.changes() {
        command = command.arg(Arg::new(names::DRY_RUN).long("dry-run").action(ArgAction::SetTrue).help(
            match verb.validate_only() {
                Some(_) => "Asks the service what the call would do; nothing is changed",
                None => "Checks the request and prints it; nothing that changes anything is sent",
            },
        ));
    }
    if verb.starts_operation() {
        command = command.arg(wait_arg(
            "Waits for the end with a progress bar, at most this long where it is given (--wait=5m), and answers the resource as \
             it is then",
        ));
    }
    if verb.changes() && !verb.starts_operation() {
        // What is done when it is answered needs no waiting: scripts may say it of everything.
        command = command.arg(wait_arg("It is done when it is answered: changes nothing here").hide(true));
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
        Shape::List => command.args(list_args(verb)),
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

fn wait_arg(help: &'static str) -> Arg {
    Arg::new(names::WAIT)
        .long("wait")
        .value_name("DURATION")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("")
        .value_parser(|text: &str| if text.is_empty() { Ok(None) } else { duration(text).map(Some) })
        .help(help)
}

/// Whether a request can be given as a document.
fn takes_body(verb: &Verb) -> bool {
    !matches!(verb.shape, Shape::List | Shape::Upload(_))
}

fn body_arg(verb: &Verb) -> Arg {
    let help = match (verb.shape, verb.body()) {
        (Shape::Feed, _) => "The requests, each a document of JSON or YAML; - reads standard input".to_owned(),
        (_, Some(body)) => format!(
            "Takes what the flags do not say from this file: the {} in JSON or YAML; - reads standard input",
            body.kind.unwrap_or("request").replace('-', " ")
        ),
        _ => "Takes what the flags do not say from this file: the request in JSON or YAML; - reads standard input"
            .to_owned(),
    };
    Arg::new(names::BODY)
        .long("body")
        .short('f')
        .value_name("PATH")
        .value_parser(value_parser!(std::path::PathBuf))
        .required(matches!(verb.shape, Shape::Feed))
        .help(help)
}

/// The message of a list's rows.
pub fn row(verb: &Verb) -> Option<&'static MessageInfo> {
    crate::output::rows_of(catalog().message(verb.method.output)?).map(|(_, row)| row)
}

fn list_args(verb: &Verb) -> Vec<Arg> {
    let row = row(verb);
    let has = |name: &str| verb.input().is_some_and(|input| input.field(name).is_some());
    all_list_args(row)
        .into_iter()
        .filter(|arg| match arg.get_id().as_str() {
            names::FILTER => has("filter"),
            names::ORDER_BY => has("order_by"),
            names::COLUMNS => row.is_some(),
            _ => true,
        })
        .collect()
}

/// Whether a table of these rows has a column: a field, or a path through references to one field.
fn column(row: &MessageInfo, text: &str) -> Result<String, String> {
    let (way, last) = text.rsplit_once('.').unwrap_or(("", text));
    let mut here = row;
    let mut path = String::new();
    for segment in way.split('.').filter(|segment| !segment.is_empty()) {
        let edge = here.kind.and_then(|kind| catalog().edge(kind, segment)).filter(|edge| !edge.many());
        let there = edge.as_ref().and_then(|edge| catalog().message(catalog().kind(edge.to())?.message));
        here = there.ok_or_else(|| astray(here, segment))?;
        path += &format!("{}.", edge.map_or(segment, |edge| edge.segment));
    }
    let fields = || here.fields.iter().map(|field| field.name);
    match field_of(here, last) {
        Some(field) => Ok(path + field.name),
        None => {
            let near = gyre_model::near::nearest(last, fields());
            let near = if near.is_empty() { fields().collect::<Vec<_>>().join(", ") } else { near.join(" or ") };
            Err(format!("there is no field {last:?}; there is {near}"))
        }
    }
}

/// Why a segment of a column's path leads nowhere.
fn astray(here: &MessageInfo, segment: &str) -> String {
    let edges: Vec<_> = here.kind.into_iter().flat_map(|kind| catalog().edges(kind)).collect();
    if edges.iter().any(|edge| edge.segment == segment) {
        return format!("{segment:?} leads to several, and a column has one; filters take it");
    }
    let ones = || edges.iter().filter(|edge| !edge.many()).map(|edge| edge.segment);
    let near = gyre_model::near::nearest(segment, ones());
    let near = if near.is_empty() { ones().collect::<Vec<_>>().join(", ") } else { near.join(" or ") };
    match near.is_empty() {
        true => format!("{segment:?} is no reference"),
        false => format!("{segment:?} is no reference; there is {near}"),
    }
}

fn all_list_args(row: Option<&'static MessageInfo>) -> Vec<Arg> {
    let known: Vec<_> = row.map(|row| row.fields.iter().map(|field| field.name).collect()).unwrap_or_default();
    let columns = move |text: &str| match row {
        Some(row) => column(row, text),
        None => Ok(text.to_owned()),
    };
    vec![
        Arg::new(names::FILTER).long("filter").value_name("FILTER").allow_hyphen_values(true).value_parser(loose).help(
            "Which ones: comparisons of fields and of what rows are linked with, such as 'state = RUNNING AND host.zone.name = \
             \"east\"' (docs/query.md)",
        ),
        Arg::new(names::ORDER_BY)
            .long("order-by")
            .value_name("FIELDS")
            .allow_hyphen_values(true)
            .value_parser(loose)
            .help("Fields to sort by, such as \"host.name, create_time desc\""),
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
            .value_parser(columns)
            .add(crate::complete::words(known))
            .help("Fields that the table shows, with commas between; those of what a row refers to, too: host.name"),
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
    fn every_call_that_is_open_can_be_made_by_name() {
        for method in open_calls() {
            for name in [call_name(method), format!("{}.{}", method.service, method.name), method.path.to_owned()] {
                let told = tree().try_get_matches_from(["gyre", "call", &name, "--help"]).unwrap_err();
                assert_eq!(told.kind(), clap::error::ErrorKind::DisplayHelp, "{name}: {told}");
            }
        }
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
