//! Texts with `*` in them: beginnings, ends, middles.

use gyre_model::Result;
use gyre_store::{Dialect, Sql};

use super::parse::Given;
use super::wrong;

/// Most stars of a pattern.
const MOST: usize = 8;

/// A text with gaps: what stands between the stars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    pieces: Vec<String>,
}

impl Pattern {
    pub fn new(given: &Given) -> Result<Self> {
        let stars = &given.text.stars;
        if stars.len() > MOST {
            return Err(wrong(given.at, format_args!("a pattern has at most {MOST} stars")));
        }
        let mut pieces = Vec::with_capacity(stars.len() + 1);
        let mut start = 0;
        for star in stars {
            pieces.push(given.text.text[start..*star].to_owned());
            start = star + 1;
        }
        pieces.push(given.text.text[start..].to_owned());
        Ok(Self { pieces })
    }

    /// Whether a text looks like it, in SQL. What the beginning says is a range, which an index serves.
    pub fn sql(&self, name: &str, dialect: Dialect) -> Sql {
        match &self.pieces[..] {
            [whole] => Sql::new(format!("{name} = ")).bind(whole.as_str()),
            [first, last] if last.is_empty() => range(name, first),
            [first, middle, last] if first.is_empty() && last.is_empty() => {
                let function = match dialect {
                    Dialect::Sqlite => "instr",
                    Dialect::Postgres => "strpos",
                };
                Sql::new(format!("{function}({name}, ")).bind(middle.as_str()).sql(") > 0")
            }
            [first, ..] if first.is_empty() => self.like(name),
            [first, ..] => Sql::new("(").append(range(name, first)).sql(" AND ").append(self.like(name)).sql(")"),
            [] => Sql::new("1 = 1"),
        }
    }

    /// Whether a text looks like it.
    pub fn fits(&self, text: &str) -> bool {
        let [first, middle @ .., last] = &self.pieces[..] else {
            return self.pieces.first().is_none_or(|whole| whole == text);
        };
        let Some(rest) = text.strip_prefix(first.as_str()) else { return false };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
        for piece in middle {
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        true
    }

    fn like(&self, name: &str) -> Sql {
        let escaped: Vec<_> = self.pieces.iter().map(|piece| escape(piece)).collect();
        Sql::new(format!("{name} LIKE ")).bind(escaped.join("%")).sql(" ESCAPE '!'")
    }
}

/// The texts that begin with this one.
fn range(name: &str, first: &str) -> Sql {
    if first.is_empty() {
        return Sql::new("1 = 1");
    }
    let from = Sql::new(format!("{name} >= ")).bind(first);
    match after(first) {
        Some(after) => Sql::new("(").append(from).sql(format!(" AND {name} < ")).bind(after).sql(")"),
        None => from,
    }
}

/// The first text behind all that begin with this one, by the numbers of letters; nothing where there is none.
fn after(first: &str) -> Option<String> {
    let mut letters: Vec<char> = first.chars().collect();
    while let Some(last) = letters.pop() {
        // what is between the last letters before the surrogates and after them is no letter
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '!') {
            escaped.push('!');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_text_lies_between_it_and_the_next() {
        assert_eq!(after("web").as_deref(), Some("wec"));
        assert_eq!(after("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(after("\u{10FFFF}"), None);
        assert_eq!(after("\u{D7FF}").as_deref(), Some("\u{E000}"));
    }
}
