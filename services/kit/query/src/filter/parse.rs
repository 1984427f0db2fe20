//! From text to a tree.

use gyre_model::Result;

use super::wrong;

/// Most levels of parentheses and NOTs.
const DEEPEST: usize = 32;
/// Most comparisons.
const MOST: usize = 100;

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Has,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Restriction {
    pub at: usize,
    pub field: String,
    pub operator: Operator,
    pub value: String,
    pub value_at: usize,
    pub quoted: bool,
}

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Compare(Restriction),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Operator(Operator),
    Open,
    Close,
    Minus,
}

/// Reads a filter; nothing for an empty one.
pub(crate) fn parse(text: &str) -> Result<Option<Expression>> {
    let tokens = scan(text)?;
    if tokens.is_empty() {
        return Ok(None);
    }
    let mut parser = Parser { tokens, next: 0, end: text.chars().count(), restrictions: 0 };
    let expression = parser.expression(0)?;
    match parser.tokens.get(parser.next) {
        None => Ok(Some(expression)),
        Some((at, token)) => Err(wrong(*at, format_args!("expected AND, OR or the end, found {}", show(token)))),
    }
}

fn show(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("{word:?}"),
        Token::Quoted(text) => format!("the text {text:?}"),
        Token::Operator(operator) => format!("{operator:?}"),
        Token::Open => "\"(\"".into(),
        Token::Close => "\")\"".into(),
        Token::Minus => "\"-\"".into(),
    }
}

fn scan(text: &str) -> Result<Vec<(usize, Token)>> {
    let letters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        let start = at;
        let following = letters.get(at + 1).copied();
        let token = match letter {
            _ if letter.is_whitespace() => {
                at += 1;
                continue;
            }
            '(' => Token::Open,
            ')' => Token::Close,
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
            '-' if !matches!(tokens.last(), Some((_, Token::Operator(_)))) => Token::Minus,
            '"' | '\'' => {
                let mut value = String::new();
                loop {
                    at += 1;
                    match letters.get(at) {
                        None => return Err(wrong(start, "the text in quotes does not end")),
                        Some(end) if *end == letter => break,
                        Some('\\') => {
                            at += 1;
                            value
                                .push(*letters.get(at).ok_or_else(|| wrong(start, "the text in quotes does not end"))?);
                        }
                        Some(other) => value.push(*other),
                    }
                }
                Token::Quoted(value)
            }
            _ if in_word(letter) => {
                while letters.get(at + 1).copied().is_some_and(in_word) {
                    at += 1;
                }
                Token::Word(letters[start..=at].iter().collect())
            }
            other => return Err(wrong(at, format_args!("{other:?} means nothing here; put texts in quotes"))),
        };
        tokens.push((start, token));
        at += 1;
    }
    Ok(tokens)
}

fn in_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '*' | '+' | '/' | '@')
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    restrictions: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(text)) if text == word);
        self.next += usize::from(found);
        found
    }

    fn expression(&mut self, depth: usize) -> Result<Expression> {
        let mut all = vec![self.sequence(depth)?];
        while self.word("AND") {
            all.push(self.sequence(depth)?);
        }
        Ok(one_or(all, Expression::And))
    }

    fn sequence(&mut self, depth: usize) -> Result<Expression> {
        let mut all = vec![self.term(depth)?];
        while self.word("OR") {
            all.push(self.term(depth)?);
        }
        Ok(one_or(all, Expression::Or))
    }

    fn term(&mut self, depth: usize) -> Result<Expression> {
        if depth > DEEPEST {
            return Err(wrong(self.at(), format_args!("nested more than {DEEPEST} levels deep")));
        }
        if self.word("NOT")
            || matches!(self.peek(), Some(Token::Minus)) && {
                self.next += 1;
                true
            }
        {
            return Ok(Expression::Not(Box::new(self.term(depth + 1)?)));
        }
        if matches!(self.peek(), Some(Token::Open)) {
            self.next += 1;
            let inner = self.expression(depth + 1)?;
            if !matches!(self.peek(), Some(Token::Close)) {
                return Err(wrong(self.at(), "expected \")\""));
            }
            self.next += 1;
            return Ok(inner);
        }
        self.restriction().map(Expression::Compare)
    }

    fn restriction(&mut self) -> Result<Restriction> {
        let at = self.at();
        self.restrictions += 1;
        if self.restrictions > MOST {
            return Err(wrong(at, format_args!("more than {MOST} comparisons")));
        }
        let Some(Token::Word(field)) = self.peek().cloned() else {
            return Err(wrong(at, "expected the name of a field"));
        };
        self.next += 1;
        let Some(Token::Operator(operator)) = self.peek().cloned() else {
            return Err(wrong(self.at(), "expected one of = != < <= > >= :"));
        };
        self.next += 1;
        let value_at = self.at();
        let (value, quoted) = match self.peek().cloned() {
            Some(Token::Word(word)) => (word, false),
            Some(Token::Quoted(text)) => (text, true),
            _ => return Err(wrong(value_at, "expected a value")),
        };
        self.next += 1;
        Ok(Restriction { at, field, operator, value, value_at, quoted })
    }
}

fn one_or(mut all: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        Some(last) => {
            all.push(last);
            many(all)
        }
        None => many(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn or_binds_tighter_than_and() {
        let Some(Expression::And(all)) = parse("a = 1 AND b = 2 OR c = 3").unwrap() else { panic!() };
        assert!(matches!(&all[..], [Expression::Compare(_), Expression::Or(_)]));
    }

    #[test]
    fn faults_point_at_their_character() {
        for (text, at) in [("a = ", 5), ("a 1", 3), ("(a = 1", 7), ("a = 1 b = 2", 7), ("a = \"x", 5), ("a = 1 ;", 7)] {
            let error = parse(text).unwrap_err();
            assert!(error.message().ends_with(&format!("at character {at}")), "{text}: {}", error.message());
        }
        assert!(parse(&"(".repeat(10_000)).is_err());
        assert!(parse(&"NOT ".repeat(10_000)).is_err());
    }
}
