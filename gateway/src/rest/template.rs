//! The path templates of `google.api.http`: "/v1/vms/{uuid}:stop", "/v1/{name=zones/*}".
//!
//! `Template = "/" Segments [ ":" Verb ]`, where a segment is a word, `*` (one segment), `**` (all that is left) or a variable
//! over some of these. See the comment of `google.api.HttpRule`.

use std::ops::Range;

/// One segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// This word.
    Word(String),
    /// Any one segment.
    One,
    /// All segments that are left.
    Rest,
}

/// A variable: the field that takes the segments in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The path of the field, such as "vm.uuid".
    pub field: String,
    /// Which segments it takes; the end of one that takes the rest is `usize::MAX`.
    pub segments: Range<usize>,
}

/// A template, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The segments in order.
    pub segments: Vec<Segment>,
    /// The variables in order.
    pub variables: Vec<Variable>,
    /// The verb after the last colon; empty where there is none.
    pub verb: String,
}

impl Template {
    /// Takes a template apart. The error tells what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('/').ok_or_else(|| format!("{text}: a path begins with /"))?;
        let (rest, verb) = match rest.rfind(':').filter(|colon| !rest[*colon..].contains(['}', '/'])) {
            Some(colon) => (&rest[..colon], &rest[colon + 1..]),
            None => (rest, ""),
        };
        let mut template = Self { segments: Vec::new(), variables: Vec::new(), verb: verb.to_owned() };
        let mut rest = rest;
        loop {
            if let Some(inner) = rest.strip_prefix('{') {
                let (inner, after) = inner.split_once('}').ok_or_else(|| format!("{text}: a brace is not closed"))?;
                let (field, pattern) = inner.split_once('=').unwrap_or((inner, "*"));
                let start = template.segments.len();
                for part in pattern.split('/') {
                    template.push(part, text)?;
                }
                let end = match template.segments.last() {
                    Some(Segment::Rest) => usize::MAX,
                    _ => template.segments.len(),
                };
                template.variables.push(Variable { field: field.to_owned(), segments: start..end });
                rest = after;
            } else {
                let end = rest.find('/').unwrap_or(rest.len());
                template.push(&rest[..end], text)?;
                rest = &rest[end..];
            }
            match rest.strip_prefix('/') {
                Some(after) => rest = after,
                None if rest.is_empty() => return Ok(template),
                None => return Err(format!("{text}: {rest} where / was expected")),
            }
        }
    }

    fn push(&mut self, part: &str, text: &str) -> Result<(), String> {
        if self.segments.last() == Some(&Segment::Rest) {
            return Err(format!("{text}: nothing can follow **"));
        }
        self.segments.push(match part {
            "" => return Err(format!("{text}: an empty segment")),
            "*" => Segment::One,
            "**" => Segment::Rest,
            word if word.contains(['{', '}', '*', '=', ':']) => return Err(format!("{text}: {word} is no segment")),
            word => Segment::Word(word.to_owned()),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Segment {
        Segment::Word(text.to_owned())
    }

    #[test]
    fn templates_are_taken_apart() {
        let stop = Template::parse("/v1/vms/{uuid}:stop").unwrap();
        assert_eq!(stop.segments, [word("v1"), word("vms"), Segment::One]);
        assert_eq!(stop.variables, [Variable { field: "uuid".into(), segments: 2..3 }]);
        assert_eq!(stop.verb, "stop");
        let nested = Template::parse("/v1/{name=zones/*/hosts/**}").unwrap();
        assert_eq!(nested.segments, [word("v1"), word("zones"), Segment::One, word("hosts"), Segment::Rest]);
        assert_eq!(nested.variables[0].segments, 1..usize::MAX);
        assert_eq!(Template::parse("/v1/vms/{vm.uuid}").unwrap().variables[0].field, "vm.uuid");
        assert_eq!(Template::parse("/v1/vms:import").unwrap().verb, "import");
    }

    #[test]
    fn broken_templates_say_what_is_wrong() {
        for broken in ["v1/vms", "/v1//vms", "/v1/{uuid", "/v1/{a=**}/b", "/v1/{a}b", "/v1/a*b", "/"] {
            assert!(Template::parse(broken).is_err(), "{broken}");
        }
    }
}
