//! Deadlines that travel: `grpc-timeout` in the headers, and in the task's context for calls that a handler makes.
//!
//! Traps that this file is there for: a Tower timeout reaches the caller as `Unknown`, tonic's own as `Cancelled`, and only
//! tonic's network server looks at the header. Here every call is bounded, in process and over the network, on both sides, and
//! the answer is always `DEADLINE_EXCEEDED`, naming the call and the time it had.

use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::Either;
use gyre_model::catalog::MethodInfo;
use gyre_model::{Error, Kind, Result};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{context, reason};

/// The header with the time that is left.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// How long a unary call may take where nobody said so.
pub const DEFAULT: Duration = Duration::from_secs(30);

/// When a call has to be over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    path: &'static str,
    started: Instant,
    at: Option<Instant>,
}

impl Deadline {
    /// Of a call that is made: what the caller says, and never after the deadline of the call that it is made for.
    pub fn of_client(info: &'static MethodInfo, headers: &HeaderMap) -> Self {
        let own = Self::of_server(info, headers);
        match (own.at, context::deadline()) {
            (Some(own_at), Some(outer)) => Self { at: Some(own_at.min(outer)), ..own },
            (None, Some(outer)) => Self { at: Some(outer), ..own },
            (_, None) => own,
        }
    }

    /// Of a call that is answered: what the header says; for a unary call at least the default.
    pub fn of_server(info: &'static MethodInfo, headers: &HeaderMap) -> Self {
        let started = Instant::now();
        let unary = !info.client_streaming && !info.server_streaming;
        let given = headers.get(GRPC_TIMEOUT).and_then(from_header);
        let time = given.or(unary.then_some(DEFAULT));
        Self { path: info.path, started, at: time.and_then(|time| started.checked_add(time)) }
    }

    /// The moment; none for a stream that nobody bounded.
    pub fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Whether it is over.
    pub fn passed(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    /// What to answer when it is over.
    pub fn exceeded(&self) -> Error {
        let time = self.at.map(|at| at.saturating_duration_since(self.started)).unwrap_or_default();
        let text = format!("{} was not answered within {}", self.path, text_of(time));
        Error::new(Kind::DeadlineExceeded, reason::DEADLINE_EXCEEDED, text)
    }

    /// Runs work until then.
    ///
    /// # Errors
    /// The work's, or [`Deadline::exceeded`].
    pub fn within<T, F: Future<Output = Result<T>>>(&self, work: F) -> impl Future<Output = Result<T>> + use<T, F> {
        let deadline = *self;
        match self.at {
            None => Either::Left(work),
            Some(at) => Either::Right(
                tokio::time::timeout_at(at.into(), work)
                    .map(move |done| done.unwrap_or_else(|_| Err(deadline.exceeded()))),
            ),
        }
    }
}

fn text_of(time: Duration) -> String {
    if time >= Duration::from_secs(1) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} ms", time.as_millis())
    }
}

/// Writes the header: at most eight digits and a unit. Rounded up, so that nothing is lost on the way.
pub fn to_header(time: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let text = if time.as_micros() < MOST {
        format!("{}u", time.as_micros() + 1)
    } else if time.as_millis() < MOST {
        format!("{}m", time.as_millis() + 1)
    } else {
        format!("{}S", u128::from(time.as_secs()).min(MOST - 1) + 1)
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("30S"))
}

/// Reads the header; what is not one counts as none.
pub fn from_header(value: &HeaderValue) -> Option<Duration> {
    let (number, unit) = value.to_str().ok()?.split_at_checked(value.len().checked_sub(1)?)?;
    if number.is_empty() || number.len() > 8 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use gyre_model::catalog;

    use super::*;

    #[test]
    fn times_survive_the_header() {
        for time in [Duration::ZERO, Duration::from_micros(7), Duration::from_secs(30), Duration::from_secs(7200)] {
            let back = from_header(&to_header(time)).unwrap();
            assert!(back >= time && back <= time + Duration::from_secs(1), "{time:?} became {back:?}");
        }
        assert_eq!(from_header(&to_header(Duration::from_secs(u64::MAX))), Some(Duration::from_secs(99_999_999)));
        assert_eq!(from_header(&HeaderValue::from_static("2H")), Some(Duration::from_secs(7200)));
        for wrong in ["", "S", "5", "-1S", "123456789S", "5x", "1 S"] {
            assert_eq!(from_header(&HeaderValue::from_static(wrong)), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_call_is_bounded_by_header_default_and_outer_deadline() {
        let get = catalog().method("/gyre.host.v1.ZoneService/GetZone").unwrap();
        let watch = catalog().method("/gyre.common.v1.OperationService/WatchOperation").unwrap();
        let mut headers = HeaderMap::new();
        assert!(Deadline::of_client(watch, &headers).at().is_none());
        let left = |deadline: Deadline| deadline.at().unwrap().saturating_duration_since(Instant::now()).as_millis();
        assert!((29_000..=30_000).contains(&left(Deadline::of_client(get, &headers))));
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("2S"));
        assert!((1_000..=2_000).contains(&left(Deadline::of_client(watch, &headers))));
        let outer = context::Context { deadline: Some(Instant::now() + Duration::from_secs(1)), trace: None };
        context::scope(outer, async {
            assert!(left(Deadline::of_client(get, &headers)) <= 1_000);
            assert!(left(Deadline::of_client(watch, &HeaderMap::new())) <= 1_000);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_names_the_call_and_the_time() {
        let get = catalog().method("/gyre.host.v1.ZoneService/GetZone").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("250m"));
        let deadline = Deadline::of_server(get, &headers);
        let error = deadline.within(std::future::pending::<Result<()>>()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::DeadlineExceeded);
        assert_eq!(error.message(), "/gyre.host.v1.ZoneService/GetZone was not answered within 250 ms");
    }
}
