//! Reading files of documents.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_json::Value;

use crate::failure::{Failure, Result};

/// The largest file that is read.
const LARGEST: u64 = 16 << 20;

/// A document, and where it stands.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file and, where it holds several, the number of the document: "site.yaml#2".
    pub place: String,
    /// What it says.
    pub value: Value,
}

/// The documents of a file, or of standard input for "-".
///
/// # Errors
/// When it cannot be read, or is neither YAML nor JSON.
pub fn read(path: &Path) -> Result<Vec<Document>> {
    let shown = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let failed = |error: std::io::Error| Failure::usage(format!("{shown}: {error}"));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(Failure::usage(format!("{shown} is a folder; only `gyre apply` takes one")));
        }
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?
    };
    if read as u64 > LARGEST {
        return Err(Failure::usage(format!("{shown} is larger than {} MiB", LARGEST >> 20)));
    }
    parse(&shown, &text)
}

/// The documents of a text. An array counts as that many documents.
fn parse(shown: &str, text: &str) -> Result<Vec<Document>> {
    // JSON is YAML but for little things, such as tabs between its words; what looks like JSON is read as JSON first.
    let looks_like_json = text.trim_start().starts_with(['{', '[']);
    let json =
        || serde_json::Deserializer::from_str(text).into_iter::<Value>().collect::<std::result::Result<Vec<_>, _>>();
    let yaml = || {
        serde_yaml_ng::Deserializer::from_str(text).map(Value::deserialize).collect::<std::result::Result<Vec<_>, _>>()
    };
    let values = if looks_like_json {
        json().or_else(|error| yaml().map_err(|_| Failure::usage(format!("{shown} is no JSON: {error}"))))?
    } else {
        yaml().map_err(|error| Failure::usage(format!("{shown} is neither YAML nor JSON: {error}")))?
    };
    let values: Vec<_> = values
        .into_iter()
        .flat_map(|value| match value {
            Value::Array(items) => items,
            // What stands between two lines of dashes, or holds comments only.
            Value::Null => Vec::new(),
            one => vec![one],
        })
        .collect();
    let several = values.len() > 1;
    let place = |at: usize| if several { format!("{shown}#{}", at + 1) } else { shown.to_owned() };
    Ok(values.into_iter().enumerate().map(|(at, value)| Document { place: place(at), value }).collect())
}

/// The documents of a file, of standard input, or of all files of a folder that end in .yaml, .yml or .json, by name.
///
/// # Errors
/// As [`read`]; also when the folder holds no such file.
pub fn read_all(path: &Path) -> Result<Vec<Document>> {
    if path == Path::new("-") || !path.is_dir() {
        return read(path);
    }
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let known = |path: &PathBuf| {
        path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end.eq_ignore_ascii_case(known)))
    };
    files.retain(|path| known(path) && path.is_file());
    files.sort();
    if files.is_empty() {
        return Err(Failure::usage(format!("{} holds no file that ends in .yaml, .yml or .json", path.display())));
    }
    let mut all = Vec::new();
    for file in files {
        all.extend(read(&file)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_holds_documents_in_either_form() {
        let places = |text: &str| -> Vec<String> {
            parse("f", text).unwrap().into_iter().map(|document| document.place).collect()
        };
        assert_eq!(places("kind: vm\n"), ["f"]);
        assert_eq!(places("kind: vm\n---\n# nothing\n---\nkind: zone\n"), ["f#1", "f#2"]);
        assert_eq!(places("[{\"kind\": \"vm\"},\t{\"kind\": \"zone\"}]"), ["f#1", "f#2"]);
        assert_eq!(places("{}\n{}"), ["f#1", "f#2"]);
        assert_eq!(places("{kind: zone, name: north}\n"), ["f"]);
        assert!(places("").is_empty());
        assert!(parse("f", "a: [").is_err() && parse("f", "{").is_err());
    }
}
