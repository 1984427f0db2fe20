//! The plain HTTP listener for operators' tools: `/metrics` in OpenMetrics text, and `/healthz`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::tasks::Tasks;

/// Serves until the tasks are told to stop. `healthy` is asked at each `/healthz`: `Err` says what is wrong.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    tasks: &Tasks,
    healthy: impl Fn() -> Result<(), String> + Send + Sync + 'static,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    let stopping = tasks.stopping();
    tasks.spawn("metrics", async move {
        let served =
            axum::serve(listener, router(Arc::new(healthy))).with_graceful_shutdown(stopping.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the metrics listener failed");
        }
    });
    Ok(address)
}

fn router(healthy: Arc<dyn Fn() -> Result<(), String> + Send + Sync>) -> Router {
    let metrics = || async {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], super::metrics::encode())
    };
    let health = move || async move {
        match healthy() {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(wrong) => (StatusCode::SERVICE_UNAVAILABLE, wrong + "\n"),
        }
    };
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(health))
}
