//! Listening for calls: TCP, mutual TLS, HTTP/2, with bounds on all that a stranger can send.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower_service::Service;

use super::Peer;
use crate::mesh::LocalService;
use crate::telemetry::metrics;
use crate::tls::{Identity, is_agent};

/// Bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Calls at a time on one connection.
    pub calls: u32,
    /// Bytes of a request's headers.
    pub header_bytes: u32,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4096, calls: 1024, header_bytes: 64 << 10, handshake: Duration::from_secs(5) }
    }
}

/// A bound port that members of the mesh call, and those beside it.
pub struct Listener {
    listeners: Vec<TcpListener>,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    limits: Limits,
}

impl Listener {
    /// Binds. Without an identity connections are not encrypted and everybody on them is believed, so it must be a loopback
    /// address ([`crate::config::ProcessArgs::identity`] sees to that).
    ///
    /// # Errors
    /// When the address is taken, or the identity cannot be used.
    pub async fn bind(address: SocketAddr, identity: Option<&Identity>, limits: Limits) -> anyhow::Result<Self> {
        anyhow::ensure!(
            identity.is_some() || address.ip().is_loopback(),
            "{address} needs TLS: it is not a loopback address"
        );
        let tls = identity.map(|identity| identity.server().map(TlsAcceptor::from)).transpose()?;
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        Ok(Self { listeners: vec![listener], address, tls, limits })
    }

    /// Binds so many further ports, those after the first one, for whoever needs more than one address.
    ///
    /// # Errors
    /// When one is taken, or there are no more.
    pub async fn bind_further(&mut self, count: usize) -> anyhow::Result<()> {
        for further in 1..=count {
            let port = u16::try_from(usize::from(self.address.port()) + further)
                .with_context(|| format!("{count} ports after {} are more than there are", self.address))?;
            let address = SocketAddr::new(self.address.ip(), port);
            let bound = TcpListener::bind(address).await;
            self.listeners.push(bound.with_context(|| format!("cannot listen on {address}"))?);
        }
        Ok(())
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers calls until `stop`; then lets those under way end, and returns when they have, or at `cut`.
    pub async fn serve(self, service: LocalService, stop: CancellationToken, cut: CancellationToken) {
        let Self { listeners, tls, limits, .. } = self;
        let acceptor = Acceptor {
            slots: Arc::new(Semaphore::new(limits.connections)),
            graceful: GracefulShutdown::new(),
            connections: TaskTracker::new(),
            server: Arc::new(server(&limits)),
            tls,
            handshake: limits.handshake,
            service,
        };
        let accepting = listeners.into_iter().map(|listener| acceptor.accept(listener, &stop, &cut));
        // one of thousands wakes only itself
        accepting.collect::<FuturesUnordered<_>>().collect::<()>().await;
        let Acceptor { graceful, connections, .. } = acceptor;
        connections.close();
        tokio::select! {
            () = graceful.shutdown() => {}
            () = cut.cancelled() => {}
        }
        connections.wait().await;
    }
}

/// What all connections of a listener share.
struct Acceptor {
    slots: Arc<Semaphore>,
    graceful: GracefulShutdown,
    connections: TaskTracker,
    server: Arc<Builder<TokioExecutor>>,
    tls: Option<TlsAcceptor>,
    handshake: Duration,
    service: LocalService,
}

impl Acceptor {
    /// Takes connections until `stop`; then nobody listens any more.
    async fn accept(&self, listener: TcpListener, stop: &CancellationToken, cut: &CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file handles, or a connection that was gone at once: others may still come.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(slot) = self.slots.clone().try_acquire_owned() else {
                metrics::connection_refused("too_many");
                continue;
            };
            let connection = Connection {
                tls: self.tls.clone(),
                handshake: self.handshake,
                server: self.server.clone(),
                service: self.service.clone(),
                watcher: self.graceful.watcher(),
                _slot: slot,
            };
            let cut = cut.clone();
            self.connections.spawn(async move {
                cut.run_until_cancelled_owned(connection.serve(stream)).await;
            });
        }
    }
}

fn server(limits: &Limits) -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new()).http2_only();
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.calls)
        .max_header_list_size(limits.header_bytes)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    server
}

/// One connection.
struct Connection {
    tls: Option<TlsAcceptor>,
    handshake: Duration,
    server: Arc<Builder<TokioExecutor>>,
    service: LocalService,
    watcher: Watcher,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Fails only on a connection that is gone already.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else { return self.speak(stream, Peer::Plaintext).await };
        match tokio::time::timeout(self.handshake, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let certificate = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
                let peer = if certificate.is_none_or(is_agent) { Peer::Agent } else { Peer::Mutual };
                self.speak(stream, peer).await;
            }
            Ok(Err(error)) => {
                metrics::connection_refused("handshake");
                tracing::debug!(%error, "a TLS handshake failed");
            }
            Err(_) => metrics::connection_refused("handshake_timeout"),
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let Self { server, service, watcher, .. } = self;
        let service = service_fn(move |request| answer(service.clone(), request, peer));
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            metrics::connection_refused("protocol");
            tracing::debug!(error = %error, "a connection ended badly");
        }
    }
}

async fn answer(
    mut service: LocalService,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    service.call(request).await
}
