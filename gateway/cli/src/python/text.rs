//! Names and comments as Python has them.

use gyre_model::catalog::{FieldInfo, FieldType, Format};
use prost_reflect::Kind;

/// The widest line of a comment.
const WIDTH: usize = 110;

/// Words that are no names in Python.
const WORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "self", "try", "while", "with",
];

/// A name as Python may have it.
pub fn name(word: &str) -> String {
    let word = word.replace(['-', '.'], "_");
    if WORDS.contains(&word.as_str()) || word.starts_with(|first: char| first.is_ascii_digit()) {
        format!("{word}_")
    } else {
        word
    }
}

/// "Vm" of "gyre.vm.v1.Vm".
pub fn last(full: &str) -> &str {
    full.rsplit('.').next().unwrap_or(full)
}

/// "L3Networks" of "l3-networks".
pub fn pascal(kebab: &str) -> String {
    kebab
        .split('-')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        })
        .collect()
}

/// A text as a docstring, behind so many blanks.
pub fn doc(text: &str, indent: usize) -> String {
    let text = safe(text);
    let blanks = " ".repeat(indent);
    let lines = wrap(&text, WIDTH - indent - 6);
    match lines.as_slice() {
        [] => String::new(),
        // a quotation mark at the end would run into those that close it
        [line] if !line.ends_with('"') => format!("{blanks}\"\"\"{line}\"\"\"\n"),
        lines => format!("{blanks}\"\"\"{}\n{blanks}\"\"\"\n", lines.join(&format!("\n{blanks}"))),
    }
}

/// A text with nothing in it that means something in a docstring.
pub fn safe(text: &str) -> String {
    text.replace('\\', "\\\\").replace("\"\"\"", "'''")
}

/// A text in lines of at most so many characters.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// How a field is written in JSON, in the words of `gyre_client._wire`.
pub fn wire(message: &str, field: &FieldInfo) -> String {
    let one = match field.ty {
        FieldType::Bool => "bool".to_owned(),
        FieldType::Int | FieldType::Uint => (if is_wide(message, field) { "int64" } else { "int32" }).to_owned(),
        FieldType::Float => "float".to_owned(),
        FieldType::Text => "text".to_owned(),
        FieldType::Bytes => "bytes".to_owned(),
        FieldType::Time => "time".to_owned(),
        FieldType::Duration => "duration".to_owned(),
        FieldType::Map => "json".to_owned(),
        FieldType::Message("google.protobuf.FieldMask") => "mask".to_owned(),
        FieldType::Message("google.protobuf.Any") => "any".to_owned(),
        FieldType::Message(inner) if inner.starts_with("google.protobuf.") => "json".to_owned(),
        FieldType::Message(inner) | FieldType::Enum(inner) => last(inner).to_owned(),
    };
    if field.repeated { format!("*{one}") } else { one }
}

/// The type of a field, and the value that it has where none is given.
pub fn python_type(field: &FieldInfo, module: &str) -> (String, String) {
    let (one, default) = match field.ty {
        FieldType::Bool => ("bool".to_owned(), "False".to_owned()),
        FieldType::Int | FieldType::Uint => ("int".to_owned(), "0".to_owned()),
        FieldType::Float => ("float".to_owned(), "0.0".to_owned()),
        FieldType::Text => ("str".to_owned(), "\"\"".to_owned()),
        FieldType::Bytes => ("bytes".to_owned(), "b\"\"".to_owned()),
        FieldType::Time => ("Optional[datetime]".to_owned(), "None".to_owned()),
        FieldType::Duration => ("Optional[timedelta]".to_owned(), "None".to_owned()),
        FieldType::Map => ("Dict[str, Any]".to_owned(), "_field(default_factory=dict)".to_owned()),
        FieldType::Message("google.protobuf.FieldMask") => {
            ("List[str]".to_owned(), "_field(default_factory=list)".to_owned())
        }
        FieldType::Message(inner) if inner.starts_with("google.protobuf.") => ("Any".to_owned(), "None".to_owned()),
        FieldType::Message(inner) => (format!("Optional[{module}{}]", last(inner)), "None".to_owned()),
        FieldType::Enum(inner) => {
            let first = field.values.first().map_or("UNSPECIFIED", |(.., short)| short);
            (format!("{module}{}", last(inner)), format!("{module}{}.{}", last(inner), name(first)))
        }
    };
    if field.repeated {
        let one = one.trim_start_matches("Optional[").trim_end_matches(']');
        return (format!("List[{one}]"), "_field(default_factory=list)".to_owned());
    }
    (one, default)
}

fn is_wide(message: &str, field: &FieldInfo) -> bool {
    let described = gyre_model::catalog().pool().get_message_by_name(message);
    described.and_then(|message| message.get_field(field.number)).is_some_and(|field| {
        matches!(field.kind(), Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64)
    })
}

/// What a value must be like, in words, for a comment: nothing where there is nothing to say.
pub fn rules(field: &FieldInfo) -> String {
    let rule = &field.rule;
    let mut said = Vec::new();
    if rule.required {
        said.push("required".to_owned());
    }
    if rule.output_only {
        said.push("set by Gyre".to_owned());
    } else if rule.immutable {
        said.push("fixed at creation".to_owned());
    }
    if !rule.refers_to.is_empty() {
        let article = if rule.refers_to.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        said.push(format!("the UUID of {article} {}", rule.refers_to));
    } else if rule.format() == Format::Uuid && field.name != "uuid" {
        said.push("a UUID".to_owned());
    }
    if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_docstrings() {
        assert_eq!(doc("A name.", 4), "    \"\"\"A name.\"\"\"\n");
        assert_eq!(doc("such as \"a\"", 0), "\"\"\"such as \"a\"\n\"\"\"\n");
        assert!(doc(&"word ".repeat(60), 4).lines().all(|line| line.len() <= WIDTH));
        assert_eq!(
            (name("from"), name("read-console"), name("import")),
            ("from_".into(), "read_console".into(), "import_".into())
        );
    }
}
