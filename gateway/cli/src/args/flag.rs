//! One field of a request as a flag: its names, its help, and how its value is read.

use std::path::PathBuf;

use clap::builder::{PossibleValue, TypedValueParser as _};
use clap::{Arg, ArgAction, value_parser};
use gyre_model::catalog::{FieldInfo, FieldType, MessageInfo};
use prost_reflect::FieldDescriptor;

use super::globals::Globals;
use super::value::{Given, loose, parse};
use crate::nouns::{Noun, alias, kind_beside, noun as find_noun, says_kind};

/// Where the value stands on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Without a name: what the verb works on.
    Positional,
    /// `--name VALUE`
    Option,
    /// `--name-file PATH`, for what must not stand on a command line.
    Secret,
}

/// A field as a flag.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The argument's id, and the long name that help shows.
    pub name: String,
    /// Other long names.
    pub(super) aliases: Vec<String>,
    /// The field of the request that holds the resource, where the flag is one of the resource's.
    pub outer: Option<&'static FieldInfo>,
    /// The field.
    pub field: &'static FieldInfo,
    descriptor: FieldDescriptor,
    /// The kind of resource that it names, empty where it names none.
    pub(super) refers_to: &'static str,
    /// The field that says of which kind the resource is that it names, where the .proto file does not.
    pub kind: Option<&'static FieldInfo>,
    /// Whether it says of which kind another names one.
    pub says_kind: bool,
    /// Where it stands.
    pub place: Place,
    /// Whether a command cannot do without it.
    pub required: bool,
}

impl Flag {
    pub(super) fn new(field: &'static FieldInfo, descriptor: FieldDescriptor, message: &'static MessageInfo) -> Self {
        let full = field.name.replace('_', "-");
        let short = ["_uuids", "_uuid", "_bytes"]
            .iter()
            .find_map(|suffix| field.name.strip_suffix(suffix))
            .filter(|short| !short.is_empty() && message.field(short).is_none())
            .map(|short| short.replace('_', "-"))
            .filter(|short| !Globals::takes(short));
        let mut aliases = Vec::new();
        let mut name = match short {
            Some(short) => {
                aliases.push(full);
                short
            }
            None => full,
        };
        if let Some(alias) = alias(&field.rule.refers_to)
            && name == field.rule.refers_to
        {
            aliases.insert(0, alias.to_owned());
        }
        // what a list calls so
        if field.name == "fields" {
            aliases.push("columns".to_owned());
        }
        let place = if field.rule.secret { Place::Secret } else { Place::Option };
        if place == Place::Secret {
            name.push_str("-file");
            aliases.clear();
        }
        if Globals::takes(&name) {
            let last = message.name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
            name = format!("{last}-{name}");
        }
        Self {
            name,
            aliases,
            outer: None,
            field,
            descriptor,
            refers_to: &field.rule.refers_to,
            kind: kind_beside(message, field),
            says_kind: says_kind(message, field),
            place,
            required: false,
        }
    }

    /// What the value is called in usage lines: "IMAGE", "SIZE".
    pub fn value_name(&self) -> String {
        let field = self.field;
        if !self.refers_to.is_empty() {
            return self.refers_to.to_ascii_uppercase();
        }
        match field.ty {
            FieldType::Int | FieldType::Uint if field.name.ends_with("_bytes") => "SIZE".to_owned(),
            FieldType::Int | FieldType::Uint | FieldType::Float => "N".to_owned(),
            FieldType::Time => "TIME".to_owned(),
            FieldType::Duration => "DURATION".to_owned(),
            FieldType::Map => "KEY=VALUE".to_owned(),
            FieldType::Message(_) => "JSON".to_owned(),
            _ => self.name.to_ascii_uppercase(),
        }
    }

    fn help(&self) -> String {
        let mut help = super::sentence(self.field.doc);
        // A note goes on with the sentence, or stands as one after several.
        let mut note = |text: &str| {
            if help.ends_with('.') {
                help.push_str(&format!(" {}{}.", text[..1].to_ascii_uppercase(), &text[1..]));
            } else {
                help.push_str(&format!("; {text}"));
            }
        };
        let rule = &self.field.rule;
        if find_noun(self.refers_to).is_some_and(Noun::has_name) {
            note("a UUID, or a name that only one has");
        }
        if self.kind.is_some() {
            note("a UUID, or a name that only one of its kind has");
        }
        if rule.secret {
            note("read from this file up to the first line break, - reads standard input");
        }
        if self.field.ty == FieldType::Time {
            note("RFC 3339, or from now: +90d");
        }
        if self.field.ty == FieldType::Bytes {
            note("@PATH reads a file");
        }
        if self.field.repeated {
            note("several with commas between, or the flag again");
        }
        if self.required && self.place != Place::Positional {
            help.push_str(" [required]");
        }
        help
    }

