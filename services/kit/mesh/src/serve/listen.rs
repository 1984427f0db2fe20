//! Listening for calls: TCP, mutual TLS, HTTP/2, with bounds on all that a stranger can send.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
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

/// A bound port that members of the mesh call.
pub struct Listener {
    listener: TcpListener,
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
        Ok(Self { listener, address, tls, limits })
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers calls until `stop`; then lets those under way end, and returns when they have, or at `cut`.
    pub async fn serve(self, service: LocalService, stop: CancellationToken, cut: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let graceful = GracefulShutdown::new();
        let connections = TaskTracker::new();
        let server = Arc::new(server(&self.limits));
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
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
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                metrics::connection_refused("too_many");
                continue;
            };
            let connection = Connection {
                tls: self.tls.clone(),
                handshake: self.limits.handshake,
                server: server.clone(),
                service: service.clone(),
                watcher: graceful.watcher(),
                _slot: slot,
            };
            let cut = cut.clone();
            connections.spawn(async move {
                cut.run_until_cancelled_owned(connection.serve(stream)).await;
            });
        }
        drop(self.listener);
        connections.close();
        tokio::select! {
            () = graceful.shutdown() => {}
            () = cut.cancelled() => {}
        }
        connections.wait().await;
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
