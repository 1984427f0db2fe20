//! Who calls. The gateway finds it out once; inside the mesh it travels in headers that only members may set.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::id::parse_uuid;

const ACCOUNT: HeaderName = HeaderName::from_static("gyre-account");
const ADMIN: HeaderName = HeaderName::from_static("gyre-admin");
const API_KEY: HeaderName = HeaderName::from_static("gyre-api-key");

/// The UUID that a call was routed by.
pub const ROUTE: HeaderName = HeaderName::from_static("gyre-route");
/// The epoch of the ring that it was routed with.
pub const EPOCH: HeaderName = HeaderName::from_static("gyre-epoch");

/// Headers that only members of the mesh may set; the gateway removes them from what comes from outside.
pub const HEADERS: [HeaderName; 5] = [ACCOUNT, ADMIN, API_KEY, ROUTE, EPOCH];

/// Who calls, and what that allows in general.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The account that calls; nil for Gyre itself.
    pub account_uuid: Uuid,
    /// Whether the account administers the cloud.
    pub admin: bool,
    /// The API key that was used, where one was.
    pub api_key_uuid: Option<Uuid>,
}

impl Caller {
    /// Gyre itself: reconcilers, start-up, work that nobody asked for.
    pub const fn system() -> Self {
        Self { account_uuid: Uuid::nil(), admin: true, api_key_uuid: None }
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
    }

    /// Reads it from the headers of a call inside the mesh.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let uuid = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).and_then(parse_uuid);
        Some(Self {
            account_uuid: uuid(&ACCOUNT)?,
            admin: headers.get(&ADMIN).is_some_and(|value| value == "1"),
            api_key_uuid: uuid(&API_KEY),
        })
    }

    /// A request inside the mesh on this caller's behalf.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let mut headers = std::mem::take(request.metadata_mut()).into_headers();
        self.write(&mut headers);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        request
    }
}
