//! From words to a tree.

use gyre_model::Result;

use super::scan::{Operator, Text, Token, scan};
use super::wrong;

/// Most levels of parentheses and NOTs.
const DEEPEST: usize = 32;

/// A comparison.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(crate) struct Restriction {
    /// Where it begins.
    pub at: usize,
    /// The path of what is compared.
    pub path: String,
    /// How.
    pub operator: Operator,
    /// With what: one value, but for `IN`.
    pub values: Vec<Given>,
}

/// A value as it stands in the filter.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(crate) struct Given {
    /// Where it begins.
    pub at: usize,
    /// What it says.
    pub text: Text,
    /// Whether it stands in quotes.
    pub quoted: bool,
}

/// A filter.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(crate) enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Compare(Restriction),
}

impl Given {
    /// Whether it is the word for nothing.
    pub fn is_null(&self) -> bool {
        !self.quoted && self.text.text == "null"
    }
}

/// Reads a filter; nothing for an empty one.
pub(crate) fn parse(text: &str) -> Result<Option<Expression>> {
    let tokens = scan(text)?;
    if tokens.is_empty() {
        return Ok(None);
    }
    let mut parser = Parser { tokens, next: 0, end: text.chars().count() };
    let expression = parser.expression(0)?;
    match parser.tokens.get(parser.next) {
        None => Ok(Some(expression)),
        Some((at, token)) => Err(wrong(*at, format_args!("expected AND, OR or the end, found {}", token.show()))),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(text)) if text.text == word);
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
        if self.word("NOT") || self.take(&Token::Minus) {
            return Ok(Expression::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.take(&Token::Open) {
            let inner = self.expression(depth + 1)?;
            if !self.take(&Token::Close) {
                return Err(wrong(self.at(), "expected \")\""));
            }
            return Ok(inner);
        }
        self.restriction()
    }

    fn restriction(&mut self) -> Result<Expression> {
        let at = self.at();
        let path = match self.peek() {
            Some(Token::Word(path)) if !matches!(path.text.as_str(), "AND" | "OR" | "IN") => path.text.clone(),
            _ => return Err(wrong(at, "expected the name of a field")),
        };
        self.next += 1;
        let not = self.word("NOT");
        if self.word("IN") {
            let values = self.list()?;
            let compare = Expression::Compare(Restriction { at, path, operator: Operator::In, values });
            return Ok(if not { Expression::Not(Box::new(compare)) } else { compare });
        }
        let operator = match self.peek() {
            Some(Token::Operator(operator)) if !not => *operator,
            _ => return Err(wrong(self.at(), "expected one of = != < <= > >= : IN")),
        };
        self.next += 1;
        let values = vec![self.value()?];
        Ok(Expression::Compare(Restriction { at, path, operator, values }))
    }

    fn list(&mut self) -> Result<Vec<Given>> {
        if !self.take(&Token::Open) {
            return Err(wrong(self.at(), "expected \"(\" and the values of IN"));
        }
        let mut values = vec![self.value()?];
        while self.take(&Token::Comma) {
            values.push(self.value()?);
        }
        if self.take(&Token::Close) { Ok(values) } else { Err(wrong(self.at(), "expected \",\" or \")\"")) }
    }

    fn value(&mut self) -> Result<Given> {
        let at = self.at();
        let (text, quoted) = match self.peek() {
            Some(Token::Word(word)) => (word.clone(), false),
            Some(Token::Quoted(text)) => (text.clone(), true),
            _ => return Err(wrong(at, "expected a value")),
        };
        self.next += 1;
        Ok(Given { at, text, quoted })
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
        let Some(Expression::And(all)) = parse("a = 1 OR b = 2 AND c = 3").unwrap() else { panic!() };
        assert!(matches!(&all[..], [Expression::Or(_), Expression::Compare(_)]));
        let Some(Expression::Or(all)) = parse("(a = 1 AND b = 2) OR NOT c = 3").unwrap() else { panic!() };
        assert!(matches!(&all[..], [Expression::And(_), Expression::Not(_)]));
    }

    #[test]
    fn values_are_words_texts_and_lists() {
        let values = |text: &str| match parse(text).unwrap() {
            Some(Expression::Compare(restriction)) => {
                restriction.values.into_iter().map(|value| (value.text.text, value.text.stars)).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(values("a = 52:54:00:0a"), [("52:54:00:0a".to_owned(), vec![])]);
        assert_eq!(values("a > 2026-01-01T10:00:00Z"), [("2026-01-01T10:00:00Z".to_owned(), vec![])]);
        assert_eq!(values("a >= -7d"), [("-7d".to_owned(), vec![])]);
        assert_eq!(values(r#"a = "x*\*y""#), [("x**y".to_owned(), vec![1])]);
        assert_eq!(values("a IN (-1, b:c, 'd e')").len(), 3);
        assert!(matches!(parse("a NOT IN (1)").unwrap(), Some(Expression::Not(_))));
        assert!(matches!(parse("-a:b").unwrap(), Some(Expression::Not(_))));
    }

    #[test]
    fn faults_point_at_their_character() {
        for (text, at) in [
            ("a = ", 5),
            ("a 1", 3),
            ("(a = 1", 7),
            ("a = 1 b = 2", 7),
            ("a = \"x", 5),
            ("a = 1 ;", 7),
            ("a IN 1", 6),
            ("a IN (1 2)", 9),
            ("a IN ()", 7),
            ("a NOT = 1", 7),
            ("a = 1 AND", 10),
            ("AND a = 1", 1),
            ("a = \"\0\"", 6),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().ends_with(&format!("at character {at}")), "{text}: {}", error.message());
        }
        assert!(parse(&"(".repeat(10_000)).is_err());
        assert!(parse(&"NOT ".repeat(10_000)).is_err());
    }
}
