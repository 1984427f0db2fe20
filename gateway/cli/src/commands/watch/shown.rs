//! Events as they are shown: lines of a table whose widths follow the first rows, CSV, names, or objects for programs.

use gyre_model::catalog::{MessageInfo, catalog};
use gyre_proto::common::v1::{WatchEventType, WatchResponse};
use prost_reflect::DynamicMessage;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::behind::Behind;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::nouns::Noun;
use crate::output::{self, Column, Format};

/// What stands over the events.
const EVENT: &str = "EVENT";

/// An event whose resource is cut to some columns.
#[derive(Serialize)]
struct Cut<'e> {
    #[serde(rename = "type")]
    ty: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    position: &'e str,
    uuid: &'e str,
    resource: Json,
}

/// What was shown, and how.
pub struct Shown {
    format: Format,
    noun: Noun,
    columns: Vec<Column>,
    /// Whether whoever watches named the columns.
    chosen: bool,
    behind: Behind,
    /// Whether anything was shown since the list began to be told.
    told: bool,
    /// Whether the head was.
    headed: bool,
    /// What was in the list, until all of it is known.
    snapshot: Vec<Vec<String>>,
    synced: bool,
    widths: Vec<usize>,
}

impl Shown {
    /// Nothing yet.
    pub fn new(format: Format, noun: Noun, columns: &[&str]) -> Self {
        let chosen = !columns.is_empty();
        let usual = output::columns_of(format, noun.message);
        let shown = if chosen { columns } else { usual.as_slice() };
        Self {
            format,
            noun,
            columns: Column::all(Some(noun.message), shown.iter().copied()),
            chosen,
            behind: Behind::of(noun, shown),
            told: false,
            headed: false,
            snapshot: Vec::new(),
            synced: false,
            widths: Vec::new(),
        }
    }

    /// The list is told from its beginning. What was shown of it before is void, and that is said.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&mut self) -> Result<()> {
        (self.synced, self.snapshot) = (false, Vec::new());
        match std::mem::take(&mut self.told) {
            true if self.format.structured() => {
                let reset = WatchResponse { r#type: WatchEventType::Reset.into(), ..WatchResponse::default() };
                self.object(&reset, None)
            }
            true => self.line("RESET", &vec![String::new(); self.columns.len()]),
            false => Ok(()),
        }
    }

    /// Shows what happened, all of it or, where what it needs cannot be read, nothing.
    ///
    /// # Errors
    /// That it cannot be read or written.
    pub async fn take(&mut self, client: &Client, events: &[WatchResponse]) -> Result<()> {
        let mut rows = events.iter().map(|event| self.row(event)).collect::<Result<Vec<_>>>()?;
        self.behind.read(client, &mut rows).await?;
        for (event, row) in events.iter().zip(rows) {
            self.show(event, &row)?;
        }
        Ok(())
    }

    fn show(&mut self, event: &WatchResponse, row: &Json) -> Result<()> {
        if self.format.structured() {
            self.told |= !event.uuid.is_empty();
            return self.object(event, self.chosen.then_some(row));
        }
        let cells = self.columns.iter().map(|column| column.cell(self.format, row)).collect::<Vec<_>>();
        match event.r#type() {
            WatchEventType::Reset => self.begin(),
            WatchEventType::Snapshot if self.format.for_people() => {
                self.snapshot.push(cells);
                Ok(())
            }
            WatchEventType::Synced => self.synced(),
            WatchEventType::Progress | WatchEventType::Unspecified => Ok(()),
            ty @ (WatchEventType::Snapshot
            | WatchEventType::Added
            | WatchEventType::Modified
            | WatchEventType::Removed) => {
                let what = ty.as_str_name().trim_start_matches("WATCH_EVENT_TYPE_");
                match self.format {
                    Format::Name => {
                        self.told = true;
                        output::print_piece(format!("{what} {}/{}\n", self.noun.kind.kind, event.uuid).as_bytes())
                    }
                    _ => self.line(what, &cells),
                }
            }
        }
    }

    /// All that was in the list is known: people see it as a table.
    fn synced(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.synced, true) {
            return Ok(());
        }
        self.head()?;
        for cells in std::mem::take(&mut self.snapshot) {
            self.line("", &cells)?;
        }
        Ok(())
    }

    /// The names of the columns, once.
    fn head(&mut self) -> Result<()> {
        if self.format == Format::Name || std::mem::replace(&mut self.headed, true) {
            return Ok(());
        }
        if self.format == Format::Csv {
            let names = ["event"].into_iter().chain(self.columns.iter().map(Column::path));
            return output::print_piece(output::csv_line(names).as_bytes());
        }
        let head = output::headings(&self.columns);
        let wide = |text: &String| text.chars().count();
        let mut widths: Vec<_> = head.iter().map(wide).collect();
        for cells in &self.snapshot {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = wide(cell).max(*width);
            }
        }
        self.widths = widths;
        self.line(EVENT, &head)
    }

    /// An event with its cells.
    fn line(&mut self, what: &str, cells: &[String]) -> Result<()> {
        self.head()?;
        self.told |= what != EVENT;
        let all = [what].into_iter().chain(cells.iter().map(String::as_str));
        if self.format == Format::Csv {
            return output::print_piece(output::csv_line(all).as_bytes());
        }
        if self.format == Format::Name {
            return output::print_piece(format!("{what}\n").as_bytes());
        }
        // the longest event
        let widths = [WatchEventType::Modified.as_str_name().rsplit('_').next().map_or(0, str::len)];
        let widths = widths.iter().chain(&self.widths);
        let padded: Vec<_> = all.zip(widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        output::print_piece(format!("{}\n", padded.join("  ").trim_end()).as_bytes())
    }

    /// An event for programs, its resource cut to the columns where a row is given.
    fn object(&self, event: &WatchResponse, row: Option<&Json>) -> Result<()> {
        match row.filter(|_| event.resource.is_some()) {
            None => output::print_next_value(self.format, event),
            Some(row) => {
                let (ty, resource) = (event.r#type().as_str_name(), output::picked(&self.columns, row));
                let cut = Cut { ty, position: &event.position, uuid: &event.uuid, resource };
                output::print_next_value(self.format, &cut)
            }
        }
    }

    /// The row of an event; of one that tells of no resource all that it says.
    fn row(&self, event: &WatchResponse) -> Result<Json> {
        let Some(resource) = &event.resource else { return Ok(json!({ "uuid": event.uuid })) };
        let message: &MessageInfo = self.noun.message;
        let unknown = || Failure::general(format!("there is no message {}", message.name));
        let descriptor = catalog().pool().get_message_by_name(self.noun.kind.message).ok_or_else(unknown)?;
        let message = DynamicMessage::decode(descriptor, resource.value.clone())
            .map_err(|error| Failure::general(error.to_string()))?;
        // tables show what is zero or false, programs get what JSON has
        Ok(if self.format.structured() { output::facts(&message) } else { output::whole(&message) })
    }
}
