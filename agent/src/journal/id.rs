//! UUIDs in lines: as everywhere else, hyphenated.

use gyre_model::Uuid;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

pub fn serialize<S: Serializer>(uuid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uuid)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    let text = String::deserialize(deserializer)?;
    gyre_model::parse_uuid(&text).ok_or_else(|| D::Error::custom("no UUID"))
}