    /// The flag for clap.
    pub fn arg(&self) -> Arg {
        let mut arg =
            Arg::new(self.name.clone()).value_name(self.value_name()).help(self.help()).required(self.required);
        match self.place {
            Place::Positional => {}
            Place::Option | Place::Secret => {
                arg = arg.long(self.name.clone());
                for alias in &self.aliases {
                    arg = arg.visible_alias(alias.clone());
                }
            }
        }
        if self.place == Place::Secret {
            return arg.value_parser(value_parser!(PathBuf));
        }
        if self.field.name == "request_id" {
            arg = arg.help("Names this wish: the same id again answers what the first call did [default: a new one]");
        }
        if self.field.repeated {
            arg = arg.value_delimiter(',').action(ArgAction::Append);
        } else if self.field.ty == FieldType::Map {
            arg = arg.action(ArgAction::Append);
        }
        match self.field.ty {
            FieldType::Bool => {
                arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false");
            }
            FieldType::Enum(_) => {
                let names = self.field.values.iter().map(|(.., short)| *short).filter(|short| *short != "UNSPECIFIED");
                let values: Vec<_> = names
                    .map(|short| {
                        let name = short.to_ascii_lowercase();
                        PossibleValue::new(name.replace('_', "-")).alias(name)
                    })
                    .collect();
                let field = self.field;
                let descriptor = self.descriptor.clone();
                return arg.ignore_case(true).value_parser(
                    clap::builder::PossibleValuesParser::new(values)
                        .try_map(move |text| parse(field, &descriptor, "", &text).map_err(Wrong)),
                );
            }
            _ => {}
        }
        if find_noun(self.refers_to).is_some_and(|noun| noun.list().is_some()) {
            arg = arg.add(crate::complete::resources(self.refers_to));
        }
        if self.says_kind || (self.place == Place::Positional && self.field.name == "kind") {
            arg = arg.add(crate::complete::words(gyre_model::catalog().kinds().map(|kind| kind.kind).collect()));
        }
        let field = self.field;
        let (descriptor, refers_to) = (self.descriptor.clone(), self.refers_to);
        if field.ty == FieldType::Text && refers_to.is_empty() && self.place == Place::Option {
            return arg
                .allow_hyphen_values(true)
                .value_parser(move |text: &str| parse(field, &descriptor, "", &loose(text)?));
        }
        arg.allow_negative_numbers(matches!(field.ty, FieldType::Int | FieldType::Float))
            .value_parser(move |text: &str| parse(field, &descriptor, refers_to, text))
    }

    /// The values given, none where the flag is not there. Secrets are read from their files here.
    ///
    /// # Errors
    /// When a secret's file cannot be read.
    pub fn given(&self, matches: &clap::ArgMatches) -> std::io::Result<Option<Vec<Given>>> {
        if self.place == Place::Secret {
            let Some(path) = matches.get_one::<PathBuf>(&self.name) else { return Ok(None) };
            let secret = crate::client::first_line(path)?;
            return Ok(Some(vec![Given::Value(prost_reflect::Value::String(secret))]));
        }
        Ok(matches.get_many::<Given>(&self.name).map(|values| values.cloned().collect()))
    }

    /// The path of the field in the request, as violations name it.
    pub fn path(&self) -> String {
        match self.outer {
            Some(outer) => format!("{}.{}", outer.name, self.field.name),
            None => self.field.name.to_owned(),
        }
    }

    /// How people know it: `--image`, or `VM` for a positional one.
    pub fn shown(&self) -> String {
        match self.place {
            Place::Positional => self.value_name(),
            _ => format!("--{}", self.name),
        }
    }

    /// The field's descriptor.
    pub fn descriptor(&self) -> &FieldDescriptor {
        &self.descriptor
    }
}

/// Why a value was refused, as an error for clap.
#[derive(Debug)]
struct Wrong(String);
impl std::fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}
impl std::error::Error for Wrong {}
