//! `gyre lane list`: what queues where, in the whole mesh.

use clap::ArgMatches;
use gyre_model::catalog::catalog;
use prost_reflect::{DynamicMessage, Value};

use crate::args::{Globals, names};
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::output;

/// What a table of lanes shows.
const COLUMNS: [&str; 9] =
    ["kind", "service", "key_uuid", "work", "width", "running", "waiting", "oldest_wait", "head"];

/// Lists lanes.
pub async fn run(client: &Client, globals: &Globals, matches: &ArgMatches) -> Result<()> {
    let method = catalog()
        .method("/gyre.common.v1.LaneService/ListLanes")
        .ok_or_else(|| Failure::general("this version of gyre does not know lanes"))?;
    let mut request = DynamicMessage::new(method.descriptor.input());
    for (flag, field) in [("service", "service"), ("key", "key_uuid")] {
        if let Some(text) = matches.get_one::<String>(flag) {
            request.set_field_by_name(field, Value::String(text.clone()));
        }
    }
    if let Some(limit) = matches.get_one::<i32>(names::LIMIT) {
        request.set_field_by_name("max_lanes", Value::I32(*limit));
    }
    let answer = client.call(method, &request).await?;
    if !globals.format.for_people() {
        return output::print_message(globals.format, &answer);
    }
    let lanes = answer.get_field_by_name("lanes");
    let lanes: Vec<_> = lanes
        .iter()
        .flat_map(|list| list.as_list().unwrap_or_default())
        .filter_map(Value::as_message)
        .cloned()
        .collect();
    let info = catalog().message("gyre.common.v1.Lane").ok_or_else(|| Failure::general("there is no lane"))?;
    if lanes.is_empty() {
        if !globals.quiet {
            eprintln!("no lanes: nothing runs and nothing waits");
        }
    } else {
        output::print(&output::rows(info, &COLUMNS, &lanes))?;
    }
    let total = answer.get_field_by_name("total").and_then(|total| total.as_i64()).unwrap_or(0);
    if total > lanes.len() as i64 {
        eprintln!("{} of {total} lanes, those with the longest wait first: see more with --limit", lanes.len());
    }
    let silent = answer.get_field_by_name("unanswered");
    for member in silent.iter().flat_map(|list| list.as_list().unwrap_or_default()).filter_map(Value::as_message) {
        let text = |name| member.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned));
        let (service, uuid) = (text("service").unwrap_or_default(), text("uuid").unwrap_or_default());
        eprintln!("{service} {uuid} did not answer: its lanes are not shown");
    }
    Ok(())
}
