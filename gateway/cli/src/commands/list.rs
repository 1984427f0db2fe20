//! Lists: pages are asked for until there are no more, or as many as were wanted.

use clap::ArgMatches;
use gyre_model::catalog::catalog;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use super::resolve::items;
use super::{query, request};
use crate::args::{Globals, names, row};
use crate::client::Client;
use crate::failure::Result;
use crate::nouns::Verb;
use crate::output;

/// The largest page that the API gives.
const LARGEST_PAGE: u64 = 1000;

/// Lists and prints.
pub async fn run(client: &Client, globals: &Globals, verb: &Verb, matches: &ArgMatches) -> Result<()> {
    let limit = matches.get_one::<u64>(names::LIMIT).copied();
    let asked = matches.get_one::<i32>(names::PAGE_SIZE).and_then(|size| u64::try_from(*size).ok());
    let row = row(verb);
    let wanted: Vec<&str> = match row {
        Some(_) => matches.get_many::<String>(names::COLUMNS).into_iter().flatten().map(String::as_str).collect(),
        None => Vec::new(),
    };
    let mut request = request::build(client, verb, matches).await?;
    for name in [names::FILTER, names::ORDER_BY] {
        if let Some(text) = matches.try_get_one::<String>(name).ok().flatten() {
            request.set_field_by_name(&name.replace('-', "_"), Value::String(text.clone()));
        }
    }
    if request.get_field_by_name("count").is_some_and(|count| count.as_bool() == Some(true)) {
        request.set_field_by_name("page_size", Value::I32(1));
        let total =
            client.call(verb.method, &request).await?.get_field_by_name("total_size").and_then(|size| size.as_i64());
        return output::print(&format!("{}\n", total.unwrap_or_default()));
    }
    if let Some(kind) = row.and_then(|row| row.kind)
        && wanted.iter().any(|name| name.contains('.'))
    {
        return query::list(client, globals, kind, &wanted, matches).await;
    }
    if !wanted.is_empty() {
        mask(&mut request, &wanted);
    }
    let mut found = Vec::new();
    loop {
        let missing = limit.map(|limit| limit - found.len() as u64);
        // A limit smaller than a page asks for no more than it wants; otherwise the gateway chooses.
        let size = match (asked, missing) {
            (Some(asked), Some(missing)) => Some(asked.min(missing)),
            (None, Some(missing)) => Some(missing.min(LARGEST_PAGE)),
            (asked, None) => asked,
        };
        if let Some(size) = size {
            request.set_field_by_name("page_size", Value::I32(i32::try_from(size).unwrap_or(i32::MAX)));
        }
        let page = client.call(verb.method, &request).await?;
        found.extend(items(&page));
        if let Some(limit) = limit {
            found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        let next = page.get_field_by_name("next_page_token").and_then(|token| token.as_str().map(str::to_owned));
        match next {
            Some(next) if !next.is_empty() && limit.is_none_or(|limit| (found.len() as u64) < limit) => {
                request.set_field_by_name("page_token", Value::String(next));
            }
            _ => break,
        }
    }
    let Some(row) = row else { return output::print_value(globals.format, &found) };
    if found.is_empty() && globals.format.for_people() && !globals.quiet {
        let plural = row.kind.and_then(|kind| catalog().kind(kind)).map_or("rows", |kind| kind.plural);
        eprintln!("no {}", plural.replace('-', " "));
    }
    if !wanted.is_empty() && globals.format.structured() {
        found.iter_mut().for_each(|item| cut(item, &wanted));
    }
    output::print_rows(globals.format, row, &wanted, &found)
}

/// Leaves these fields in a message: the gateway answers the UUID besides, and of rows that are no resources all that they have.
fn cut(item: &mut DynamicMessage, wanted: &[&str]) {
    let others: Vec<_> = item.descriptor().fields().filter(|field| !wanted.contains(&field.name())).collect();
    others.iter().for_each(|field| item.clear_field(field));
}

/// Asks for these fields only, and for the UUID, by which rows are named.
fn mask(request: &mut DynamicMessage, wanted: &[&str]) {
    let Some(field) = request.descriptor().get_field_by_name("read_mask") else { return };
    let Some(descriptor) = field.kind().as_message().cloned() else { return };
    let paths = wanted.iter().copied().filter(|name| *name != "uuid").chain(["uuid"]);
    let mut mask = DynamicMessage::new(descriptor);
    mask.set_field_by_name("paths", Value::List(paths.map(|path| Value::String(path.to_owned())).collect()));
    request.set_field(&field, Value::Message(mask));
}
