//! Who calls. The gateway finds it out once; inside the mesh it travels in headers that only members may set.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::id::parse_uuid;
use crate::origin;

const ACCOUNT: HeaderName = HeaderName::from_static("gyre-account");
const ADMIN: HeaderName = HeaderName::from_static("gyre-admin");
const API_KEY: HeaderName = HeaderName::from_static("gyre-api-key");
const STEP: HeaderName = HeaderName::from_static("gyre-step");

/// The UUID that a call was routed by.
pub const ROUTE: HeaderName = HeaderName::from_static("gyre-route");
/// The epoch of the ring that it was routed with.
pub const EPOCH: HeaderName = HeaderName::from_static("gyre-epoch");

/// The URL that the finished operation of a call is posted to.
pub const CALLBACK: HeaderName = HeaderName::from_static("gyre-callback");

/// Headers that only members of the mesh may set; the gateway removes them from what comes from outside.
pub const HEADERS: [HeaderName; 10] =
    [ACCOUNT, ADMIN, API_KEY, STEP, ROUTE, EPOCH, CALLBACK, origin::CLIENT, origin::AGENT, origin::WITHIN];

/// Who calls, and what that allows in general.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The account that calls; nil for Gyre itself.
    pub account_uuid: Uuid,
    /// Whether the account administers the cloud.
    pub admin: bool,
    /// The API key that was used, where one was.
    pub api_key_uuid: Option<Uuid>,
    /// The operation whose step calls, where one does.
    pub acting: Option<Acting>,
}

/// For which operation a step acts, and with what right. Whoever writes on its behalf checks that the right still holds, so that a
/// step of an instance that was replaced, or of an operation that turned back meanwhile, changes nothing.
///
/// In a header it is `<operation>/<fence>/forward` or `<operation>/<fence>/undo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acting {
    /// The operation.
    pub operation: Uuid,
    /// The fence under which its instance acts.
    pub fence: i64,
    /// Whether the step is being undone.
    pub undoing: bool,
}

impl Acting {
    fn print(&self) -> String {
        format!("{}/{}/{}", self.operation, self.fence, if self.undoing { "undo" } else { "forward" })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (operation, fence, way) = (parts.next()?, parts.next()?, parts.next()?);
        let undoing = match way {
            "undo" => true,
            "forward" => false,
            _ => return None,
        };
        Some(Self { operation: parse_uuid(operation)?, fence: fence.parse().ok()?, undoing })
    }
}

impl Caller {
    /// Gyre itself: reconcilers, start-up, work that nobody asked for.
    pub const fn system() -> Self {
        Self::of(Uuid::nil(), true)
    }

    /// An account that calls, with no key and for no operation.
    pub const fn of(account_uuid: Uuid, admin: bool) -> Self {
        Self { account_uuid, admin, api_key_uuid: None, acting: None }
    }

    /// The same on behalf of an operation's step.
    #[must_use]
    pub const fn acting(self, acting: Acting) -> Self {
        Self { acting: Some(acting), ..self }
    }

    /// Writes it into the headers of a call inside the mesh.
    pub fn write(&self, headers: &mut HeaderMap) {
        let mut buffer = Uuid::encode_buffer();
        if let Ok(value) = HeaderValue::from_str(self.account_uuid.hyphenated().encode_lower(&mut buffer)) {
            headers.insert(ACCOUNT, value);
        }
        headers.insert(ADMIN, HeaderValue::from_static(if self.admin { "1" } else { "0" }));
        match self.api_key_uuid {
            Some(key) => {
                if let Ok(value) = HeaderValue::from_str(key.hyphenated().encode_lower(&mut buffer)) {
                    headers.insert(API_KEY, value);
                }
            }
            None => {
                headers.remove(API_KEY);
            }
        }
        match self.acting.and_then(|acting| HeaderValue::from_str(&acting.print()).ok()) {
            Some(value) => {
                headers.insert(STEP, value);
            }
            None => {
                headers.remove(STEP);
            }
        }
    }

    /// Reads it from the headers of a call inside the mesh.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let uuid = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).and_then(parse_uuid);
        Some(Self {
            account_uuid: uuid(&ACCOUNT)?,
            admin: headers.get(&ADMIN).is_some_and(|value| value == "1"),
            api_key_uuid: uuid(&API_KEY),
            acting: headers.get(&STEP).and_then(|value| value.to_str().ok()).and_then(Acting::parse),
        })
    }

    /// A request inside the mesh on this caller's behalf, for the call that the present task answers where it answers one.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let mut headers = std::mem::take(request.metadata_mut()).into_headers();
        self.write(&mut headers);
        origin::pass_on(&mut headers);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        request
    }
}

/// The URL that the finished operation of a call inside the mesh is posted to.
pub fn callback(headers: &HeaderMap) -> Option<Arc<str>> {
    headers.get(CALLBACK)?.to_str().ok().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_travels_in_headers() {
        let user = Caller { api_key_uuid: Some(Uuid::new_v4()), ..Caller::of(Uuid::new_v4(), false) };
        let step = Acting { operation: Uuid::new_v4(), fence: 7, undoing: false };
        let undo = Acting { undoing: true, ..step };
        for caller in [Caller::system(), user, user.acting(step), user.acting(undo)] {
            // what stood there before of another caller does not shine through
            let mut headers = HeaderMap::new();
            user.acting(step).write(&mut headers);
            caller.write(&mut headers);
            assert_eq!(Caller::read(&headers), Some(caller));
        }
        assert_eq!(Acting::parse("x/1/undo"), None);
        assert_eq!(Acting::parse(&format!("{}/1/sideways", step.operation)), None);
    }
}
