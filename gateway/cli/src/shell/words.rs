//! A line as words: blanks divide, quotes of both kinds hold together, a backslash takes the next letter as it is.

/// The words of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The words.
    pub words: Vec<String>,
    /// Where the last one begins.
    pub last: usize,
    /// Whether a quote was not closed.
    pub open: bool,
}

/// Divides a line. A blank at the end begins a new, empty word. A line that begins with "#" has none.
pub fn split(line: &str) -> Words {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut last = 0;
    let mut quote = None;
    let mut letters = line.char_indices();
    while let Some((at, letter)) = letters.next() {
        if word.is_none() {
            last = at;
        }
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            // In single quotes a backslash is one.
            (None | Some('"'), '\\') => {
                let next = letters.next().map(|(_, next)| next);
                word.get_or_insert_default().extend(next);
            }
            (None, '#') if word.is_none() => break,
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    match word {
        Some(word) => words.push(word),
        None => {
            last = line.len();
            words.push(String::new());
        }
    }
    Words { words, last, open: quote.is_some() }
}

/// A word as a line has it.
pub fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "._-+@%/:=,".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_divided_as_in_a_shell() {
        let words = |line: &str| split(line).words;
        assert_eq!(words("vm list"), ["vm", "list"]);
        assert_eq!(words("  vm  list "), ["vm", "list", ""]);
        assert_eq!(words("vm get \"a b\"'c \\'d"), ["vm", "get", "a bc \\d"]);
        assert_eq!(words(r#"--filter "name = \"x\"""#), ["--filter", "name = \"x\""]);
        assert_eq!(words("vm ''"), ["vm", ""]);
        assert_eq!(words("# a remark"), [""]);
        assert!(split("vm \"a").open && !split("vm \"a\"").open);
        assert_eq!(split("vm get we").last, 7);
        assert_eq!(split("vm get ").last, 7);
        for word in ["plain", "two words", "a\"b\\c", ""] {
            assert_eq!(words(&quoted(word)), [word]);
        }
    }
}
