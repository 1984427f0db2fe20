//! What a query answers, as proto3 JSON: each row an object whose fields lie as their paths say.

use gyre_model::catalog::{FieldInfo, FieldType};
use gyre_model::{Error, Result, time};
use gyre_store::{Row, Type};
use serde_json::{Map, Value as Json};

/// A row: its fields by their JSON names, those of other resources within objects.
pub type Record = Map<String, Json>;

/// A value of a row.
///
/// # Errors
/// A column that holds something else: a fault of Gyre's.
pub(crate) fn value(row: &Row, at: usize, ty: Type, field: &FieldInfo) -> Result<Json> {
    if row.is_null(at) {
        return Ok(Json::Null);
    }
    Ok(match ty {
        Type::Bool => Json::from(row.bool(at)?),
        // JSON has 64 bits as text
        Type::Int if field.wide => Json::from(row.int(at)?.to_string()),
        Type::Int => Json::from(row.int(at)?),
        Type::Float => Json::from(row.float(at)?),
        Type::Id => Json::from(row.id(at)?.to_string()),
        Type::Time => Json::from(time::print(row.int(at)?)),
        Type::Json => serde_json::from_str(row.text(at)?).map_err(Error::internal)?,
        Type::Text if matches!(field.ty, FieldType::Enum(_)) => {
            let short = row.text(at)?;
            let whole = field.values.iter().find(|(_, _, known)| *known == short);
            Json::from(whole.map_or(short, |(_, whole, _)| whole))
        }
        Type::Text => Json::from(row.text(at)?),
        Type::Bytes => return Err(Error::internal(format!("{} has no form in JSON", field.name))),
    })
}

/// Puts a value where a path says.
pub(crate) fn put(record: &mut Record, path: &[&str], value: Json) {
    let Some((last, before)) = path.split_last() else { return };
    let mut here = record;
    for segment in before {
        let entry = here.entry(camel(segment)).or_insert_with(|| Json::Object(Map::new()));
        match entry {
            Json::Object(inner) => here = inner,
            // a resource and a value cannot have the same name, as a test of the catalog demands
            _ => return,
        }
    }
    here.insert(camel(last), value);
}

/// `l3_networks` as `l3Networks`.
pub(crate) fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        match letter {
            '_' => upper = true,
            _ if std::mem::take(&mut upper) => camel.push(letter.to_ascii_uppercase()),
            _ => camel.push(letter),
        }
    }
    camel
}
