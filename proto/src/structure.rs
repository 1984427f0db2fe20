//! `google.protobuf.Struct` with the JSON form of proto3. Whole numbers are written without a fraction.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest whole number up to which a double has all of them.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// An object of JSON.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Struct {
    /// Its fields.
    #[prost(btree_map = "string, message", tag = "1")]
    pub fields: BTreeMap<String, Value>,
}

/// A value of JSON.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Value {
    /// What it is; nothing is null.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<Kind>,
}

/// A list of JSON.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListValue {
    /// Its elements.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

/// What a value is.
#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum Kind {
    /// null
    #[prost(int32, tag = "1")]
    Null(i32),
    /// A number.
    #[prost(double, tag = "2")]
    Number(f64),
    /// A text.
    #[prost(string, tag = "3")]
    Text(String),
    /// true or false
    #[prost(bool, tag = "4")]
    Bool(bool),
    /// An object.
    #[prost(message, tag = "5")]
    Object(Struct),
    /// A list.
    #[prost(message, tag = "6")]
    List(ListValue),
}

impl From<serde_json::Map<String, serde_json::Value>> for Struct {
    fn from(object: serde_json::Map<String, serde_json::Value>) -> Self {
        Self { fields: object.into_iter().map(|(name, value)| (name, value.into())).collect() }
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        Self {
            kind: Some(match value {
                Json::Null => Kind::Null(0),
                Json::Bool(value) => Kind::Bool(value),
                Json::Number(value) => Kind::Number(value.as_f64().unwrap_or(f64::NAN)),
                Json::String(value) => Kind::Text(value),
                Json::Array(all) => Kind::List(ListValue { values: all.into_iter().map(Self::from).collect() }),
                Json::Object(object) => Kind::Object(object.into()),
            }),
        }
    }
}

impl Serialize for Struct {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.kind {
            None | Some(Kind::Null(_)) => serializer.serialize_unit(),
            Some(Kind::Bool(value)) => serializer.serialize_bool(*value),
            Some(Kind::Number(value)) if value.fract() == 0.0 && value.abs() <= LARGEST_WHOLE => {
                serializer.serialize_i64(*value as i64)
            }
            Some(Kind::Number(value)) => serializer.serialize_f64(*value),
            Some(Kind::Text(value)) => serializer.serialize_str(value),
            Some(Kind::Object(value)) => value.serialize(serializer),
            Some(Kind::List(list)) => {
                let mut all = serializer.serialize_seq(Some(list.values.len()))?;
                for value in &list.values {
                    all.serialize_element(value)?;
                }
                all.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Struct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Object(object) => Ok(object.into()),
            other => Err(D::Error::custom(format!("invalid object {other}"))),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn json_goes_there_and_back() {
        let text = r#"{"a":null,"b":[true,2,2.5,"x"],"c":{"d":-7}}"#;
        let read: Struct = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&Struct::decode(read.encode_to_vec().as_slice()).unwrap()).unwrap(), text);
        assert!(serde_json::from_str::<Struct>("[]").is_err());
    }
}
