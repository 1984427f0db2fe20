//! `--watch`: a list, or one resource, as it changes. A stream that breaks is gone on with where it was.

use std::time::Duration;

use clap::ArgMatches;
use gyre_model::catalog::{KindInfo, catalog};
use gyre_proto::common::v1::watch_service_client::WatchServiceClient;
use gyre_proto::common::v1::{WatchEventType, WatchRequest, WatchResponse};
use prost_reflect::{DynamicMessage, Value};
use tokio::time::{Instant, sleep};

use super::{request, wait};
use crate::args::{Globals, names};
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::nouns::{Noun, Shape, Verb};
use crate::output::{self, Format};

/// How long nobody may be able to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The wait before a stream is opened again.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether a command asks for it.
pub fn wanted(matches: &ArgMatches) -> bool {
    matches.try_get_one::<bool>(names::WATCH).ok().flatten().copied().unwrap_or(false)
}

/// Watches what a list or a get would show, until it is interrupted.
///
/// # Errors
/// What the service answers, or that nobody does for a minute; that it was interrupted.
pub async fn run(client: &Client, globals: &Globals, noun: Noun, verb: &Verb, matches: &ArgMatches) -> Result<()> {
    let request = request::build(client, verb, matches).await?;
    let filter = match verb.shape {
        Shape::List => matches.get_one::<String>(names::FILTER).cloned().unwrap_or_default(),
        _ => match request.get_field_by_name("uuid").as_deref() {
            Some(Value::String(uuid)) => format!("uuid = {uuid:?}"),
            _ => return Err(Failure::usage("--watch needs something that has a UUID")),
        },
    };
    let mut stop = wait::interrupts()?;
    let mut shown = Shown { format: globals.format, kind: noun.kind, synced: false, rows: Vec::new() };
    tokio::select! {
        watched = follow(client, noun.kind.kind, filter, &mut shown) => watched,
        _ = stop.recv() => Err(Failure::interrupted("interrupted")),
    }
}

async fn follow(client: &Client, kind: &str, filter: String, shown: &mut Shown) -> Result<()> {
    let mut position = String::new();
    let mut heard = Instant::now();
    loop {
        client.tell("/gyre.common.v1.WatchService/Watch");
        let request = WatchRequest { kind: kind.to_owned(), filter: filter.clone(), position: position.clone() };
        let opened = WatchServiceClient::new(client.channel()).watch(client.open_request(request)).await;
        let broken = match opened {
            Err(status) => Failure::from(status),
            Ok(stream) => {
                let mut stream = stream.into_inner();
                if position.is_empty() {
                    shown.begin();
                }
                loop {
                    match stream.message().await {
                        Ok(Some(event)) => {
                            heard = Instant::now();
                            if !event.position.is_empty() {
                                position.clone_from(&event.position);
                            }
                            shown.take(&event)?;
                        }
                        Ok(None) => {
                            break Failure::from(gyre_model::Error::unavailable("WATCH_ENDED", "the watch ended"));
                        }
                        Err(status) => break Failure::from(status),
                    }
                }
            }
        };
        if !broken.unavailable() || heard.elapsed() > PATIENCE {
            return Err(broken);
        }
        sleep(PAUSE).await;
    }
}

/// What was shown.
struct Shown {
    format: Format,
    kind: &'static KindInfo,
    synced: bool,
    rows: Vec<DynamicMessage>,
}

impl Shown {
    fn begin(&mut self) {
        (self.synced, self.rows) = (false, Vec::new());
    }

    fn take(&mut self, event: &WatchResponse) -> Result<()> {
        if self.format == Format::Json {
            let text = serde_json::to_string(event).map_err(|error| Failure::general(error.to_string()))?;
            return output::print(&(text + "\n"));
        }
        if self.format == Format::Yaml {
            output::print("---\n")?;
            return output::print_value(self.format, event);
        }
        match event.r#type() {
            WatchEventType::Reset => self.begin(),
            WatchEventType::Snapshot => self.rows.push(self.resource(event)?),
            WatchEventType::Synced if !self.synced => {
                self.synced = true;
                let Some(info) = catalog().message(self.kind.message) else { return Ok(()) };
                let rows = std::mem::take(&mut self.rows);
                return output::print_rows(self.format, info, &[], &rows);
            }
            ty @ (WatchEventType::Added | WatchEventType::Modified | WatchEventType::Removed) => {
                return self.line(ty, event);
            }
            WatchEventType::Synced | WatchEventType::Progress | WatchEventType::Unspecified => {}
        }
        Ok(())
    }

    fn line(&self, ty: WatchEventType, event: &WatchResponse) -> Result<()> {
        let what = ty.as_str_name().trim_start_matches("WATCH_EVENT_TYPE_");
        let resource = self.resource(event)?;
        match self.format {
            Format::Name => output::print(&format!("{what} {}/{}\n", self.kind.kind, event.uuid)),
            Format::Csv => {
                let Some(info) = catalog().message(self.kind.message) else { return Ok(()) };
                output::print(&format!("{what},{}", output::csv_lines(info, &resource)))
            }
            _ => {
                let rest = output::one_line(&resource, &["uuid"]);
                output::print(&format!("{what:<8}  {}  {rest}\n", event.uuid))
            }
        }
    }

    /// The resource of an event; an empty one where it is not told.
    fn resource(&self, event: &WatchResponse) -> Result<DynamicMessage> {
        let unknown = || Failure::general(format!("there is no message {}", self.kind.message));
        let descriptor = catalog().pool().get_message_by_name(self.kind.message).ok_or_else(unknown)?;
        let bytes = event.resource.as_ref().map(|any| any.value.clone()).unwrap_or_default();
        DynamicMessage::decode(descriptor, bytes).map_err(|error| Failure::general(error.to_string()))
    }
}
