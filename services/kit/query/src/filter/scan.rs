//! From text to words, operators and parentheses.

use gyre_model::Result;

use super::wrong;

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Has,
    /// `IN`, with all values of a list.
    In,
}

impl Operator {
    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Has => ":",
            Self::In => "IN",
        }
    }
}

/// A text, and where in it a `*` stands for anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Text {
    /// The text, with the stars.
    pub text: String,
    /// Where the stars are, in bytes. One that was written `\*` is a letter like others.
    pub stars: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(Text),
    Quoted(Text),
    Operator(Operator),
    Open,
    Close,
    Comma,
    Minus,
}

impl Token {
    pub(super) fn show(&self) -> String {
        match self {
            Self::Word(word) => format!("{:?}", word.text),
            Self::Quoted(text) => format!("the text {:?}", text.text),
            Self::Operator(operator) => format!("{:?}", operator.sign()),
            Self::Open => "\"(\"".into(),
            Self::Close => "\")\"".into(),
            Self::Comma => "\",\"".into(),
            Self::Minus => "\"-\"".into(),
        }
    }
}

impl Text {
    fn push(&mut self, letter: char) {
        if letter == '*' {
            self.stars.push(self.text.len());
        }
        self.text.push(letter);
    }
}

/// Takes a text apart; each token with the character that it begins at.
pub(super) fn scan(text: &str) -> Result<Vec<(usize, Token)>> {
    let letters: Vec<char> = text.chars().collect();
    let mut tokens: Vec<(usize, Token)> = Vec::new();
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        let start = at;
        let following = letters.get(at + 1).copied();
        // where a value stands, what begins with a minus is a number or a time, and colons are of a time or an address
        let value = matches!(tokens.last(), Some((_, Token::Operator(_) | Token::Comma))) || follows_in(&tokens);
        let token = match letter {
            _ if letter.is_whitespace() => {
                at += 1;
                continue;
            }
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '=' => Token::Operator(Operator::Equal),
            ':' => Token::Operator(Operator::Has),
            '!' if following == Some('=') => {
                at += 1;
                Token::Operator(Operator::NotEqual)
            }
            '<' | '>' => {
                let equal = following == Some('=');
                at += usize::from(equal);
                Token::Operator(match (letter, equal) {
                    ('<', false) => Operator::Less,
                    ('<', true) => Operator::LessOrEqual,
                    (_, false) => Operator::Greater,
                    (_, true) => Operator::GreaterOrEqual,
                })
            }
            '-' if !value => Token::Minus,
            '"' | '\'' => {
                let mut quoted = Text::default();
                loop {
                    at += 1;
                    match letters.get(at) {
                        None => return Err(wrong(start, "the text in quotes does not end")),
                        Some(end) if *end == letter => break,
                        Some('\0') => return Err(wrong(at, "a text cannot have the character NUL")),
                        Some('\\') => {
                            at += 1;
                            let letter = letters.get(at).filter(|letter| **letter != '\0');
                            quoted.text.push(*letter.ok_or_else(|| wrong(start, "the text in quotes does not end"))?);
                        }
                        Some(other) => quoted.push(*other),
                    }
                }
                Token::Quoted(quoted)
            }
            _ if in_word(letter) => {
                let mut word = Text::default();
                word.push(letter);
                while let Some(&next) = letters.get(at + 1)
                    && (in_word(next) || value && next == ':')
                {
                    word.push(next);
                    at += 1;
                }
                Token::Word(word)
            }
            other => return Err(wrong(at, format_args!("{other:?} means nothing here; put texts in quotes"))),
        };
        tokens.push((start, token));
        at += 1;
    }
    Ok(tokens)
}

/// Whether the last token opens the list of an `IN`.
fn follows_in(tokens: &[(usize, Token)]) -> bool {
    matches!(tokens, [.., (_, Token::Word(_)), (_, Token::Word(word)), (_, Token::Open)] if word.text == "IN")
}

fn in_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '*' | '+' | '/' | '@')
}
