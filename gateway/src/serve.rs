//! The port: connections are accepted, bounded, watched and ended here; what they carry is answered in [`crate::front`].
//!
//! One port speaks HTTP/1.1 and HTTP/2, in plain text (with prior knowledge) or over TLS (by ALPN). Bytes that are neither are
//! answered with 400 where that makes sense, counted, and cost their own connection only.
//!
//! Shutting down: no new connections; those that are open are told (GOAWAY, `connection: close`) and finish what is under way;
//! streams are ended with an error that says why; after the drain time the rest is cut.

pub mod activity;
mod watched;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::activity::{Activity, Busy, Verdict};
use self::watched::Watched;
use crate::body::Body;
use crate::front::{Front, Peer};
use crate::metrics::{Refused, metrics};

/// How long to wait before accepting again after accepting failed (mostly for want of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Most streams that one HTTP/2 connection may have open.
const MOST_STREAMS: u32 = 1024;

/// Everything that connections share.
struct Port {
    front: Arc<Front>,
    builder: auto::Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
    cut: CancellationToken,
}

/// Accepts connections until told to stop, then lets them end.
pub async fn serve(
    front: Arc<Front>,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: CancellationToken,
) {
    let limits = front.limits.clone();
    let builder = builder(limits.header_bytes);
    let tls = tls.map(TlsAcceptor::from);
    let port = Arc::new(Port { front, builder, tls, stop: stop.clone(), cut: CancellationToken::new() });
    let room = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            metrics().refused(Refused::Connections);
            continue;
        };
        connections.spawn(port.clone().connection(socket, address, permit));
    }
    drop(listener);
    port.front.stopping.cancel();
    connections.close();
    if tokio::time::timeout(limits.drain_time, connections.wait()).await.is_err() {
        tracing::info!(connections = connections.len(), "connections are cut after the drain time");
        port.cut.cancel();
        connections.wait().await;
    }
}

fn builder(header_bytes: usize) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Hyper's own timer runs while a connection is merely quiet, and costs a timer per call; `Activity` does both better.
    builder.http1().header_read_timeout(None).max_buf_size((4 * header_bytes).max(64 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(MOST_STREAMS)
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

impl Port {
    async fn connection(self: Arc<Self>, socket: TcpStream, address: SocketAddr, _permit: OwnedSemaphorePermit) {
        metrics().connections.inc();
        let _ = socket.set_nodelay(true);
        match &self.tls {
            None => self.speak(socket, Peer { address }).await,
            Some(tls) => match tokio::time::timeout(self.front.limits.header_time, tls.accept(socket)).await {
                Ok(Ok(stream)) => self.speak(stream, Peer { address }).await,
                Ok(Err(error)) => {
                    metrics().refused(Refused::Tls);
                    tracing::debug!(%address, %error, "handshake failed");
                }
                Err(_) => metrics().refused(Refused::Slow),
            },
        }
        metrics().connections.dec();
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, socket: S, peer: Peer) {
        let limits = &self.front.limits;
        let activity = Activity::new();
        let io = TokioIo::new(Watched::new(socket, activity.clone()));
        let (front, own) = (self.front.clone(), activity.clone());
        let service = service_fn(move |request| answered(front.clone(), own.begin(), peer, request));
        let connection = self.builder.serve_connection(io, service);
        tokio::pin!(connection);
        let glance =
            (limits.header_time.min(limits.idle_time).min(limits.body_time) / 4).max(Duration::from_millis(10));
        let mut glances = tokio::time::interval(glance);
        glances.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut stopping, mut idle) = (false, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        judge(&*error, peer.address);
                    }
                    return;
                }
                () = self.cut.cancelled() => return,
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = glances.tick() => match activity.verdict(limits) {
                    Verdict::Fine => idle = false,
                    // Asked once to end in good order, and dropped when it has not by the next glance.
                    Verdict::Idle if !idle => {
                        idle = true;
                        metrics().refused(Refused::Idle);
                        connection.as_mut().graceful_shutdown();
                    }
                    Verdict::Idle => return,
                    Verdict::Slow => {
                        metrics().refused(Refused::Slow);
                        return;
                    }
                },
            }
        }
    }
}

/// A call and its answer. Boxed: hyper keeps the room of this future as long as the answer's body lasts, which may be hours of
/// watching.
fn answered(
    front: Arc<Front>,
    busy: Busy,
    peer: Peer,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    let answer = Box::pin(front.answer(peer, request));
    async move { Ok(answer.await.map(|body| body.busy(busy))) }
}

/// Counts what a connection ended with, where that was the other side's fault.
fn judge(error: &(dyn StdError + 'static), address: SocketAddr) {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            tracing::debug!(%address, %error, "connection lost");
            return;
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                return metrics().refused(Refused::Headers);
            }
            if error.is_incomplete_message() || error.is_canceled() || error.is_body_write_aborted() {
                return;
            }
        }
        cause = error.source();
    }
    tracing::debug!(%address, error, "bytes that are no HTTP");
    metrics().refused(Refused::Garbage);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The room of the futures that a function answers.
    fn room<A, B, C, D, F: Future>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_open_stream_does_not_keep_the_room_of_its_call() {
        // ten thousand watchers have one each, and the call itself takes a hundred times as much
        assert!(room(answered) <= 128, "{} bytes", room(answered));
    }
}
