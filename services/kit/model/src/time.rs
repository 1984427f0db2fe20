//! Points in time: microseconds since 1970 in the database, `google.protobuf.Timestamp` in messages, RFC 3339 in text.

use chrono::{DateTime, SecondsFormat, Utc};
use gyre_proto::Timestamp;

/// Now, in microseconds since 1970.
pub fn now_micros() -> i64 {
    Utc::now().timestamp_micros()
}

/// Now, as messages have it, cut to microseconds (what the database keeps).
pub fn now() -> Timestamp {
    from_micros(now_micros())
}

/// From microseconds since 1970.
pub fn from_micros(micros: i64) -> Timestamp {
    Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0),
    }
}

/// To microseconds since 1970.
pub fn to_micros(time: &Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos) / 1000)
}

/// Reads RFC 3339.
pub fn parse(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

/// Writes RFC 3339 in UTC.
pub fn print(micros: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(micros)
        .map_or_else(|| micros.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}
