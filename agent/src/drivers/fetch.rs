//! Fetches images: from URLs that the operator allows, and from the image servers of other hosts.
//!
//! What a URL may be is the operator's decision alone ([`policy`]): by default nothing. Every redirect's target is judged again.
//! All waiting is bounded: connecting, the answer's head, and each pause between bytes.

pub mod policy;
mod web;

use std::collections::HashMap;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use gyre_model::{Error, Kind, Result};
use gyre_proto::agent::v1::agent_service_client::AgentServiceClient;
use gyre_proto::agent::v1::{ImageSource, ReadImageRequest};
use parking_lot::Mutex;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

pub use self::policy::UrlPolicy;
use crate::failure::{self, blocking};
use crate::image_format::Format;
use crate::ports::{Fetch, Fetched};

const CONNECT: Duration = Duration::from_secs(10);
/// The longest pause between two pieces of an image.
const PAUSE: Duration = Duration::from_secs(60);
/// How much of a file is read at once.
const PIECE: usize = 1 << 20;

/// How other agents are spoken to.
#[derive(Debug, Clone, Default)]
pub enum PeerTls {
    /// Not at all: this agent is alone.
    #[default]
    Alone,
    /// In plaintext, on loopback addresses only.
    Loopback,
    /// With certificates of the deployment's authority.
    Mutual(ClientTlsConfig),
}

/// The driver.
pub struct Fetcher {
    policy: UrlPolicy,
    peers: PeerTls,
    web: web::Client,
    channels: Mutex<HashMap<String, Channel>>,
}

impl Fetcher {
    /// A driver that fetches what the policy allows.
    pub fn new(policy: UrlPolicy, peers: PeerTls) -> Self {
        Self { policy, peers, web: web::Client::default(), channels: Mutex::default() }
    }

    /// For the ports.
    pub fn shared(self) -> Arc<dyn Fetch> {
        Arc::new(self)
    }

    async fn file(&self, url: &str) -> Result<Fetched> {
        let (asked, allowed) = self.policy.file(url)?;
        let url = url.to_owned();
        let (file, length) = blocking(move || {
            let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
            let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&asked);
            let file = opened.map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Error::new(
                    Kind::NotFound,
                    "IMAGE_FILE_MISSING",
                    format!("there is no file {} on the host; copy the image there", asked.display()),
                ),
                _ => failure::io("open", &asked, &error),
            })?;
            // what was opened counts, not what the name says: links were followed
            policy::check_opened(&file, &url, &allowed)?;
            let metadata = file.metadata().map_err(|error| failure::io("look at", &asked, &error))?;
            if !metadata.is_file() {
                return Err(failure::precondition(
                    "IMAGE_FILE_UNEXPECTED",
                    format!("{} is not a plain file", asked.display()),
                ));
            }
            Ok((file, metadata.len()))
        })
        .await?;
        let data = futures::stream::try_unfold(file, |mut file| async move {
            blocking(move || {
                use std::io::Read as _;
                let mut buffer = vec![0; PIECE];
                let read = file
                    .read(&mut buffer)
                    .map_err(|error| failure::host("HOST_IO_ERROR", format!("read the image: {error}")))?;
                buffer.truncate(read);
                Ok((read > 0).then(|| (Bytes::from(buffer), file)))
            })
            .await
        });
        Ok(Fetched { length: Some(length), data: data.boxed() })
    }

    fn channel(&self, address: &str) -> Result<Channel> {
        if let Some(channel) = self.channels.lock().get(address) {
            return Ok(channel.clone());
        }
        let wrong = |error: &dyn std::fmt::Display| {
            Error::new(
                Kind::FailedPrecondition,
                "IMAGE_SERVER_ADDRESS_INVALID",
                format!(
                    "the image server's agent cannot be reached at {address:?}: {error}; correct its host's address"
                ),
            )
        };
        let scheme = match &self.peers {
            PeerTls::Alone => return Err(wrong(&"this agent was started without a way to speak to others")),
            PeerTls::Loopback => "http",
            PeerTls::Mutual(_) => "https",
        };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(|error| wrong(&error))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(10));
        let endpoint = match &self.peers {
            PeerTls::Mutual(tls) => endpoint.tls_config(tls.clone()).map_err(|error| wrong(&error))?,
            _ => {
                let host = endpoint.uri().host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
                let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
                if !loopback {
                    return Err(wrong(&"without TLS only loopback addresses are spoken to"));
                }
                endpoint
            }
        };
        let channel = endpoint.connect_lazy();
        self.channels.lock().insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

/// Bounds the pauses of a stream.
pub(crate) fn without_long_pauses(
    data: BoxStream<'static, Result<Bytes>>,
    from: String,
) -> BoxStream<'static, Result<Bytes>> {
    futures::stream::try_unfold((data, from), |(mut data, from)| async move {
        match tokio::time::timeout(PAUSE, data.next()).await {
            Ok(Some(piece)) => Ok(Some((piece?, (data, from)))),
            Ok(None) => Ok(None),
            Err(_) => Err(Error::unavailable(
                "IMAGE_FETCH_FAILED",
                format!("{from} sent nothing for {} s; try again", PAUSE.as_secs()),
            )),
        }
    })
    .boxed()
}

#[async_trait]
impl Fetch for Fetcher {
    async fn url(&self, url: &str, _format: Format) -> Result<Fetched> {
        if url.starts_with("file:") {
            return self.file(url).await;
        }
        self.web.get(&self.policy, url).await
    }

    async fn peer(&self, source: &ImageSource) -> Result<Fetched> {
        let channel = self.channel(&source.address)?;
        let request = ReadImageRequest {
            image_uuid: source.image_uuid.clone(),
            folder: source.folder.clone(),
            host_uuid: source.host_uuid.clone(),
        };
        let mut request = tonic::Request::new(request);
        let mut headers = http::HeaderMap::new();
        gyre_mesh::telemetry::propagate::inject(&mut headers);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        let mut client = AgentServiceClient::new(channel).max_decoding_message_size(4 << 20);
        let call = tokio::time::timeout(CONNECT + PAUSE, client.read_image(request));
        let stream = call.await.map_err(|_| {
            Error::unavailable(
                "IMAGE_FETCH_FAILED",
                format!("the agent at {} does not answer; try again", source.address),
            )
        })??;
        let data = stream.into_inner().map(|piece| Ok(piece?.data)).boxed();
        let length = u64::try_from(source.file_bytes).ok().filter(|bytes| *bytes > 0);
        Ok(Fetched { length, data: without_long_pauses(data, format!("the agent at {}", source.address)) })
    }
}
