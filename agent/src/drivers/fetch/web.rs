//! A client for http and https: one GET, a few redirects, each judged by the policy.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::StreamExt;
use gyre_model::{Error, Kind, Result};
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyStream, Empty};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{CONNECT, UrlPolicy, without_long_pauses};
use crate::ports::Fetched;

const REDIRECTS: usize = 5;
const ANSWER: Duration = Duration::from_secs(30);

type Connection = HyperClient<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// The client; made when it is first needed, since reading the host's certificates takes a while.
#[derive(Default)]
pub(super) struct Client(OnceLock<Connection>);

fn failed(uri: &Uri, why: impl std::fmt::Display) -> Error {
    Error::unavailable("IMAGE_FETCH_FAILED", format!("{uri} cannot be fetched: {why}"))
}

fn connection() -> Result<Connection> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        tracing::warn!("the host has no certificate authorities: https will fail; install ca-certificates");
    }
    let tls =
        rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_root_certificates(roots)
            .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(HyperClient::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(10)).build(https))
}

/// The target of a redirect, which may be relative.
fn target(from: &Uri, location: &str) -> Option<String> {
    if location.contains("://") {
        return Some(location.to_owned());
    }
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    if let Some(rest) = location.strip_prefix("//") {
        return Some(format!("{scheme}://{rest}"));
    }
    if location.starts_with('/') {
        return Some(format!("{scheme}://{authority}{location}"));
    }
    let folder = &from.path()[..=from.path().rfind('/')?];
    Some(format!("{scheme}://{authority}{folder}{location}"))
}

impl Client {
    /// Fetches a URL that the policy allows.
    pub(super) async fn get(&self, policy: &UrlPolicy, url: &str) -> Result<Fetched> {
        let mut uri = policy.web(url)?;
        let client = match self.0.get() {
            Some(client) => client,
            None => {
                let made = crate::failure::blocking(connection).await?;
                self.0.get_or_init(|| made)
            }
        };
        for _ in 0..=REDIRECTS {
            let request = Request::get(uri.clone())
                .header(header::USER_AGENT, HeaderValue::from_static(concat!("gyre-agent/", env!("CARGO_PKG_VERSION"))))
                .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
                .body(Empty::new())
                .map_err(|error| failed(&uri, error))?;
            let response = tokio::time::timeout(CONNECT + ANSWER, client.request(request))
                .await
                .map_err(|_| failed(&uri, "the server does not answer; try again"))?
                .map_err(|error| failed(&uri, chain(&error)))?;
            let status = response.status();
            if status.is_redirection() {
                let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
                let next = location.and_then(|location| target(&uri, location));
                let next = next.ok_or_else(|| failed(&uri, format!("{status} without a usable location")))?;
                tracing::debug!(from = %uri, to = next, "redirected");
                uri = policy.web(&next)?;
                continue;
            }
            if status != StatusCode::OK {
                let kind = if status.is_server_error() { Kind::Unavailable } else { Kind::FailedPrecondition };
                return Err(Error::new(
                    kind,
                    "IMAGE_FETCH_FAILED",
                    format!("{uri} cannot be fetched: the server answers {status}; correct the URL"),
                ));
            }
            if let Some(coding) = response.headers().get(header::CONTENT_ENCODING)
                && coding != "identity"
            {
                return Err(failed(&uri, format!("the server sends it as {coding:?}, which was not asked for")));
            }
            let length = response.headers().get(header::CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            let from = uri.to_string();
            let data = BodyStream::new(response.into_body()).filter_map(move |frame| {
                let piece = match frame {
                    Ok(frame) => frame.into_data().ok().map(Ok),
                    Err(error) => Some(Err(failed(&uri, chain(&error)))),
                };
                std::future::ready(piece)
            });
            return Ok(Fetched { length, data: without_long_pauses(data.boxed(), from) });
        }
        Err(failed(&uri, format!("more than {REDIRECTS} redirects")))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_may_be_relative() {
        let from: Uri = "https://a.example/x/y".parse().expect("a URL");
        let to = |location| target(&from, location).expect("a target");
        assert_eq!(to("http://b.example/z"), "http://b.example/z");
        assert_eq!(to("//b.example/z"), "https://b.example/z");
        assert_eq!(to("/z"), "https://a.example/z");
        assert_eq!(to("z"), "https://a.example/x/z");
    }
}
