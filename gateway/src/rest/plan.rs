//! How one call is reached over HTTP, planned at start: which path variables, query parameters and body become which bytes.
//!
//! A request is put together without knowing its type: protocol buffer messages merge when they stand behind each other, so
//! `wire = request id of the header ++ body ++ path ++ query`, later parts winning. Variables of the path that lie in the body's
//! own field are written into it, so that the field stands there once.

use std::collections::HashMap;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use gyre_model::catalog::{FieldType, MethodInfo, catalog};
use gyre_model::error::Violation;
use gyre_model::{Error, parse_uuid, wire};
use gyre_proto::json::JsonCodec;
use gyre_proto::{FieldMask, Message as _};
use http::Method;
use prost_reflect::MessageDescriptor;

use super::json::{JsonReader, Wrong, top_level_keys};
use super::query::{nearest, parameters, undone};
use super::routes::Segments;
use super::template::Template;
use super::value::Target;
use crate::metrics::Refused;
use crate::refusal::Refusal;

/// The message that long work answers with.
pub const OPERATION: &str = "gyre.common.v1.Operation";
/// Deepest level of a field that a query parameter reaches: "a.b.c".
const DEEPEST_PARAMETER: usize = 3;
/// Most parameters that one call can have (they are kept track of in the bits of a number).
const MOST_PARAMETERS: usize = 128;

/// What the body of a call is.
#[derive(Debug, Clone, Copy)]
pub enum BodyPlan {
    /// There is none.
    None,
    /// The whole request, as JSON.
    Whole(JsonReader),
    /// One field of the request, as JSON.
    Field {
        /// Its number.
        number: u32,
        /// The full name of its message.
        message: &'static str,
        /// Reads it.
        reader: JsonReader,
    },
    /// Bytes, cut into messages with this field.
    Raw(u32),
}

/// One way to make one call over HTTP.
pub struct Plan {
    /// The call.
    pub method: &'static MethodInfo,
    /// The HTTP method.
    pub http: Method,
    /// The template of its path.
    pub template: String,
    /// What its body is.
    pub body: BodyPlan,
    /// The variables of the path, and the segments that each takes.
    pub variables: Vec<(Range<usize>, Target)>,
    /// The query parameters.
    pub parameters: Vec<Target>,
    names: HashMap<String, usize>,
    /// The number of the field with the mask of fields, where the mask can be told from the body.
    mask: Option<u32>,
    print: &'static JsonCodec,
    /// Whether it answers with an operation.
    pub operation: bool,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Plan").field(&self.http).field(&self.template).field(&self.method.path).finish()
    }
}

/// Says `lowerCamelCase` for a path of names.
pub fn json_path(path: &str) -> String {
    let mut camel = String::with_capacity(path.len());
    let mut upper = false;
    for letter in path.chars() {
        if letter == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            camel.push(letter.to_ascii_uppercase());
        } else {
            camel.push(letter);
        }
    }
    camel
}

impl Plan {
    /// Plans one binding of a call. The error tells why the descriptors do not allow it.
    pub fn new(method: &'static MethodInfo, http: Method, path: &str, body: &str) -> Result<(Self, Template), String> {
        let fault = |what: String| format!("{} {path}: {what}", method.path);
        let template = Template::parse(path).map_err(fault)?;
        let input = method.descriptor.input();
        let body = body_plan(method, &input, body).map_err(fault)?;
        let mut variables = Vec::new();
        for variable in &template.variables {
            let target = Target::plan(&input, &variable.field).map_err(fault)?;
            if target.repeated {
                return Err(fault(format!("{} is a list", variable.field)));
            }
            variables.push((variable.segments.clone(), target));
        }
        let mut parameters = Vec::new();
        let mut names = HashMap::new();
        let mut found = Vec::new();
        reachable(&input, "", 1, &[], &mut found);
        for (path, spellings) in found {
            let Ok(target) = Target::plan(&input, &path) else { continue };
            let in_path = variables.iter().any(|(_, variable)| variable.numbers == target.numbers);
            let elsewhere = match body {
                BodyPlan::None => false,
                BodyPlan::Whole(_) => method.request_id.is_none_or(|number| target.numbers != [number]),
                BodyPlan::Field { number, .. } | BodyPlan::Raw(number) => target.is_within(&[number]),
            };
            if in_path || elsewhere {
                continue;
            }
            for spelling in spellings {
                names.insert(spelling, parameters.len());
            }
            parameters.push(target);
        }
        if parameters.len() > MOST_PARAMETERS {
            return Err(fault("too many query parameters".to_owned()));
        }
        let mask = matches!(body, BodyPlan::Field { .. })
            .then(|| parameters.iter().find(|target| target.is_mask() && target.numbers.len() == 1))
            .flatten()
            .map(|target| target.numbers[0]);
        let print = JsonCodec::by_name(method.output).ok_or_else(|| fault(format!("no codec of {}", method.output)))?;
        let operation = method.output == OPERATION && !method.server_streaming;
        let plan = Self {
            method,
            http,
            template: path.to_owned(),
            body,
            variables,
            parameters,
            names,
            mask,
            print,
            operation,
        };
        Ok((plan, template))
    }

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
        let near = nearest(name, known.iter().map(String::as_str));
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

