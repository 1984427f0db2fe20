//! A request, put together as its [`Plan`] says, without knowing its type: protocol buffer messages merge when they stand behind
//! each other, so `wire = request id of the header ++ body ++ path ++ query`, later parts winning. Variables of the path that lie
//! in the body's own field are written into it, so that the field stands there once.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use gyre_model::catalog::catalog;
use gyre_model::error::Violation;
use gyre_model::{Error, Kind, parse_uuid, wire};
use gyre_proto::{FieldMask, Message as _};

use super::json::{JsonReader, Wrong, top_level_keys};
use super::plan::{BodyPlan, Plan, json_path};
use super::query::{parameters, undone};
use super::routes::Segments;
use super::value::Target;
use crate::metrics::Refused;
use crate::refusal::Refusal;

impl Plan {
    /// Puts the request together, as one gRPC frame.
    pub fn request(
        &self,
        segments: &Segments<'_>,
        query: Option<&str>,
        request_id: Option<&str>,
        body: &[u8],
    ) -> Result<Bytes, Refusal> {
        let mut out = BytesMut::with_capacity(wire::FRAME_HEAD + 2 * body.len() + 128);
        out.put_bytes(0, wire::FRAME_HEAD);
        if let (Some(number), Some(request_id)) = (self.method.request_id, request_id) {
            wire::put_bytes(&mut out, number, request_id.as_bytes());
        }
        match &self.body {
            BodyPlan::None | BodyPlan::Raw(_) => self.path(&mut out, segments, None)?,
            BodyPlan::Whole(reader) => {
                if !body.is_empty() {
                    let read = parse(reader, body)?;
                    self.no_contradiction(&read, segments, 0)?;
                    out.put_slice(&read);
                }
                self.path(&mut out, segments, None)?;
            }
            BodyPlan::Field { number, reader, .. } => {
                let read = if body.is_empty() { Bytes::new() } else { parse(reader, body)? };
                self.no_contradiction(&read, segments, 1)?;
                let mut inner = BytesMut::from(read.as_ref());
                self.path(&mut inner, segments, Some(*number))?;
                if !body.is_empty() || !inner.is_empty() {
                    wire::put_bytes(&mut out, *number, &inner);
                }
                self.path(&mut out, segments, None)?;
            }
        }
        let masked = self.query(&mut out, query.unwrap_or_default())?;
        if let (Some(number), false, BodyPlan::Field { message, .. }) = (self.mask, masked, &self.body) {
            self.mask(&mut out, number, message, body);
        }
        if let (Some(number), Some(header)) = (self.method.request_id, request_id)
            && let Some(own) = wire::string_at(&out[wire::FRAME_HEAD..], &[number])
            && own != header
        {
            return Err(two_request_ids(header, own));
        }
        let length = u32::try_from(out.len() - wire::FRAME_HEAD).unwrap_or(u32::MAX);
        out[1..wire::FRAME_HEAD].copy_from_slice(&length.to_be_bytes());
        Ok(out.freeze())
    }

    /// The fields of path and query alone, not framed: what goes into the first message of a raw body.
    pub fn head(
        &self,
        segments: &Segments<'_>,
        query: Option<&str>,
        request_id: Option<&str>,
    ) -> Result<Bytes, Refusal> {
        let mut framed = self.request(segments, query, request_id, &[])?;
        Ok(framed.split_off(wire::FRAME_HEAD.min(framed.len())))
    }

    /// Writes the variables of the path: those inside of a field, without its level, or those that are in no body field.
    fn path(&self, out: &mut BytesMut, segments: &Segments<'_>, inside: Option<u32>) -> Result<(), Refusal> {
        let body_field = match self.body {
            BodyPlan::Field { number, .. } => Some(number),
            _ => None,
        };
        for (range, target) in &self.variables {
            let own = body_field.filter(|number| target.is_within(&[*number]));
            if own != inside {
                continue;
            }
            let text =
                variable(segments, range).ok_or_else(|| invalid(target, "must be UTF-8 once %-signs are undone"))?;
            target.put(out, &text, usize::from(inside.is_some())).map_err(|must| invalid(target, &must))?;
        }
        Ok(())
    }

    /// Refuses a body that names another resource than the path.
    fn no_contradiction(&self, body: &[u8], segments: &Segments<'_>, skip: usize) -> Result<(), Refusal> {
        if body.is_empty() {
            return Ok(());
        }
        for (range, target) in &self.variables {
            let Some(said) = target.numbers.get(skip..).and_then(|numbers| wire::string_at(body, numbers)) else {
                continue;
            };
            let Some(text) = variable(segments, range) else { continue };
            let same = said == text || parse_uuid(said).is_some_and(|uuid| Some(uuid) == parse_uuid(&text));
            if !same {
                return Err(invalid(target, "is another one in the body than in the path"));
            }
        }
        Ok(())
    }

