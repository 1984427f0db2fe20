//! One thing that can be done with a noun: a call, and what its request and answer look like.

use gyre_model::catalog::{FieldInfo, FieldType, HostedBy, MessageInfo, MethodInfo, catalog};

use super::{Noun, route};

/// The full name of the message that answers calls which take work.
pub const OPERATION: &str = "gyre.common.v1.Operation";

/// A verb.
#[derive(Debug, Clone)]
pub struct Verb {
    /// Its name: the call's without the noun's, kebab case.
    pub name: String,
    /// The call.
    pub method: &'static MethodInfo,
    /// What its request looks like.
    pub shape: Shape,
}

/// What a request looks like.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// The new resource in this field.
    Create(&'static FieldInfo),
    /// New values in this field, and a mask.
    Update(&'static FieldInfo),
    /// Filter, order and page.
    List,
    /// Plain fields.
    Call,
    /// Plain fields, and a stream of answers.
    Stream,
    /// A stream of requests that carry a file in this field.
    Upload(&'static FieldInfo),
    /// A stream of requests, each a document, and perhaps a stream of answers.
    Feed,
}

impl Verb {
    /// The verb of a call, by this name.
    pub fn of(name: String, method: &'static MethodInfo) -> Self {
        Self { name, method, shape: shape(method) }
    }

    /// What its request holds.
    pub fn input(&self) -> Option<&'static MessageInfo> {
        catalog().message(self.method.input)
    }

    /// The resource that its request carries whole: what it makes, or what it changes.
    pub fn body(&self) -> Option<&'static MessageInfo> {
        match self.shape {
            Shape::Create(FieldInfo { ty: FieldType::Message(name), .. })
            | Shape::Update(FieldInfo { ty: FieldType::Message(name), .. }) => catalog().message(name),
            _ => None,
        }
    }

    /// Whether it changes something.
    pub fn changes(&self) -> bool {
        self.method.request_id.is_some()
            || self.method.client_streaming
            || route(self.method).is_some_and(|route| route.verb != "GET")
    }

    /// The field that asks for a rehearsal: the service says what the call would do, and does nothing.
    pub fn validate_only(&self) -> Option<&'static FieldInfo> {
        self.input()?.field("validate_only").filter(|field| field.ty == FieldType::Bool)
    }

    /// Whether it is answered by an operation that can be waited for.
    pub fn starts_operation(&self) -> bool {
        self.method.output == OPERATION
            && !self.method.server_streaming
            && !matches!(self.name.as_str(), "get" | "wait")
    }

    /// Whether it begins an operation, which a callback can be asked for.
    pub fn takes_callback(&self) -> bool {
        self.starts_operation() && matches!(self.method.host, HostedBy::Service(_))
    }
}

fn shape(method: &'static MethodInfo) -> Shape {
    let Some(input) = catalog().message(method.input) else { return Shape::Call };
    let resource = method.service.strip_suffix("Service").unwrap_or_default();
    let body = || {
        let carried = |name| name == resource && catalog().message(name).is_some_and(|message| message.kind.is_some());
        input.fields.iter().find(|field| matches!(field.ty, FieldType::Message(name) if carried(name)))
    };
    if method.client_streaming {
        let file = method.raw_body.filter(|_| !method.server_streaming).and_then(|number| input.by_number(number));
        return file.map_or(Shape::Feed, Shape::Upload);
    }
    if method.server_streaming {
        return Shape::Stream;
    }
    match body() {
        Some(body) if update_mask(input).is_some() => Shape::Update(body),
        Some(body) => Shape::Create(body),
        None if input.field("page_token").is_some() => Shape::List,
        None => Shape::Call,
    }
}

/// The field that names what an update changes.
pub fn update_mask(input: &MessageInfo) -> Option<&FieldInfo> {
    input.fields.iter().find(|field| field.ty == FieldType::Message("google.protobuf.FieldMask"))
}

/// "ReadVmConsole" of the noun "vm" is "read-console"; "ListL3Networks" of "l3-network" is "list".
pub(super) fn name(noun: Noun, method: &MethodInfo) -> String {
    let plural = pascal(noun.kind.plural);
    let rest = if method.name.ends_with(&plural) {
        method.name.replacen(&plural, "", 1)
    } else {
        method.name.replacen(noun.short(), "", 1)
    };
    kebab(&rest)
}

fn pascal(kebab: &str) -> String {
    kebab
        .split('-')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        })
        .collect()
}

pub(super) fn kebab(pascal: &str) -> String {
    let mut text = String::new();
    for letter in pascal.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
