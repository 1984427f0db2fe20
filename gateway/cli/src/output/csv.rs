//! Lists as CSV (RFC 4180): lines end with CR LF, what holds a comma, a quote or a line break stands in quotes. Values are those of
//! JSON: full names of enum values, RFC 3339 times, plain numbers; the elements of a list stand with semicolons between.

use gyre_model::catalog::MessageInfo;
use prost_reflect::DynamicMessage;
use serde_json::Value;

/// The line of names.
pub fn head(columns: &[&str]) -> String {
    line(columns.iter().map(|column| (*column).to_owned()))
}

/// A line for each message.
pub fn lines(info: &MessageInfo, columns: &[&str], rows: &[DynamicMessage]) -> String {
    let names: Vec<_> =
        columns.iter().map(|column| info.field(column).map_or(*column, |field| field.json_name)).collect();
    rows.iter()
        .map(|row| {
            let json = serde_json::to_value(row).unwrap_or_default();
            line(names.iter().map(|name| cell(json.get(name).unwrap_or(&Value::Null))))
        })
        .collect()
}

/// A line for each row of texts.
pub fn cells(rows: Vec<Vec<String>>) -> String {
    rows.into_iter().map(|row| line(row.into_iter())).collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.map(|cell| quoted(&cell)).collect::<Vec<_>>().join(",") + "\r\n"
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_needs_quotes_has_them() {
        let cells =
            [json!("a,b"), json!("say \"x\""), json!(["1", "2"]), json!(null), json!(true), json!("two\nlines")];
        assert_eq!(line(cells.iter().map(cell)), "\"a,b\",\"say \"\"x\"\"\",1;2,,true,\"two\nlines\"\r\n");
    }
}
