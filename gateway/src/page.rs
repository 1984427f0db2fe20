//! Documents that do not change while the gateway runs: the description of the API, the page to read and try it, and whether the
//! gateway lives.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response};
use ring::digest;

use crate::body::Body;
use crate::openapi;
use crate::rest::JSON;
use crate::rest::table::Table;

const PAGE: &str = include_str!("page/index.html");

/// The documents.
#[derive(Debug)]
pub struct Pages {
    openapi: Bytes,
    policy: HeaderValue,
}

impl Pages {
    /// Makes the documents for these calls.
    pub fn new(table: &Table) -> Self {
        let document = serde_json::to_vec(&openapi::document(table)).unwrap_or_default();
        Self { openapi: document.into(), policy: policy(PAGE) }
    }

    /// The document at a path.
    pub fn find(&self, method: &Method, path: &str) -> Option<Response<Body>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        let (media, bytes) = match path {
            "/" | "/index.html" => {
                (HeaderValue::from_static("text/html; charset=utf-8"), Bytes::from_static(PAGE.as_bytes()))
            }
            "/openapi.json" => (JSON, self.openapi.clone()),
            "/healthz" => (HeaderValue::from_static("text/plain; charset=utf-8"), Bytes::from_static(b"ok\n")),
            _ => return None,
        };
        let mut response = Response::new(Body::full(bytes));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, media);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
        if path != "/openapi.json" {
            headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        }
        Some(response)
    }
}

/// What the page may do: run its own script and style and call this gateway, nothing else.
fn policy(page: &str) -> HeaderValue {
    let hash = |tag: &str| {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let inner = page.split_once(&open).and_then(|(_, rest)| rest.split_once(&close)).map_or("", |(inner, _)| inner);
        STANDARD.encode(digest::digest(&digest::SHA256, inner.as_bytes()))
    };
    let text = format!(
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         script-src 'sha256-{}'; style-src 'sha256-{}'",
        hash("script"),
        hash("style")
    );
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_names_nothing_elsewhere() {
        assert!(PAGE.contains("<script>") && PAGE.contains("<style>"));
        for outside in ["http://", "https://", "src=", "@import", "style=\"", "onclick="] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
        assert!(policy(PAGE).to_str().unwrap().contains("script-src 'sha256-"));
    }
}
