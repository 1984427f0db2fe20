//! `google.protobuf.Any` with the JSON form of proto3: the fields of the message inside, and `@type`.

use prost::bytes::Bytes;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::JsonCodec;

const TYPE: &str = "@type";

/// A message of any type of the API.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Any {
    /// "type.googleapis.com/" and the full name of the message's type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// Its wire bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

fn codec(url: &str) -> Option<&'static JsonCodec> {
    JsonCodec::by_name(url.rsplit('/').next()?)
}

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let codec = codec(&self.type_url).ok_or_else(|| S::Error::custom("a message of a type that nobody knows"))?;
        let mut json = serde_json::to_vec(TYPE).map_err(S::Error::custom)?;
        json.insert(0, b'{');
        json.push(b':');
        serde_json::to_writer(&mut json, &self.type_url).map_err(S::Error::custom)?;
        let comma = json.len();
        (codec.print)(&self.value, &mut json).map_err(S::Error::custom)?;
        // "{}" has nothing to go on with
        json[comma] = if json.get(comma + 1) == Some(&b'}') { b' ' } else { b',' };
        let text = String::from_utf8(json).map_err(S::Error::custom)?;
        RawValue::from_string(text).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut map = Map::deserialize(deserializer)?;
        let Some(Value::String(type_url)) = map.remove(TYPE) else { return Err(D::Error::missing_field(TYPE)) };
        let codec = codec(&type_url).ok_or_else(|| D::Error::custom(format!("there is no type {type_url:?}")))?;
        let json = serde_json::to_vec(&map).map_err(D::Error::custom)?;
        Ok(Self { value: (codec.parse)(&json).map_err(D::Error::custom)?, type_url })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::common::v1::{WatchEventType, WatchResponse};
    use crate::host::v1::Zone;

    #[test]
    fn a_message_of_any_type_is_printed_with_its_type() {
        for zone in [Zone::default(), Zone { name: "east".into(), generation: 7, ..Zone::default() }] {
            let resource =
                Any { type_url: "type.googleapis.com/gyre.host.v1.Zone".into(), value: zone.encode_to_vec().into() };
            let event =
                WatchResponse { r#type: WatchEventType::Added.into(), resource: Some(resource), ..Default::default() };
            let json = serde_json::to_value(&event).unwrap();
            assert_eq!(json["resource"]["@type"], "type.googleapis.com/gyre.host.v1.Zone");
            assert_eq!(json["resource"].get("name").is_some(), !zone.name.is_empty());
            assert_eq!(serde_json::from_value::<WatchResponse>(json).unwrap(), event);
        }
        let unknown = Any { type_url: "type.googleapis.com/x.Y".into(), value: Bytes::new() };
        assert!(serde_json::to_string(&unknown).is_err());
    }
}
