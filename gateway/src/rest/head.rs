//! What callers ask for in headers: a time, a request id, to wait.

use std::time::Duration;

use gyre_model::{Error, Kind};
use http::header::HeaderMap;

use crate::config::Limits;
use crate::forward::{GRPC_TIMEOUT, timeout_of};
use crate::metrics::Refused;
use crate::refusal::Refusal;

/// How long a call may take: seconds, or with a unit.
pub const REQUEST_TIMEOUT: &str = "x-request-timeout";
/// Names a wish, so that the same id again is the same wish.
pub const REQUEST_ID: &str = "x-request-id";
/// Preferences (RFC 7240).
const PREFER: &str = "prefer";
/// Longest that a call waits for its operation to end.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Longest request id that a header gives.
const LONGEST_ID: usize = 128;

/// What the headers ask for.
#[derive(Debug, PartialEq)]
pub struct Asked<'a> {
    /// How long the call may take.
    pub timeout: Option<Duration>,
    /// Names the wish.
    pub request_id: Option<&'a str>,
    /// How long to wait for an operation to end.
    pub wait: Option<Duration>,
}

impl<'a> Asked<'a> {
    /// Reads the headers.
    pub fn read(headers: &'a HeaderMap, limits: &Limits) -> Result<Self, Refusal> {
        let timeout = match headers.get(REQUEST_TIMEOUT) {
            Some(value) => Some(
                value
                    .to_str()
                    .ok()
                    .and_then(time_of)
                    .ok_or_else(|| wrong(REQUEST_TIMEOUT, "must be a time such as 30, 2.5s or 500ms"))?,
            ),
            None => match headers.get(GRPC_TIMEOUT) {
                Some(value) => Some(
                    timeout_of(value).ok_or_else(|| wrong("grpc-timeout", "must be digits and a unit such as 30S"))?,
                ),
                None => None,
            },
        };
        let request_id = match headers.get(REQUEST_ID) {
            Some(value) => {
                let id = value.to_str().ok().filter(|id| id.len() <= LONGEST_ID);
                Some(id.ok_or_else(|| wrong(REQUEST_ID, "must be at most 128 visible ASCII characters"))?)
            }
            None => None,
        };
        let timeout = timeout.map(|timeout| timeout.min(limits.call_time));
        Ok(Self { timeout, request_id: request_id.filter(|id| !id.is_empty()), wait: wait_of(headers) })
    }
}

fn wrong(header: &'static str, must: &'static str) -> Refusal {
    let error = Error::new(Kind::InvalidArgument, "INVALID_HEADER", format!("the header {header} {must}"));
    Refusal::counted(Refused::BadParameter, error.violation(header, must))
}

/// Reads "30", "2.5s", "500ms" or "2m".
fn time_of(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, factor) = match text {
        _ if text.ends_with("ms") => (text.strip_suffix("ms")?, 0.001),
        _ if text.ends_with('s') => (text.strip_suffix('s')?, 1.0),
        _ if text.ends_with('m') => (text.strip_suffix('m')?, 60.0),
        _ => (text, 1.0),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let seconds: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(seconds * factor).ok().filter(|time| !time.is_zero())
}

/// Reads `Prefer: wait=30`. Preferences that are not understood are passed over, as RFC 7240 wants.
fn wait_of(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| {
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            let seconds: u64 = value.trim().trim_matches('"').parse().ok()?;
            name.trim().eq_ignore_ascii_case("wait").then(|| Duration::from_secs(seconds).min(LONGEST_WAIT))
        })
        .next()
        .filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (Option<Duration>, Option<String>, Option<Duration>);

    fn asked(headers: &[(&'static str, &'static str)]) -> Result<Read, ()> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let asked = Asked::read(&map, &Limits::default()).map_err(|_| ())?;
        Ok((asked.timeout, asked.request_id.map(str::to_owned), asked.wait))
    }

    #[test]
    fn headers_are_read() {
        let secs = |number| Some(Duration::from_secs(number));
        assert_eq!(asked(&[]), Ok((None, None, None)));
        assert_eq!(asked(&[("prefer", "respond-async, wait=30")]).unwrap().2, secs(30));
        assert_eq!(asked(&[("prefer", "handling=strict"), ("prefer", "Wait=\"5\"; x=1")]).unwrap().2, secs(5));
        assert_eq!(asked(&[("prefer", "wait=99999")]).unwrap().2, Some(LONGEST_WAIT));
        assert_eq!(asked(&[("prefer", "wait=soon")]).unwrap().2, None);
        assert_eq!(asked(&[("x-request-timeout", "30")]).unwrap().0, secs(30));
        assert_eq!(asked(&[("x-request-timeout", "500ms")]).unwrap().0, Some(Duration::from_millis(500)));
        assert_eq!(asked(&[("x-request-timeout", "99999")]).unwrap().0, secs(600));
        assert_eq!(asked(&[("grpc-timeout", "2S")]).unwrap().0, secs(2));
        assert_eq!(asked(&[("x-request-id", "r")]).unwrap().1.as_deref(), Some("r"));
    }

    #[test]
    fn wrong_headers_are_refused() {
        for time in ["soon", "-1", "0", "1e9", "inf", "nan", "", "1h"] {
            assert!(asked(&[("x-request-timeout", time)]).is_err(), "{time}");
        }
        assert!(asked(&[("grpc-timeout", "2")]).is_err());
    }
}
