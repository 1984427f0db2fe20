//! The watchers, over either transport, and the count of what they hear: each thing once, and in its order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use gyre_model::{Caller, Uuid, time};
use gyre_proto::Message as _;
use gyre_proto::common::v1::watch_service_client::WatchServiceClient;
use gyre_proto::common::v1::{WatchEventType, WatchRequest, WatchResponse};
use gyre_proto::storage::v1::Image;
use gyre_store::{Conn, Store};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};

use super::super::watch::Way;
use super::Settings;
use crate::Front;

/// How long watchers may take to hear of the last change.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a watcher heard.
pub(super) enum Heard {
    Synced,
    /// A resource in a generation, after so long.
    Change {
        uuid: String,
        generation: i64,
        delay: Duration,
    },
    Ended(String),
}

pub(super) struct Watching {
    pub number: usize,
    pub filter: String,
    pub heard: mpsc::UnboundedSender<(usize, Heard)>,
}

impl Watching {
    fn tell(&self, heard: Heard) {
        // whoever counts may have enough
        let _ = self.heard.send((self.number, heard));
    }

    fn change(&self, uuid: &str, generation: i64, changed: i64) {
        let delay = Duration::from_micros(u64::try_from(time::now_micros() - changed).unwrap_or(0));
        self.tell(Heard::Change { uuid: uuid.to_owned(), generation, delay });
    }
}

/// What was heard so far, each thing once and in its order.
pub(super) struct Count {
    pub synced: usize,
    pub delays: Vec<Duration>,
    /// The last generation of each resource, of each watcher that hears of it.
    last: HashMap<(usize, String), i64>,
    first: i64,
}

impl Count {
    pub async fn new(settings: &Settings, images: &Arc<[Uuid]>, store: &Store) -> Result<Self> {
        // all were changed equally often, or one of them once more
        let uuid = images[images.len() - 1];
        let read = move |conn: &mut Conn| gyre_query::get::<Image>(conn, &Caller::system(), uuid);
        let first = store.read("bench-image", read).await?.generation;
        Ok(Self { synced: 0, delays: Vec::with_capacity(settings.changes * 32), last: HashMap::new(), first })
    }

    fn take(&mut self, number: usize, heard: Heard) -> Result<()> {
        match heard {
            Heard::Synced => self.synced += 1,
            Heard::Ended(why) => bail!("watcher {number}: {why}"),
            Heard::Change { uuid, generation, delay } => {
                let before = self.last.insert((number, uuid.clone()), generation);
                match before {
                    Some(before) => {
                        ensure!(generation == before + 1, "watcher {number}: {generation} of {uuid} after {before}")
                    }
                    None => ensure!(
                        generation == self.first + 1 || generation == self.first + 2,
                        "watcher {number} begins with {generation} of {uuid}, which was at {}",
                        self.first
                    ),
                }
                self.delays.push(delay);
            }
        }
        Ok(())
    }

    /// Takes what is heard until it is enough.
    pub async fn until(
        &mut self,
        hearing: &mut mpsc::UnboundedReceiver<(usize, Heard)>,
        is: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        while !is(self) {
            let next = tokio::time::timeout(PATIENCE, hearing.recv()).await;
            let heard = next.ok().flatten();
            let (number, heard) = heard.with_context(|| format!("{} events and no more", self.delays.len()))?;
            self.take(number, heard)?;
        }
        Ok(())
    }

    pub async fn nothing_more(&mut self, hearing: &mut mpsc::UnboundedReceiver<(usize, Heard)>) -> Result<()> {
        let until = tokio::time::Instant::now() + Duration::from_secs(1);
        while let Ok(Some((number, heard))) = tokio::time::timeout_at(until, hearing.recv()).await {
            let count = self.delays.len();
            self.take(number, heard)?;
            ensure!(self.delays.len() == count, "watcher {number} heard more than there was");
        }
        Ok(())
    }
}

/// A connection that watchers share.
#[derive(Clone)]
pub(super) enum Connection {
    Grpc(Channel),
    Events(Box<Client<HttpConnector, Empty<Bytes>>>),
}

impl Connection {
    pub async fn open(endpoint: &str, way: Way) -> Result<Self> {
        Ok(match way {
            Way::Grpc => Self::Grpc(Endpoint::from_shared(endpoint.to_owned())?.tcp_nodelay(true).connect().await?),
            Way::Events => {
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                Self::Events(Box::new(Client::builder(TokioExecutor::new()).http2_only(true).build(connector)))
            }
        })
    }

    pub async fn watch(self, front: Front, watching: Watching) -> Result<()> {
        match self {
            Self::Grpc(channel) => grpc(channel, &front, &watching).await,
            Self::Events(client) => events(*client, &front, &watching).await,
        }
    }
}

async fn grpc(channel: Channel, front: &Front, watching: &Watching) -> Result<()> {
    let request = WatchRequest { kind: "images".into(), filter: watching.filter.clone(), position: String::new() };
    let mut request = tonic::Request::new(request);
    request.metadata_mut().insert("authorization", format!("Bearer {}", front.token()).parse()?);
    let mut stream = WatchServiceClient::new(channel).watch(request).await?.into_inner();
    while let Some(event) = stream.message().await? {
        take(watching, &event)?;
    }
    Ok(())
}

fn take(watching: &Watching, event: &WatchResponse) -> Result<()> {
    match event.r#type() {
        WatchEventType::Synced => watching.tell(Heard::Synced),
        WatchEventType::Modified => {
            let image = event.resource.as_ref().context("a change without resource")?;
            let image = Image::decode(image.value.as_ref())?;
            let changed = image.update_time.as_ref().map_or(0, time::to_micros);
            watching.change(&image.uuid, image.generation, changed);
        }
        WatchEventType::Snapshot | WatchEventType::Progress => {}
        other => bail!("{other:?} of {}", event.uuid),
    }
    Ok(())
}

async fn events(client: Client<HttpConnector, Empty<Bytes>>, front: &Front, watching: &Watching) -> Result<()> {
    let filter: String = watching.filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("{}/v1/images:watch?filter={filter}", front.endpoint());
    let request = http::Request::get(path).header("authorization", format!("Bearer {}", front.token()));
    let response = client.request(request.body(Empty::new())?).await?;
    ensure!(response.status().is_success(), "watching was answered with {}", response.status());
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            text.extend_from_slice(data);
        }
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            let event: Value = serde_json::from_slice(data)?;
            match event["type"].as_str().unwrap_or_default() {
                "WATCH_EVENT_TYPE_SYNCED" => watching.tell(Heard::Synced),
                "WATCH_EVENT_TYPE_MODIFIED" => {
                    let image = &event["resource"];
                    let generation = image["generation"].as_str().context("no generation")?.parse()?;
                    let changed = image["updateTime"].as_str().and_then(time::parse).context("no time")?;
                    watching.change(image["uuid"].as_str().unwrap_or_default(), generation, changed);
                }
                "WATCH_EVENT_TYPE_SNAPSHOT" | "WATCH_EVENT_TYPE_PROGRESS" => {}
                _ => bail!("{event}"),
            }
        }
    }
    Ok(())
}
