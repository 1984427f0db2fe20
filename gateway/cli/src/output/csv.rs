//! Lists as CSV (RFC 4180): lines end with CR LF, what holds a comma, a quote or a line break stands in quotes. Values are those of
//! JSON: full names of enum values, RFC 3339 times, plain numbers; the elements of a list stand with semicolons between.

/// A line of cells.
pub fn line<C: AsRef<str>>(cells: impl IntoIterator<Item = C>) -> String {
    cells.into_iter().map(|cell| quoted(cell.as_ref())).collect::<Vec<_>>().join(",") + "\r\n"
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_quotes_has_them() {
        let cells = ["a,b", "say \"x\"", "1;2", "", "two\nlines"];
        assert_eq!(line(cells), "\"a,b\",\"say \"\"x\"\"\",1;2,,\"two\nlines\"\r\n");
    }
}
