//! Where something stands in a JSON text: by offset, by line and column, and by the keys that lead there.

/// The line and column of an offset, both from 1.
pub fn position(json: &[u8], at: usize) -> (usize, usize) {
    let before = &json[..at.min(json.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (before.iter().filter(|byte| **byte == b'\n').count() + 1, before.len() - line_start + 1)
}

/// The offset behind a line and column, as `serde_json` counts them.
pub fn offset(json: &[u8], line: usize, column: usize) -> usize {
    let mut start = 0;
    for _ in 1..line {
        match json[start..].iter().position(|byte| *byte == b'\n') {
            Some(newline) => start += newline + 1,
            None => break,
        }
    }
    (start + column).min(json.len())
}

/// Where something stands in a JSON text.
#[derive(Debug, PartialEq)]
pub struct Place {
    /// The keys and elements that lead there.
    pub steps: Vec<Step>,
}

/// A step on the way to a place.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// The member of this name.
    Key(String),
    /// The element of this number.
    Element(usize),
}

impl Place {
    /// The place of the last key or element that begins before an offset.
    pub fn find(json: &[u8], end: usize) -> Self {
        enum Frame {
            Object { key: Option<String>, wants_key: bool },
            Array(usize),
        }
        let mut frames: Vec<Frame> = Vec::new();
        let mut at = 0;
        while at < end {
            match json[at] {
                b'{' => frames.push(Frame::Object { key: None, wants_key: true }),
                b'[' => frames.push(Frame::Array(0)),
                b'}' | b']' => drop(frames.pop()),
                b',' => match frames.last_mut() {
                    Some(Frame::Object { wants_key, .. }) => *wants_key = true,
                    Some(Frame::Array(index)) => *index += 1,
                    None => {}
                },
                b'"' => {
                    let start = at;
                    at += 1;
                    while at < json.len() && json[at] != b'"' {
                        at += if json[at] == b'\\' { 2 } else { 1 };
                    }
                    if let Some(Frame::Object { key, wants_key: wants_key @ true }) = frames.last_mut() {
                        let text = json.get(start..=at).unwrap_or_default();
                        *key = serde_json::from_slice(text).ok();
                        *wants_key = false;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        let steps = frames
            .into_iter()
            .filter_map(|frame| match frame {
                Frame::Object { key, .. } => key.map(Step::Key),
                Frame::Array(index) => Some(Step::Element(index)),
            })
            .collect();
        Self { steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_its_offset() {
        let json = br#"{"a": [1, {"b": "x,]}\"y"}], "c": 2}"#;
        let at = |end: usize| {
            let steps = Place::find(json, end).steps;
            steps.iter().map(|step| format!("{step:?}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(at(0), "");
        assert_eq!(at(8), "Key(\"a\") Element(0)");
        assert_eq!(at(25), "Key(\"a\") Element(1) Key(\"b\")");
        assert_eq!(at(json.len() - 1), "Key(\"c\")");
        assert_eq!(at(json.len()), "");
    }

    #[test]
    fn lines_and_columns_are_counted() {
        let json = b"{\n  \"a\": 1\n}";
        assert_eq!(position(json, 4), (2, 3));
        assert_eq!(offset(json, 2, 3), 5);
        assert_eq!(offset(json, 9, 9), json.len());
    }
}
