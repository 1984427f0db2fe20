//! `google.protobuf.Timestamp` with the JSON form of proto3: RFC 3339 in UTC with a `Z`, and 0, 3, 6 or 9 digits of a second.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Timestamp {
    /// Seconds since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds of the second, 0 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nanos = u32::try_from(self.nanos).map_err(|_| S::Error::custom("a time with negative nanoseconds"))?;
        let time = DateTime::<Utc>::from_timestamp(self.seconds, nanos)
            .ok_or_else(|| S::Error::custom("a time that no calendar has"))?;
        serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let time = DateTime::parse_from_rfc3339(&text).map_err(|_| {
            D::Error::custom(format!("invalid time {text:?}, expected RFC 3339 such as 2026-01-31T12:00:00Z"))
        })?;
        Ok(Self { seconds: time.timestamp(), nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_as_proto3_has_it() {
        for (seconds, nanos, text) in [
            (0, 0, "\"1970-01-01T00:00:00Z\""),
            (1_700_000_000, 120_000_000, "\"2023-11-14T22:13:20.120Z\""),
            (-1, 1_000, "\"1969-12-31T23:59:59.000001Z\""),
        ] {
            let time = Timestamp { seconds, nanos };
            assert_eq!(serde_json::to_string(&time).unwrap(), text);
            assert_eq!(serde_json::from_str::<Timestamp>(text).unwrap(), time);
        }
        assert!(serde_json::from_str::<Timestamp>("\"soon\"").is_err());
    }
}
