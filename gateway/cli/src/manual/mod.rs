//! The reference manual: a page for each kind and each service, made from the descriptors alone.
//!
//! `gyre manual --dir docs/reference` writes it; a test fails when what stands there is not what would be written.

mod call;
mod fields;

use std::collections::BTreeMap;
use std::path::Path;

use gyre_model::catalog::{KindInfo, Scope, SystemTag, TagSetter, catalog};

use self::call::call;
use self::fields::{field_table, used_types};
use crate::failure::{Failure, Result};
use crate::nouns::{Noun, Service, Verb, nouns, services};

/// What stands at the top of every page.
const MADE: &str = "<!-- Made by `gyre manual` from the .proto files; do not edit. -->";

/// The pages: from the name of the file to what stands in it.
pub fn pages() -> BTreeMap<String, String> {
    let mut pages: BTreeMap<_, _> =
        nouns().into_iter().map(|noun| (format!("{}.md", noun.kind.kind), kind_page(noun))).collect();
    pages.extend(services().iter().map(|service| (format!("{}-service.md", service.name), service_page(service))));
    pages.insert("README.md".to_owned(), index());
    pages
}

/// Writes the pages, and removes those that are none any more.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Failure::general(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let pages = pages();
    for file in std::fs::read_dir(folder).map_err(failed)?.flatten() {
        let old = file.file_name().to_str().is_some_and(|name| name.ends_with(".md") && !pages.contains_key(name));
        // Only what this made is removed.
        if old && std::fs::read_to_string(file.path()).is_ok_and(|text| text.starts_with(MADE)) {
            std::fs::remove_file(file.path()).map_err(failed)?;
        }
    }
    pages.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text).map_err(failed))
}

fn index() -> String {
    let mut text = format!(
        "{MADE}\n# Reference\n\nEvery kind of resource and every call of the API, as the .proto files describe them. What holds for \
         all of them: [the command line](../cli.md), [operations](../operations.md), [callbacks](../callbacks.md).\n\n\
         ## Kinds\n\n| kind | service | who sees it | what it is |\n| --- | --- | --- | --- |\n"
    );
    for noun in nouns() {
        let kind = noun.kind;
        let (link, doc) = (format!("[{0}]({0}.md)", kind.kind), cell(noun.message.doc));
        text += &format!("| {link} | {} | {} | {doc} |\n", kind.service, scope(kind.scope));
    }
    text += "\n## Services without a resource\n\n| service | what it is |\n| --- | --- |\n";
    for service in services() {
        text += &format!("| [{0}]({0}-service.md) | {1} |\n", service.name, cell(&service.doc()));
    }
    text + "\n## Forms\n\nOver HTTP requests and answers are proto3 JSON: names in lowerCamelCase, 64-bit numbers as text, times as \
           RFC 3339, durations as seconds (`\"30s\"`), enum values by full name, bytes in base64. A field that is not given has no \
           value: an empty text, 0, false, an empty list.\n"
}

fn kind_page(noun: Noun) -> String {
    let kind = noun.kind;
    let columns: Vec<_> = kind.columns.iter().map(|column| format!("`{column}`")).collect();
    let mut text = format!(
        "{MADE}\n# {}\n\n{}\n\n| | |\n| --- | --- |\n| Message | `{}` |\n| Service | {} |\n| Seen by | {} |\n| Over HTTP | \
         `/v1/{}` |\n| Command | `gyre {}` |\n| Tables show | {} |\n",
        kind.kind,
        noun.message.doc,
        noun.message.name,
        kind.service,
        scope(kind.scope),
        kind.plural,
        kind.kind,
        columns.join(", "),
    );
    text += &format!("\n## Fields\n\n{}", field_table(noun.message));
    text += &system_tags(kind);
    text += &referring(kind.kind);
    text += &calls(kind.kind, &noun.verbs());
    text + &used_types(noun.message.name, &noun.verbs())
}

fn service_page(service: &Service) -> String {
    let mut text = format!("{MADE}\n# {}\n\n{}\n\nService: `{}`\n", service.name, service.doc(), service.service);
    text += &calls(&service.name, &service.verbs());
    text + &used_types("", &service.verbs())
}

fn calls(noun: &str, verbs: &[Verb]) -> String {
    let all: Vec<_> = verbs.iter().map(|verb| call(noun, verb)).collect();
    format!("\n## Calls\n\n{}", all.join("\n"))
}

/// The tags to which Gyre gives a meaning on a kind.
fn system_tags(kind: &KindInfo) -> String {
    if kind.system_tags.is_empty() {
        return String::new();
    }
    let row = |tag: &SystemTag| {
        let who = match tag.set_by() {
            TagSetter::Unspecified | TagSetter::Owner => "who may change it",
            TagSetter::Admin => "administrators",
            TagSetter::System => "Gyre",
        };
        let when = if tag.at_creation { "at creation" } else { "at any time" };
        let many = if tag.many { "several" } else { "one" };
        format!("| `gyre:{}` | {who} | {when} | {many} | {} |\n", tag.pattern, cell(&tag.help))
    };
    let rows: String = kind.system_tags.iter().map(row).collect();
    format!(
        "\n## System tags\n\nTags to which Gyre gives a meaning ([tags](../tags.md)).\n\n\
         | tag | set by | when | how many | what it does |\n| --- | --- | --- | --- | --- |\n{rows}"
    )
}

/// The kinds that refer to one, and what deleting it does to them.
fn referring(kind: &str) -> String {
    let mut rows = Vec::new();
    for noun in nouns() {
        for field in noun.message.fields.iter().filter(|field| field.rule.refers_to == kind) {
            let effect = fields::on_delete(field.rule.on_delete());
            rows.push(format!("| [{0}]({0}.md) | `{1}` | {effect} |\n", noun.kind.kind, field.name));
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    format!("\n## Referred to by\n\n| kind | field | deleting the {kind} |\n| --- | --- | --- |\n{}", rows.concat())
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Unspecified | Scope::Account => "its account and administrators",
        Scope::Global => "everybody who is signed in",
        Scope::Admin => "administrators",
    }
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// Whether a message is one of Gyre's, and not Google's.
fn is_own(name: &str) -> bool {
    catalog().message(name).is_some()
}
