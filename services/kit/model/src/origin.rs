//! Where a call that changes something came from, for the log of changes. It travels with the task that answers the call, and the
//! store takes it along to the closure that writes, so that no handler has to carry it. Calls that only read have none.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The address of the client, as the gateway saw it.
pub const CLIENT: HeaderName = HeaderName::from_static("gyre-client");
/// What the client called itself.
pub const AGENT: HeaderName = HeaderName::from_static("gyre-user-agent");
/// Says that a call is made while another is answered, which tells of its refusal itself.
pub const WITHIN: HeaderName = HeaderName::from_static("gyre-within");

/// Most bytes that are kept of what a client calls itself, and of a request id.
const LONGEST: usize = 128;

/// Where a call came from, and which it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The address of the client; nothing for what Gyre asks itself.
    pub client: Option<IpAddr>,
    /// What the client called itself.
    pub user_agent: Box<str>,
    /// The call's action as policies name it.
    pub action: &'static str,
    /// The id of the wish.
    pub request_id: Box<str>,
}

impl Origin {
    /// Reads it from the headers of a call inside the mesh.
    pub fn read(headers: &HeaderMap, action: &'static str, request_id: &str) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            client: text(&CLIENT).and_then(|address| address.parse().ok()),
            user_agent: cut(text(&AGENT).unwrap_or_default()).into(),
            action,
            request_id: cut(request_id).into(),
        }
    }

    /// The address as text; empty where there is none.
    pub fn address(&self) -> String {
        self.client.map(|address| address.to_string()).unwrap_or_default()
    }
}

/// Writes where a call came from into its headers inside the mesh.
pub fn write(headers: &mut HeaderMap, client: IpAddr, user_agent: Option<&HeaderValue>) {
    if let Ok(value) = HeaderValue::try_from(client.to_canonical().to_string()) {
        headers.insert(CLIENT, value);
    }
    if let Some(agent) = user_agent {
        headers.insert(AGENT, agent.clone());
    }
}

/// Writes where the call came from that the present task answers into the headers of a call that it makes for it.
pub fn pass_on(headers: &mut HeaderMap) {
    let Some(origin) = current() else { return };
    headers.insert(WITHIN, HeaderValue::from_static("1"));
    if let Some(client) = origin.client {
        write(headers, client, HeaderValue::from_str(&origin.user_agent).ok().as_ref());
    }
}

/// Whether a call is made while another is answered.
pub fn is_within(headers: &HeaderMap) -> bool {
    headers.contains_key(WITHIN)
}

/// A text cut to what is kept of it.
pub fn cut(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

tokio::task_local! {
    static ORIGIN: Option<Arc<Origin>>;
}

/// Runs the handler of a call that came from there.
pub fn scope<F: Future>(origin: Option<Arc<Origin>>, future: F) -> impl Future<Output = F::Output> {
    ORIGIN.scope(origin, future)
}

/// Where the call came from that the present task answers.
pub fn current() -> Option<Arc<Origin>> {
    ORIGIN.try_with(Clone::clone).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_travels_in_headers_and_with_the_task() {
        let mut headers = HeaderMap::new();
        let client = "::ffff:192.0.2.7".parse().unwrap();
        write(&mut headers, client, Some(&HeaderValue::from_static("curl/8")));
        let origin = Origin::read(&headers, "vm:StartVm", "r1");
        assert_eq!((origin.address().as_str(), &*origin.user_agent), ("192.0.2.7", "curl/8"));
        let inside = scope(Some(Arc::new(origin.clone())), async {
            let mut headers = HeaderMap::new();
            pass_on(&mut headers);
            assert!(is_within(&headers));
            assert_eq!(Origin::read(&headers, "vm:StartVm", "r1"), origin);
            current()
        })
        .await;
        assert_eq!(inside.as_deref(), Some(&origin));
        assert_eq!(current(), None);
        assert_eq!(Origin::read(&HeaderMap::new(), "", "").address(), "");
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        let long = "é".repeat(100);
        assert_eq!(cut(&long).len(), 128);
        assert_eq!(cut(&format!("a{long}")).len(), 127);
    }
}