    /// What prints response messages.
    pub fn printer(&self) -> &'static JsonCodec {
        self.print
    }

    /// Appends the JSON of a response message.
    pub fn print(&self, message: &[u8], json: &mut Vec<u8>) -> Result<(), Error> {
        (self.print.print)(message, json).map_err(Error::internal)
    }
}

/// The text of a variable: its segments with %-signs undone.
fn variable<'a>(segments: &Segments<'a>, range: &Range<usize>) -> Option<std::borrow::Cow<'a, str>> {
    match segments.range(range.clone()) {
        [part] => undone(part, false),
        parts => parts
            .iter()
            .map(|part| undone(part, false))
            .collect::<Option<Vec<_>>>()
            .map(|parts| std::borrow::Cow::Owned(parts.join("/"))),
    }
}

fn violation(name: &str, description: &str) -> Violation {
    Violation { field: name.chars().take(64).collect(), description: description.to_owned() }
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

fn body_plan(method: &'static MethodInfo, input: &MessageDescriptor, body: &str) -> Result<BodyPlan, String> {
    if let Some(number) = method.raw_body {
        return if body == "*" { Ok(BodyPlan::Raw(number)) } else { Err("a raw body must be \"*\"".to_owned()) };
    }
    if method.client_streaming {
        return Err("a stream of requests needs a raw body".to_owned());
    }
    let reader = |message, prefix| JsonReader::new(message, prefix).ok_or_else(|| format!("no codec of {message}"));
    match body {
        "" => Ok(BodyPlan::None),
        "*" => Ok(BodyPlan::Whole(reader(method.input, "")?)),
        name => {
            let field = catalog()
                .message(input.full_name())
                .and_then(|info| info.field(name))
                .ok_or_else(|| format!("no field {name}"))?;
            match field.ty {
                FieldType::Message(message) if !field.repeated => {
                    // Names of the catalog live as long as the process; so does this one, made once a route.
                    let prefix: &'static str = Box::leak(format!("{name}.").into_boxed_str());
                    Ok(BodyPlan::Field { number: field.number, message, reader: reader(message, prefix)? })
                }
                _ => Err(format!("the body field {name} is no message")),
            }
        }
    }
}

/// The paths of all fields that a parameter can name, with every way to spell each.
fn reachable(
    message: &MessageDescriptor,
    prefix: &str,
    depth: usize,
    spellings: &[String],
    found: &mut Vec<(String, Vec<String>)>,
) {
    let Some(info) = catalog().message(message.full_name()) else { return };
    for field in info.fields.iter().filter(|field| !field.rule.secret && !field.rule.output_only) {
        let path = format!("{prefix}{}", field.name);
        let mut here: Vec<String> = Vec::new();
        for name in [field.json_name, field.name] {
            if spellings.is_empty() {
                here.push(name.to_owned());
            }
            here.extend(spellings.iter().map(|before| format!("{before}.{name}")));
        }
        here.dedup();
        match field.ty {
            FieldType::Message(inner) if inner != "google.protobuf.FieldMask" => {
                if let Some(inner) = catalog().pool().get_message_by_name(inner)
                    && !field.repeated
                    && depth < DEEPEST_PARAMETER
                {
                    reachable(&inner, &format!("{path}."), depth + 1, &here, found);
                }
            }
            FieldType::Map => {}
            _ => found.push((path, here)),
        }
    }
}
