//! How one call is reached over HTTP, planned at start: which path variables, query parameters and body become which bytes.
//!
//! Planning reads descriptors; [`super::request`] follows the plan without them.

use std::collections::HashMap;
use std::ops::Range;

use gyre_model::catalog::{FieldType, MethodInfo, catalog};
use gyre_model::{Error, Uuid, parse_uuid};
use gyre_proto::json::JsonCodec;
use http::Method;
use prost_reflect::MessageDescriptor;

use super::json::JsonReader;
use super::routes::Segments;
use super::template::Template;
use super::value::Target;

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
    /// The parameters by every way to spell them.
    pub(super) names: HashMap<String, usize>,
    /// The number of the field with the mask of fields, where the mask can be told from the body.
    pub(super) mask: Option<u32>,
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

    /// The resource that a path names, where it names one by its UUID.
    pub fn resource(&self, segments: &Segments<'_>) -> Option<Uuid> {
        let named = self.variables.iter().flat_map(|(range, _)| segments.range(range.clone()));
        named.copied().find_map(parse_uuid)
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
