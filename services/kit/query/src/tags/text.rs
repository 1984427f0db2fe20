//! What a tag may look like.

use std::collections::BTreeSet;

use gyre_model::catalog::KindInfo;
use gyre_model::error::Violation;
use gyre_model::{Error, Result};

/// Most tags of a resource.
pub const MOST: usize = 50;
/// Most characters of a tag.
pub const LONGEST: usize = 255;
/// What system tags begin with.
pub const SYSTEM: &str = "gyre:";

/// A tag's text in its parts: what stands before the first "=" and after it. A plain word is a key without value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// All of it.
    pub text: &'a str,
    /// What stands before the first "=", or all of it.
    pub key: &'a str,
    /// What stands after the first "=", or nothing.
    pub value: &'a str,
}

impl<'a> Text<'a> {
    /// Reads a tag.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let length = text.chars().count();
        let fault = if text.is_empty() {
            "must not be empty: write \"key=value\" or a word"
        } else if length > LONGEST {
            return Err(format!("must have at most {LONGEST} characters, has {length}"));
        } else if text.chars().any(char::is_control) {
            "must not contain control characters"
        } else if text.trim() != text {
            "must not begin or end with white space"
        } else if text.starts_with('=') {
            "must have a key before the \"=\""
        } else {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            return Ok(Self { text, key, value });
        };
        Err(format!("{fault}, got {text:?}"))
    }

    /// Whether it is one to which Gyre gives a meaning.
    pub fn is_system(&self) -> bool {
        self.text.starts_with(SYSTEM)
    }
}

/// The path of the tags in a request about a resource of this kind.
pub(super) fn path(kind: &KindInfo) -> String {
    format!("{}.tags", kind.kind.replace('-', "_"))
}

/// Reads all tags of a resource.
///
/// # Errors
/// `INVALID_ARGUMENT` with all that is wrong: too many, twice the same, or one that no tag may look like.
pub(super) fn parse_all<'a>(kind: &KindInfo, texts: &'a [String]) -> Result<Vec<Text<'a>>> {
    let mut broken = Vec::new();
    let mut say = |description: String| broken.push(Violation { field: path(kind), description });
    if texts.len() > MOST {
        say(format!("must have at most {MOST} elements, has {}", texts.len()));
    }
    let mut seen = BTreeSet::new();
    let mut parsed = Vec::with_capacity(texts.len());
    for text in texts.iter().take(MOST) {
        match Text::parse(text) {
            Err(fault) => say(fault),
            Ok(_) if !seen.insert(text) => say(format!("must not name a tag twice, got {text:?} again")),
            Ok(text) => parsed.push(text),
        }
    }
    if broken.is_empty() { Ok(parsed) } else { Err(Error::invalid_fields(broken)) }
}

#[cfg(test)]
mod tests {
    use gyre_model::catalog;

    use super::*;

    #[test]
    fn a_tag_is_a_key_and_a_value_or_a_word() {
        for (text, key, value) in [
            ("env=prod", "env", "prod"),
            ("canary", "canary", ""),
            ("a=b=c", "a", "b=c"),
            ("a=", "a", ""),
            ("é=ü", "é", "ü"),
        ] {
            assert_eq!(Text::parse(text), Ok(Text { text, key, value }));
        }
        let long = "x".repeat(LONGEST + 1);
        for (text, fault) in
            [("", "empty"), ("=x", "key"), (" x", "white space"), ("a\nb", "control"), (long.as_str(), "has 256")]
        {
            assert!(Text::parse(text).unwrap_err().contains(fault), "{text:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let kind = catalog().kind("l3-network").unwrap();
        let error = parse_all(kind, &["a".into(), "=".into(), "a".into()]).unwrap_err();
        let told: Vec<_> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(told, ["l3_network.tags", "l3_network.tags"]);
        let many: Vec<_> = (0..=MOST).map(|at| format!("t{at}")).collect();
        assert!(parse_all(kind, &many).unwrap_err().message().contains("at most 50"));
        assert_eq!(parse_all(kind, &many[1..]).unwrap().len(), MOST);
    }
}
