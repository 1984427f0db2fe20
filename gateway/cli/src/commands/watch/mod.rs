//! `--watch`: a list, or one resource, as it changes.
//!
//! # Theory
//! - Events are taken in batches, of what has come by then. A batch is shown whole, and only then its last position counts as told.
//!   What breaks before leaves the position where it was, and the batch comes again: nothing is lost, and nothing shown twice.
//! - A stream that breaks is opened again at the position, for a minute without an answer; after that the command says so and fails.
//!   Before the list was told whole there is no position: it is told anew then, after `RESET`, as it is where the gateway cannot go on.
//! - A token that ends is renewed where the sign-in file says how, and the stream goes on. Where the caller's rights changed the
//!   list is told anew: what left it thereby is in no log.

mod behind;
mod shown;

use std::time::Duration;

use clap::ArgMatches;
use futures::FutureExt as _;
use gyre_proto::common::v1::watch_service_client::WatchServiceClient;
use gyre_proto::common::v1::{WatchRequest, WatchResponse};
use prost_reflect::Value;
use tokio::time::{Instant, sleep};
use tonic::Streaming;

use super::{request, wait};
use crate::args::{Globals, names};
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::nouns::{Noun, Shape, Verb};
use shown::Shown;

/// How long nobody may be able to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The wait before a stream is opened again.
const PAUSE: Duration = Duration::from_millis(500);
/// How many events are shown at once.
const TOGETHER: usize = 256;

/// Flags of lists that say nothing about a stream, and why.
const UNFIT: [(&str, &str); 4] = [
    (names::ORDER_BY, "changes are told in the order in which they happen"),
    (names::LIMIT, "the list goes on for as long as it is watched; --filter narrows it"),
    (names::PAGE_SIZE, "a stream has no pages"),
    ("count", "a count is one answer; ask for it without --watch"),
];

/// Whether a command asks for it.
pub fn wanted(matches: &ArgMatches) -> bool {
    matches.try_get_one::<bool>(names::WATCH).ok().flatten().copied().unwrap_or(false)
}

/// Watches what a list or a get would show, until it is interrupted.
///
/// # Errors
/// What the service answers, or that nobody does for a minute; that it was interrupted.
pub async fn run(client: &Client, globals: &Globals, noun: Noun, verb: &Verb, matches: &ArgMatches) -> Result<()> {
    for (flag, why) in UNFIT {
        if matches.try_contains_id(flag).unwrap_or(false) {
            return Err(Failure::usage(format!("--{flag} cannot be used with --watch: {why}")));
        }
    }
    // heard from before the first call on
    let mut stop = wait::interrupts()?;
    let request = request::build(client, verb, matches).await?;
    let filter = match verb.shape {
        Shape::List => matches.get_one::<String>(names::FILTER).cloned().unwrap_or_default(),
        _ => match request.get_field_by_name("uuid").as_deref() {
            Some(Value::String(uuid)) => format!("uuid = {uuid:?}"),
            _ => return Err(Failure::usage("--watch needs something that has a UUID")),
        },
    };
    let columns: Vec<&str> = matches
        .try_get_many::<String>(names::COLUMNS)
        .ok()
        .flatten()
        .map(|columns| columns.map(String::as_str).collect())
        .unwrap_or_default();
    let mut shown = Shown::new(globals.format, noun, &columns);
    let mut watch = Watch {
        client: client.clone(),
        request: WatchRequest { kind: noun.kind.kind.to_owned(), filter, position: String::new() },
        quiet: globals.quiet,
        heard: None,
        lost: false,
        renewed: false,
    };
    tokio::select! {
        watched = watch.follow(&mut shown) => watched.map_err(|failure| request::by_flags(verb, failure)),
        // that is how it ends
        _ = stop.recv() => Err(Failure::ended()),
    }
}

/// A list that is followed.
struct Watch {
    client: Client,
    /// What is asked, with the position of what was shown last.
    request: WatchRequest,
    quiet: bool,
    /// When anything was last heard; who never answered is not waited for.
    heard: Option<Instant>,
    /// Whether nobody answers at the moment, and people were told.
    lost: bool,
    /// Whether the token is a new one that nothing was heard with.
    renewed: bool,
}

impl Watch {
    async fn follow(&mut self, shown: &mut Shown) -> Result<()> {
        loop {
            let mut broken = self.stream(shown).await;
            if broken.unauthenticated() && !self.renewed {
                match self.client.renewed().await {
                    Ok(Some(client)) => {
                        (self.client, self.renewed) = (client, true);
                        continue;
                    }
                    Ok(None) => {}
                    Err(failure) => broken = failure,
                }
            }
            match broken.reason() {
                "RIGHTS_CHANGED" if !self.request.position.is_empty() => self.request.position.clear(),
                // others were quicker; nothing is lost
                "TOO_SLOW" if !self.request.position.is_empty() => {}
                _ if broken.unavailable() && self.heard.is_some_and(|heard| heard.elapsed() < PATIENCE) => {
                    if !std::mem::replace(&mut self.lost, true) {
                        self.tell(&format!("{}; trying again for {} s", broken.message(), PATIENCE.as_secs()));
                    }
                }
                _ => return Err(broken),
            }
            sleep(PAUSE).await;
        }
    }

    /// Opens the stream and shows what comes. Answers why it broke.
    async fn stream(&mut self, shown: &mut Shown) -> Failure {
        self.client.tell("/gyre.common.v1.WatchService/Watch");
        let request = self.client.open_request(self.request.clone());
        let mut stream = match WatchServiceClient::new(self.client.channel()).watch(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return Failure::from(status),
        };
        if std::mem::take(&mut self.lost) {
            self.tell("it goes on");
        }
        if self.request.position.is_empty()
            && let Err(failure) = shown.begin()
        {
            return failure;
        }
        loop {
            let (events, broken) = next(&mut stream).await;
            if !events.is_empty() {
                if let Err(failure) = shown.take(&self.client, &events).await {
                    return failure;
                }
                (self.heard, self.renewed) = (Some(Instant::now()), false);
                if let Some(last) = events.iter().rev().find(|event| !event.position.is_empty()) {
                    self.request.position.clone_from(&last.position);
                }
            }
            if let Some(broken) = broken {
                return broken;
            }
        }
    }

    fn tell(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}

/// What has come, once anything has, and why no more will.
async fn next(stream: &mut Streaming<WatchResponse>) -> (Vec<WatchResponse>, Option<Failure>) {
    let mut events = Vec::new();
    let mut message = Some(stream.message().await);
    while let Some(came) = message {
        match came {
            Ok(Some(event)) => events.push(event),
            Ok(None) => {
                let ended = gyre_model::Error::unavailable("WATCH_ENDED", "the stream ended");
                return (events, Some(Failure::from(ended)));
            }
            Err(status) => return (events, Some(Failure::from(status))),
        }
        message = if events.len() < TOGETHER { stream.message().now_or_never() } else { None };
    }
    (events, None)
}
