//! `google.protobuf.FieldMask` with the JSON form of proto3: one text of lowerCamelCase paths with commas between.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Paths of fields.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct FieldMask {
    /// Each path in snake_case, such as "vm.cpu_count".
    #[prost(string, repeated, tag = "1")]
    pub paths: Vec<String>,
}

fn to_camel(path: &str) -> String {
    let mut camel = String::with_capacity(path.len());
    let mut upper = false;
    for letter in path.chars() {
        match letter {
            '_' => upper = true,
            _ if upper => {
                camel.push(letter.to_ascii_uppercase());
                upper = false;
            }
            _ => camel.push(letter),
        }
    }
    camel
}

fn to_snake(path: &str) -> String {
    let mut snake = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

impl FieldMask {
    /// Reads "name,hostUuid" (and "host_uuid" as well).
    pub fn parse(text: &str) -> Self {
        Self { paths: text.split(',').map(str::trim).filter(|path| !path.is_empty()).map(to_snake).collect() }
    }
}

impl Serialize for FieldMask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.paths.iter().map(|path| to_camel(path)).collect::<Vec<_>>().join(","))
    }
}

impl<'de> Deserialize<'de> for FieldMask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}
