//! One try: resolve, judge each address, connect to one that is allowed, post, read the status. No redirect is followed, no proxy
//! is used, no connection is kept.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use gyre_mesh::egress::{Allow, Host, Target};
use gyre_model::time;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::sign::signature;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a try may take.
const TOTAL: Duration = Duration::from_secs(15);
/// Most addresses of a name that are tried.
const MOST_ADDRESSES: usize = 3;
/// Most bytes of an answer's head.
const LARGEST_HEAD: usize = 16 << 10;

/// What is posted.
#[derive(Debug)]
pub struct Letter {
    /// Its name: the same at each try.
    pub id: String,
    /// When this try is made, in seconds.
    pub timestamp: i64,
    /// Over name, time and body.
    pub signature: String,
    /// JSON.
    pub body: Bytes,
}

impl Letter {
    /// A letter that is sent now, signed with each of the keys.
    pub fn sign<'a>(keys: impl IntoIterator<Item = &'a [u8]>, id: String, body: impl Into<Bytes>) -> Self {
        let (timestamp, body) = (time::now_micros() / 1_000_000, body.into());
        let signature = signature(keys, &id, timestamp, &body);
        Self { id, timestamp, signature, body }
    }
}

/// Why a try failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// The receiver wants nothing more.
    Gone,
    /// Anything else, for people.
    Try(String),
}

impl Failed {
    fn because(why: impl std::fmt::Display) -> Self {
        Self::Try(why.to_string())
    }
}

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// All that it finds.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's way.
pub struct System;

impl Resolve for System {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) })
    }
}

/// Sends.
pub struct Poster {
    resolver: Arc<dyn Resolve>,
    tls: OnceCell<TlsConnector>,
}

impl Default for Poster {
    fn default() -> Self {
        Self::new(Arc::new(System))
    }
}

impl Poster {
    /// One that finds addresses so.
    pub fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, tls: OnceCell::new() }
    }

    /// One that trusts these certificates, for tests.
    #[cfg(test)]
    pub fn trusting(resolver: Arc<dyn Resolve>, tls: rustls::ClientConfig) -> Self {
        Self { resolver, tls: OnceCell::new_with(Some(TlsConnector::from(Arc::new(tls)))) }
    }

    /// Posts a letter. Good is any 2xx.
    ///
    /// # Errors
    /// Whatever else comes of it.
    pub async fn post(&self, allow: &Allow, target: &Target, letter: Letter) -> Result<(), Failed> {
        let work = async {
            let connected = tokio::time::timeout(CONNECT, self.connect(allow, target)).await;
            let tcp = connected.map_err(|_| Failed::because(format!("no connection within {CONNECT:?}")))??;
            let request = request(target, letter)?;
            if !target.https() {
                return exchange(tcp, request).await;
            }
            let name = match target.host() {
                Host::Address(address) => ServerName::from(*address),
                Host::Name(name) => ServerName::try_from(name.clone()).map_err(Failed::because)?,
            };
            let connector = self.tls.get_or_try_init(system_tls).await?;
            let tls = connector.connect(name, tcp).await;
            exchange(tls.map_err(|error| Failed::because(format!("TLS failed: {error}")))?, request).await
        };
        match tokio::time::timeout(TOTAL, work).await {
            Ok(Ok(status)) => judge(status),
            Ok(Err(failed)) => Err(failed),
            Err(_) => Err(Failed::because(format!("no answer within {TOTAL:?}"))),
        }
    }

    /// Connects to an address that is allowed.
    async fn connect(&self, allow: &Allow, target: &Target) -> Result<TcpStream, Failed> {
        let addresses = match target.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let found = self.resolver.resolve(name).await;
                found.map_err(|error| Failed::because(format!("{name} has no address: {error}")))?
            }
        };
        let mut allowed = addresses.into_iter().filter(|address| allow.may_connect(target, *address)).peekable();
        if allowed.peek().is_none() {
            // which addresses a name has inside is not for users to know
            let text = format!("the operator allows no requests to where {} leads", target.destination());
            return Err(Failed::Try(text));
        }
        let mut last = None;
        for address in allowed.take(MOST_ADDRESSES) {
            let connecting = TcpStream::connect(SocketAddr::new(address, target.port()));
            let each = CONNECT / u32::try_from(MOST_ADDRESSES).unwrap_or(1);
            match tokio::time::timeout(each, connecting).await {
                Ok(Ok(stream)) => {
                    // only a matter of speed
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(io::Error::new(io::ErrorKind::TimedOut, "nobody answers")),
            }
        }
        let why = last.map(|error| error.to_string()).unwrap_or_default();
        Err(Failed::because(format!("cannot connect to {}: {why}", target.destination())))
    }
}

async fn system_tls() -> Result<TlsConnector, Failed> {
    let load = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let found = load.map_err(|_| Failed::because("the host's certificate authorities cannot be read"))?;
    let mut roots = rustls::RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        tracing::warn!(
            "this machine has no certificate authorities: callbacks and webhooks to https fail; install ca-certificates"
        );
        return Err(Failed::because("this instance trusts no certificate authorities"));
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Failed::because)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn request(target: &Target, letter: Letter) -> Result<Request<Full<Bytes>>, Failed> {
    Request::post(target.path().as_str())
        .header(HOST, target.authority())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("gyre/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", letter.id)
        .header("webhook-timestamp", letter.timestamp)
        .header("webhook-signature", letter.signature)
        .body(Full::new(letter.body))
        .map_err(Failed::because)
}

/// Sends a request over a connection and reads the head of the answer.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = http1::Builder::new().max_buf_size(LARGEST_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(Failed::because)?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    let (answer, ended) = tokio::select! {
        biased;
        answer = &mut answer => (answer, Ok(())),
        // it may have brought the answer with its last bytes
        ended = &mut connection => (answer.await, ended),
    };
    match (answer, ended) {
        (Ok(response), _) => Ok(response.status()),
        (Err(_), Err(error)) | (Err(error), Ok(())) => Err(Failed::because(format!("no answer: {error}"))),
    }
}

fn judge(status: StatusCode) -> Result<(), Failed> {
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::GONE => Err(Failed::Gone),
        _ if status.is_redirection() => {
            Err(Failed::because(format!("the receiver answers {status}; redirects are not followed")))
        }
        _ => Err(Failed::because(format!("the receiver answers {status}"))),
    }
}