    /// Writes the query parameters, and answers whether they name a mask.
    fn query(&self, out: &mut BytesMut, query: &str) -> Result<bool, Refusal> {
        if query.is_empty() {
            return Ok(false);
        }
        let mut wrong: Vec<Violation> = Vec::new();
        let mut seen: u128 = 0;
        let mut masked = false;
        for parameter in parameters(query) {
            let (name, value) = match parameter {
                Ok(parameter) => parameter,
                Err(name) => {
                    wrong.push(violation(&name, "must be UTF-8 once %-signs are undone"));
                    continue;
                }
            };
            let Some(at) = self.names.get(name.as_ref()) else {
                wrong.push(violation(&name, &self.unknown(&name)));
                continue;
            };
            let target = &self.parameters[*at];
            if seen & (1 << at) != 0 && !target.repeated {
                wrong.push(violation(&name, "must stand there once"));
                continue;
            }
            seen |= 1 << at;
            masked |= self.mask.is_some_and(|number| target.numbers == [number]);
            if let Err(must) = target.put(out, &value, 0) {
                wrong.push(violation(&name, &must));
            }
        }
        if wrong.is_empty() {
            return Ok(masked);
        }
        Err(Refusal::counted(Refused::BadParameter, Error::invalid_fields(wrong)))
    }

    /// What to say of a parameter that does not exist.
    fn unknown(&self, name: &str) -> String {
        let known = || self.parameters.iter().map(|target| json_path(&target.path)).collect::<Vec<_>>();
        let in_body = match self.body {
            BodyPlan::Field { message, .. } => catalog().message(message),
            BodyPlan::Whole(_) => catalog().message(self.method.input),
            BodyPlan::None | BodyPlan::Raw(_) => None,
        };
        if in_body.is_some_and(|info| info.fields.iter().any(|field| field.name == name || field.json_name == name)) {
            return "belongs into the body".to_owned();
        }
        let known = known();
        let near = gyre_model::near::nearest(name, known.iter().map(String::as_str));
        match (near.is_empty(), known.is_empty()) {
            (false, _) => format!("is not known; perhaps {}", near.join(" or ")),
            (true, false) => format!("is not known; there are {}", known.join(", ")),
            (true, true) => "is not known; this call has no query parameters".to_owned(),
        }
    }

    /// Writes the mask that the keys of the body make: what Gyre sets itself, the generation that was seen and what the path
    /// says are no wishes for a change.
    fn mask(&self, out: &mut BytesMut, number: u32, message: &str, body: &[u8]) {
        let (Some(keys), Some(info)) = (top_level_keys(body), catalog().message(message)) else { return };
        let bound = |field: u32| self.variables.iter().any(|(_, target)| target.numbers.get(1) == Some(&field));
        let paths = keys
            .iter()
            .filter_map(|key| info.fields.iter().find(|field| field.json_name == key || field.name == key))
            .filter(|field| !field.rule.output_only && field.name != "generation" && !bound(field.number))
            .map(|field| field.name.to_owned())
            .collect();
        wire::put_bytes(out, number, &FieldMask { paths }.encode_to_vec());
    }
}

/// The text of a variable: its segments with %-signs undone.
fn variable<'a>(segments: &Segments<'a>, range: &Range<usize>) -> Option<Cow<'a, str>> {
    match segments.range(range.clone()) {
        [part] => undone(part, false),
        parts => parts
            .iter()
            .map(|part| undone(part, false))
            .collect::<Option<Vec<_>>>()
            .map(|parts| Cow::Owned(parts.join("/"))),
    }
}

/// A wish has one name.
fn two_request_ids(header: &str, own: &str) -> Refusal {
    let text =
        format!("the header x-request-id is {header:?} and requestId is {own:?}: send one of them, or the same twice");
    let error = Error::new(Kind::InvalidArgument, "TWO_REQUEST_IDS", text);
    Refusal::counted(
        Refused::BadParameter,
        error
            .violation("x-request-id", "must be the same as requestId where both are sent")
            .violation("requestId", "must be the same as the header x-request-id where both are sent"),
    )
}

fn violation(name: &str, description: &str) -> Violation {
    let field = if name.is_empty() { "?".to_owned() } else { name.chars().take(64).collect() };
    Violation { field, description: description.to_owned() }
}

fn invalid(target: &Target, description: &str) -> Refusal {
    Refusal::counted(Refused::BadParameter, Error::invalid(target.path.as_str(), description))
}

fn parse(reader: &JsonReader, body: &[u8]) -> Result<Bytes, Refusal> {
    reader.parse(body).map_err(|wrong| match wrong {
        Wrong::Deep(error) => Refusal::counted(Refused::TooDeep, error),
        Wrong::Json(error) => Refusal::counted(Refused::BadJson, error),
    })
}
