//! One thing that can be done with a noun: a call, and what its request and answer look like.

use gyre_model::catalog::{FieldInfo, FieldType, HostedBy, MessageInfo, MethodInfo, catalog};

use super::Noun;

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
}

impl Verb {
    pub(super) fn of(noun: Noun, method: &'static MethodInfo) -> Option<Self> {
        let input = catalog().message(method.input)?;
        let body = input.fields.iter().find(|field| field.ty == FieldType::Message(noun.message.name));
        let shape = match (method.client_streaming, method.server_streaming, body) {
            (true, true, _) => return None,
            // Only a stream that is a file has a meaning on a command line.
            (true, false, _) => Shape::Upload(input.by_number(method.raw_body?)?),
            (false, true, _) => Shape::Stream,
            (false, false, Some(body)) if update_mask(input).is_some() => Shape::Update(body),
            (false, false, Some(body)) => Shape::Create(body),
            (false, false, None) if input.field("page_token").is_some() => Shape::List,
            (false, false, None) => Shape::Call,
        };
        Some(Self { name: name(noun, method), method, shape })
    }

    /// What its request holds.
    pub fn input(&self) -> Option<&'static MessageInfo> {
        catalog().message(self.method.input)
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

/// The field that names what an update changes.
pub fn update_mask(input: &MessageInfo) -> Option<&FieldInfo> {
    input.fields.iter().find(|field| field.ty == FieldType::Message("google.protobuf.FieldMask"))
}

/// "ReadVmConsole" of the noun "vm" is "read-console"; "ListL3Networks" of "l3-network" is "list".
fn name(noun: Noun, method: &MethodInfo) -> String {
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

fn kebab(pascal: &str) -> String {
    let mut text = String::new();
    for letter in pascal.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
