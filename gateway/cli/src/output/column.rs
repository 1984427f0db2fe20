//! Columns: fields of rows, and of what rows refer to. Rows are proto3 JSON, in which what lies behind a reference lies in an object:
//! `{"name": …, "host": {"name": …}}`.

use gyre_model::catalog::{FieldInfo, MessageInfo, catalog};
use serde_json::{Map, Value as Json};

use super::{Format, cell};

/// What queries put before a path: the sum, the smallest or the largest of what lies there.
const FUNCTIONS: [&str; 3] = ["sum.", "min.", "max."];

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    path: String,
    /// The names in JSON, from the row on.
    keys: Vec<String>,
    field: Option<&'static FieldInfo>,
}

impl Column {
    /// The column of that path in rows of this message; of an unknown one where it is none of a resource.
    pub fn of(row: Option<&'static MessageInfo>, path: &str) -> Self {
        let bare = FUNCTIONS.iter().find_map(|function| path.strip_prefix(function)).unwrap_or(path);
        let field = row.and_then(|row| find(row, bare));
        let mut keys: Vec<String> = path.split('.').map(camel).collect();
        if let (Some(field), Some(last)) = (field, keys.last_mut()) {
            field.json_name.clone_into(last);
        }
        Self { path: path.to_owned(), keys, field }
    }

    /// The columns of these paths.
    pub fn all<'p>(row: Option<&'static MessageInfo>, paths: impl IntoIterator<Item = &'p str>) -> Vec<Self> {
        paths.into_iter().map(|path| Self::of(row, path)).collect()
    }

    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands over it for people: "MEMORY" over `memory_bytes`, "HOST" over `host_uuid`.
    fn heading(&self) -> String {
        let short = ["_uuids", "_uuid", "_bytes", "_time"].iter().find_map(|suffix| self.path.strip_suffix(suffix));
        short.unwrap_or(&self.path).to_ascii_uppercase()
    }

    /// Where it leads to in a row.
    fn value<'r>(&self, row: &'r Json) -> &'r Json {
        self.keys.iter().fold(row, |here, key| here.get(key).unwrap_or(&Json::Null))
    }

    /// What stands in its cell of a row.
    pub fn cell(&self, format: Format, row: &Json) -> String {
        let value = self.value(row);
        match self.field {
            field if format == Format::Csv => cell::csv(field, value),
            Some(field) => cell::text(field, value, true).unwrap_or_default(),
            None => cell::plain(value),
        }
    }
}

/// What stands over columns: the whole name where two would have the same.
pub fn headings(columns: &[Column]) -> Vec<String> {
    let short: Vec<_> = columns.iter().map(Column::heading).collect();
    let twice = |heading: &String| short.iter().filter(|other| *other == heading).count() > 1;
    let whole = |column: &Column| column.path.to_ascii_uppercase();
    short.iter().zip(columns).map(|(name, column)| if twice(name) { whole(column) } else { name.clone() }).collect()
}

/// A row with nothing but these columns.
pub fn picked(columns: &[Column], row: &Json) -> Json {
    let mut all = Map::new();
    for column in columns {
        let value = column.value(row);
        // as in JSON; what lies behind references is named in any case
        if column.keys.len() > 1 || !value.is_null() {
            put(&mut all, &column.keys, value);
        }
    }
    Json::Object(all)
}

/// Puts a value where the keys say.
fn put(here: &mut Map<String, Json>, keys: &[String], value: &Json) {
    match keys {
        [] => {}
        [last] => {
            here.insert(last.clone(), value.clone());
        }
        [key, rest @ ..] => {
            if let Json::Object(inner) = here.entry(key.clone()).or_insert_with(|| Json::Object(Map::new())) {
                put(inner, rest, value);
            }
        }
    }
}

/// The field that a path leads to.
fn find(row: &'static MessageInfo, path: &str) -> Option<&'static FieldInfo> {
    let mut here = row;
    let (way, last) = path.rsplit_once('.').unwrap_or(("", path));
    for segment in way.split('.').filter(|segment| !segment.is_empty()) {
        let edge = catalog().edge(here.kind?, segment)?;
        here = catalog().message(catalog().kind(edge.to())?.message)?;
    }
    here.fields.iter().find(|field| field.name == last || field.json_name == last)
}

/// `l3_networks` as `l3Networks`.
pub fn camel(name: &str) -> String {
    let mut upper = false;
    let letter = |letter: char| match letter {
        '_' => {
            upper = true;
            None
        }
        _ if std::mem::take(&mut upper) => Some(letter.to_ascii_uppercase()),
        _ => Some(letter),
    };
    name.chars().filter_map(letter).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vm(path: &str) -> Column {
        Column::of(catalog().message("gyre.vm.v1.Vm"), path)
    }

    #[test]
    fn cells_are_read_along_paths() {
        let row = json!({"name": "a", "host": {"memoryBytes": "1073741824"}, "state": "VM_STATE_RUNNING"});
        let shown = |path: &str, format| vm(path).cell(format, &row);
        assert_eq!(shown("host.memory_bytes", Format::Table), "1 GiB");
        assert_eq!(shown("host.memory_bytes", Format::Csv), "1073741824");
        assert_eq!(shown("state", Format::Table), "RUNNING");
        assert_eq!(shown("state", Format::Csv), "VM_STATE_RUNNING");
        assert_eq!(shown("host.name", Format::Table), "");
        assert_eq!(vm("sum.host.memory_bytes").field.map(|field| field.name), Some("memory_bytes"));
        assert_eq!(vm("sum.memory_bytes").cell(Format::Table, &json!({"sum": {"memoryBytes": "1024"}})), "1 KiB");
    }

    #[test]
    fn a_row_is_cut_to_its_columns() {
        let row = json!({"name": "a", "hostUuid": "7", "host": {"name": "h", "zone": {"name": null}}});
        let columns = Column::all(catalog().message("gyre.vm.v1.Vm"), ["name", "state", "host.name", "host.zone.name"]);
        assert_eq!(picked(&columns, &row), json!({"name": "a", "host": {"name": "h", "zone": {"name": null}}}));
    }

    #[test]
    fn no_two_columns_have_the_same_head() {
        let columns: Vec<_> = ["root_volume_uuid", "root_volume_bytes", "host_uuid"].into_iter().map(vm).collect();
        assert_eq!(headings(&columns), ["ROOT_VOLUME_UUID", "ROOT_VOLUME_BYTES", "HOST"]);
    }
}
