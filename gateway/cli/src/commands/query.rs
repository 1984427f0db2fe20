//! `gyre query`, and lists whose columns lie behind references: rows that are no messages of one kind, as tables.

use clap::ArgMatches;
use gyre_model::catalog::catalog;
use gyre_proto::common::v1::{QueryPlan, QueryResponse};
use prost_reflect::{DynamicMessage, Value};
use serde_json::{Value as Json, json};

use super::request;
use crate::args::{Globals, names};
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::nouns::{Verb, call, same_kind};
use crate::output::{self, Column, Format};

/// The call.
pub const QUERY: &str = "/gyre.common.v1.QueryService/Query";
/// The largest page that the API gives.
const LARGEST_PAGE: u64 = 1000;

/// `gyre query`.
pub async fn run(client: &Client, globals: &Globals, verb: &Verb, matches: &ArgMatches) -> Result<()> {
    let mut request = request::build(client, verb, matches).await?;
    for name in [names::FILTER, names::ORDER_BY] {
        if let Some(text) = matches.try_get_one::<String>(name).ok().flatten() {
            request.set_field_by_name(&name.replace('-', "_"), Value::String(text.clone()));
        }
    }
    let kind = text(&request, "kind");
    let kind = catalog().kinds().find(|known| same_kind(&kind, known.kind));
    let aggregates: Vec<_> = ["sum", "min", "max"]
        .into_iter()
        .flat_map(|function| texts(&request, function).into_iter().map(move |path| format!("{function}.{path}")))
        .collect();
    let grouped = !texts(&request, "group_by").is_empty() || !aggregates.is_empty();
    let fields = texts(&request, "fields");
    let chosen = !fields.is_empty();
    let mut columns = match kind {
        _ if grouped => [texts(&request, "group_by"), vec!["count".to_owned()], aggregates].concat(),
        _ if chosen => fields,
        Some(kind) => catalog()
            .message(kind.message)
            .map(|message| output::columns_of(globals.format, message).into_iter().map(str::to_owned).collect())
            .unwrap_or_default(),
        None => Vec::new(),
    };
    // what a table does not show need not come
    if !grouped && !chosen && globals.format == Format::Table && !columns.is_empty() {
        let fields = columns.iter().map(|name| Value::String(name.clone())).collect();
        request.set_field_by_name("fields", Value::List(fields));
    } else if !grouped && !chosen && globals.format.structured() {
        columns.clear();
    } else if !grouped && globals.format == Format::Name {
        // rows are named by their UUIDs
        request.set_field_by_name("fields", Value::List(vec![Value::String("uuid".to_owned())]));
    }
    if request.get_field_by_name("explain").is_some_and(|explain| explain.as_bool() == Some(true)) {
        return explain(globals, &page(client, &request).await?.plan.unwrap_or_default());
    }
    let counted = request.get_field_by_name("count").is_some_and(|count| count.as_bool() == Some(true));
    if counted && !grouped && matches.get_one::<u64>(names::LIMIT).is_none() && !chosen {
        request.set_field_by_name("page_size", Value::I32(1));
        return output::print(&format!("{}\n", page(client, &request).await?.total_size.unwrap_or_default()));
    }
    let (rows, total) = all(client, matches, request).await?;
    if counted && !globals.quiet {
        eprintln!("{total} in all");
    }
    print(globals, kind.map_or("", |kind| kind.kind), &columns, rows)
}

/// A list whose columns go through references.
pub async fn list(
    client: &Client,
    globals: &Globals,
    kind: &'static str,
    columns: &[&str],
    matches: &ArgMatches,
) -> Result<()> {
    let method = call("QueryService.Query").ok_or_else(|| Failure::general("there is no call Query"))?;
    let mut request = DynamicMessage::new(method.descriptor.input());
    request.set_field_by_name("kind", Value::String(kind.to_owned()));
    // rows are named by their UUIDs
    let wanted = if globals.format == Format::Name { &["uuid"] } else { columns };
    let fields = wanted.iter().map(|name| Value::String((*name).to_owned())).collect();
    request.set_field_by_name("fields", Value::List(fields));
    for name in [names::FILTER, names::ORDER_BY] {
        if let Some(text) = matches.try_get_one::<String>(name).ok().flatten() {
            request.set_field_by_name(&name.replace('-', "_"), Value::String(text.clone()));
        }
    }
    let (rows, _) = all(client, matches, request).await?;
    let columns: Vec<_> = columns.iter().map(|name| (*name).to_owned()).collect();
    print(globals, kind, &columns, rows)
}

fn text(request: &DynamicMessage, name: &str) -> String {
    request.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn texts(request: &DynamicMessage, name: &str) -> Vec<String> {
    let value = request.get_field_by_name(name);
    let all = value.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

async fn page(client: &Client, request: &DynamicMessage) -> Result<QueryResponse> {
    let method = call("QueryService.Query").ok_or_else(|| Failure::general("there is no call Query"))?;
    let answer = client.call(method, request).await?;
    answer.transcode_to().map_err(|error| Failure::general(format!("the answer is none of a query: {error}")))
}

/// The rows of all pages, or as many as are wanted, and how many there are in all.
async fn all(client: &Client, matches: &ArgMatches, mut request: DynamicMessage) -> Result<(Vec<Json>, i64)> {
    let limit = matches.get_one::<u64>(names::LIMIT).copied();
    let asked = matches.get_one::<i32>(names::PAGE_SIZE).and_then(|size| u64::try_from(*size).ok());
    let mut rows = Vec::new();
    loop {
        let missing = limit.map(|limit| limit - rows.len() as u64);
        let size = asked.unwrap_or(LARGEST_PAGE).min(missing.unwrap_or(LARGEST_PAGE)).min(LARGEST_PAGE);
        request.set_field_by_name("page_size", Value::I32(i32::try_from(size).unwrap_or(i32::MAX)));
        let page = page(client, &request).await?;
        for row in &page.rows {
            rows.push(serde_json::to_value(row).map_err(|error| Failure::general(error.to_string()))?);
        }
        if let Some(limit) = limit {
            rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        let enough = limit.is_some_and(|limit| rows.len() as u64 >= limit);
        if page.next_page_token.is_empty() || enough {
            return Ok((rows, page.total_size.unwrap_or_default()));
        }
        request.set_field_by_name("page_token", Value::String(page.next_page_token));
    }
}

fn explain(globals: &Globals, plan: &QueryPlan) -> Result<()> {
    if globals.format.structured() {
        return output::print_value(globals.format, &json!({"sql": plan.sql, "database": plan.database}));
    }
    let mut text = format!("{}\n", plan.sql);
    for line in &plan.database {
        text += &format!("  {line}\n");
    }
    output::print(&text)
}

fn print(globals: &Globals, kind: &str, columns: &[String], rows: Vec<Json>) -> Result<()> {
    if globals.format.structured() {
        return output::print_value(globals.format, &rows);
    }
    if rows.is_empty() && globals.format.for_people() {
        if !globals.quiet {
            let plural = catalog().kind(kind).map_or("rows", |kind| kind.plural);
            eprintln!("no {}", plural.replace('-', " "));
        }
        return Ok(());
    }
    if globals.format == Format::Name {
        let line = |row: &Json| row["uuid"].as_str().map(|uuid| format!("{kind}/{uuid}\n"));
        return output::print(&rows.iter().filter_map(line).collect::<String>());
    }
    let row = catalog().kind(kind).and_then(|kind| catalog().message(kind.message));
    output::print_json_rows(globals.format, &Column::all(row, columns.iter().map(String::as_str)), &rows)
}
