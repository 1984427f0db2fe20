//! Columns that lie behind references: the stream carries the rows themselves only, so what they refer to is read when they are
//! shown. A row that was removed still says what it referred to.

use std::collections::HashMap;

use gyre_model::catalog::catalog;
use gyre_proto::common::v1::QueryResponse;
use prost_reflect::{DynamicMessage, Value};
use serde_json::Value as Json;

use crate::client::Client;
use crate::failure::{Exit, Failure, Result};
use crate::nouns::{Noun, call};

/// How many are asked for at once: what a filter may be long.
const AT_ONCE: usize = 80;

/// What is read.
pub struct Behind(Vec<Hop>);

/// A reference, and what is read at its end.
struct Hop {
    /// The field that refers, in JSON.
    from: &'static str,
    /// The name under which rows have what it leads to.
    under: String,
    /// The kind of that.
    kind: &'static str,
    /// Fields of it, and paths from it on.
    fields: Vec<String>,
}

impl Behind {
    /// What these columns of a kind's rows need.
    pub fn of(noun: Noun, columns: &[&str]) -> Self {
        let mut hops: Vec<Hop> = Vec::new();
        for (segment, rest) in columns.iter().filter_map(|column| column.split_once('.')) {
            let Some(edge) = catalog().edge(noun.kind.kind, segment) else { continue };
            let Some(field) = noun.message.field(edge.reference.field) else { continue };
            match hops.iter_mut().find(|hop| hop.from == field.json_name) {
                Some(hop) => hop.fields.push(rest.to_owned()),
                None => hops.push(Hop {
                    from: field.json_name,
                    under: crate::output::camel(edge.segment),
                    kind: edge.to(),
                    fields: vec!["uuid".to_owned(), rest.to_owned()],
                }),
            }
        }
        Self(hops)
    }

    /// Reads it, and puts it into the rows.
    ///
    /// # Errors
    /// What the service answers, or that nobody does.
    pub async fn read(&self, client: &Client, rows: &mut [Json]) -> Result<()> {
        for hop in &self.0 {
            let mut wanted: Vec<_> = rows.iter().filter_map(|row| row.get(hop.from)?.as_str()).collect();
            wanted.sort_unstable();
            wanted.dedup();
            wanted.retain(|uuid| !uuid.is_empty());
            let mut found = HashMap::new();
            for some in wanted.chunks(AT_ONCE) {
                found.extend(hop.ask(client, some).await?);
            }
            for row in rows.iter_mut() {
                let there = row.get(hop.from).and_then(Json::as_str).and_then(|uuid| found.get(uuid)).cloned();
                if let Json::Object(row) = row {
                    // fields are named whether or not the reference leads anywhere
                    row.insert(hop.under.clone(), there.unwrap_or_else(|| Json::Object(serde_json::Map::new())));
                }
            }
        }
        Ok(())
    }
}

impl Hop {
    async fn ask(&self, client: &Client, uuids: &[&str]) -> Result<HashMap<String, Json>> {
        let method = call("QueryService.Query").ok_or_else(|| Failure::general("there is no call Query"))?;
        let mut request = DynamicMessage::new(method.descriptor.input());
        let quoted: Vec<_> = uuids.iter().map(|uuid| format!("{uuid:?}")).collect();
        request.set_field_by_name("kind", Value::String(self.kind.to_owned()));
        request.set_field_by_name("filter", Value::String(format!("uuid IN ({})", quoted.join(", "))));
        request.set_field_by_name("page_size", Value::I32(1000));
        let fields = self.fields.iter().map(|field| Value::String(field.clone())).collect();
        request.set_field_by_name("fields", Value::List(fields));
        let answer = match client.call(method, &request).await {
            Ok(answer) => answer,
            // a kind that is not for the caller's eyes is for them as if it were not there
            Err(failure) if failure.exit() == Exit::Usage => return Ok(HashMap::new()),
            Err(failure) => return Err(failure),
        };
        let answer: QueryResponse = answer
            .transcode_to()
            .map_err(|error| Failure::general(format!("the answer is none of a query: {error}")))?;
        let mut found = HashMap::new();
        for row in &answer.rows {
            let row = serde_json::to_value(row).map_err(|error| Failure::general(error.to_string()))?;
            if let Some(uuid) = row.get("uuid").and_then(Json::as_str) {
                found.insert(uuid.to_owned(), row);
            }
        }
        Ok(found)
    }
}
