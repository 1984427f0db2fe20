//! System tags: those to which Gyre gives a meaning. Which there are on a kind stands in its .proto (`ResourceRule.system_tags`); what a value
//! must be like is a rule, which the service that owns the kind registers under the name that stands there.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use gyre_model::catalog::{KindInfo, SystemTag, TagSetter};
use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_store::Conn;

use super::text::{self, SYSTEM, Text};

/// A tag that is about to be put on a resource.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Who puts it there.
    pub caller: &'a Caller,
    /// The kind of the resource.
    pub kind: &'static str,
    /// The resource.
    pub uuid: Uuid,
    /// Its encoded message, as it stands.
    pub message: &'a [u8],
    /// What stands after the "=".
    pub value: &'a str,
}

/// What a rule says of a value: nothing where it will do; or else what it must be, for people.
pub type Verdict = Result<Option<String>>;

/// A rule: it may read what it needs. It runs in the transaction that puts the tag there.
pub type Rule = fn(&mut Conn, &Case<'_>) -> Verdict;

static RULES: LazyLock<RwLock<HashMap<&'static str, Rule>>> = LazyLock::new(RwLock::default);

/// Registers the rules of a service, by the names that its .proto files use.
pub fn register(rules: &[(&'static str, Rule)]) {
    RULES.write().unwrap_or_else(PoisonError::into_inner).extend(rules.iter().copied());
}

/// Whether a rule of this name is registered in this process.
pub fn is_registered(name: &str) -> bool {
    RULES.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
}

/// The name of a pattern: what stands before the "=".
pub fn name(tag: &SystemTag) -> &str {
    tag.pattern.split_once('=').map_or(tag.pattern.as_str(), |(name, _)| name)
}

/// The value of a system tag among the tags of a resource: `value(&vm.tags, "hostname")`.
pub fn value<'a>(tags: &'a [String], name: &str) -> Option<&'a str> {
    values(tags, name).next()
}

/// The values of a system tag that a resource may have several of.
pub fn values<'a>(tags: &'a [String], name: &str) -> impl Iterator<Item = &'a str> {
    tags.iter().filter_map(move |tag| tag.strip_prefix(SYSTEM)?.strip_prefix(name)?.strip_prefix('='))
}

/// The declaration that a text follows.
///
/// # Errors
/// `UNKNOWN_SYSTEM_TAG`, with those that there are.
fn declared(kind: &'static KindInfo, text: &Text<'_>) -> Result<&'static SystemTag> {
    let key = text.key.strip_prefix(SYSTEM).unwrap_or_default();
    kind.system_tags
        .iter()
        .find(|tag| name(tag) == key && tag.pattern.contains('=') == text.text.contains('='))
        .ok_or_else(|| {
            let all: Vec<_> = kind.system_tags.iter().map(|tag| format!("{SYSTEM}{}", tag.pattern)).collect();
            let remedy = if all.is_empty() {
                format!("there are none on a {}: write a tag that does not begin with {SYSTEM:?}", kind.kind)
            } else {
                format!("on a {} there are {}", kind.kind, all.join(", "))
            };
            let fault = format!("{:?} is no system tag; {remedy}", text.text);
            Error::new(Kind::InvalidArgument, "UNKNOWN_SYSTEM_TAG", fault.clone()).violation(text::path(kind), fault)
        })
}

/// Whether a caller may put such a tag on or take it off.
pub(super) fn may_set(caller: &Caller, tag: &SystemTag) -> bool {
    match tag.set_by() {
        TagSetter::Owner | TagSetter::Unspecified => true,
        TagSetter::Admin => caller.admin,
        TagSetter::System => caller.admin && caller.account_uuid.is_nil(),
    }
}

fn refused(kind: &KindInfo, text: &Text<'_>, tag: &SystemTag) -> Error {
    let who = match tag.set_by() {
        TagSetter::System => "Gyre itself",
        _ => "administrators",
    };
    let fault = format!("{:?} on a {} is set by {who} only", text.text, kind.kind);
    Error::new(Kind::PermissionDenied, "SYSTEM_TAG_NOT_YOURS", fault)
}

/// Whether a tag that a resource has must stay, whatever list its caller sends: Gyre's, where that caller may not set it.
pub(super) fn stays(caller: &Caller, kind: &'static KindInfo, text: &str) -> bool {
    match Text::parse(text) {
        Ok(text) if text.is_system() => declared(kind, &text).is_ok_and(|tag| !may_set(caller, tag)),
        _ => false,
    }
}

/// Checks that a tag may be taken off.
///
/// # Errors
/// `SYSTEM_TAG_NOT_YOURS`.
pub(super) fn check_removal(caller: &Caller, kind: &'static KindInfo, text: &str) -> Result<()> {
    match Text::parse(text) {
        Ok(text) if text.is_system() => match declared(kind, &text) {
            Ok(tag) if !may_set(caller, tag) => Err(refused(kind, &text, tag)),
            // one that is not declared any more may always go
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Checks a system tag that is about to be put on a resource, which has these beside it.
///
/// # Errors
/// `UNKNOWN_SYSTEM_TAG`, `SYSTEM_TAG_NOT_YOURS`, `SYSTEM_TAG_AT_CREATION_ONLY`, `SYSTEM_TAG_TWICE`, and `INVALID_SYSTEM_TAG` with tag, value and
/// what the value must be.
pub(super) fn check<'a>(
    conn: &mut Conn,
    kind: &'static KindInfo,
    text: &Text<'a>,
    case: &Case<'_>,
    creating: bool,
    beside: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let tag = declared(kind, text)?;
    if !may_set(case.caller, tag) {
        return Err(refused(kind, text, tag));
    }
    if tag.at_creation && !creating {
        let fault = format!("{:?} has a meaning only when a {} is made: give it then", text.text, kind.kind);
        return Err(Error::new(Kind::FailedPrecondition, "SYSTEM_TAG_AT_CREATION_ONLY", fault));
    }
    let prefix = format!("{}=", text.key);
    if !tag.many
        && let Some(other) = beside.filter(|other| *other != text.text).find(|other| other.starts_with(&prefix))
    {
        let fault =
            format!("{} may stand on a {} once, and {other:?} stands there: take it off first", text.key, kind.kind);
        return Err(Error::new(Kind::FailedPrecondition, "SYSTEM_TAG_TWICE", fault));
    }
    let fault = match (tag.rule.as_str(), text.value) {
        (_, "") if tag.pattern.contains('=') => Some("must not be empty".to_owned()),
        ("", _) => None,
        (rule, _) => {
            let known = RULES.read().unwrap_or_else(PoisonError::into_inner).get(rule).copied();
            let rule = known.ok_or_else(|| Error::internal(format!("no service registered the rule {rule:?}")))?;
            rule(conn, &Case { value: text.value, ..*case })?
        }
    };
    match fault {
        None => Ok(()),
        Some(fault) => {
            let fault = format!("{}: {fault}, got {:?}", text.key, text.value);
            Err(Error::new(Kind::InvalidArgument, "INVALID_SYSTEM_TAG", fault.clone())
                .with("tag", text.text)
                .violation(text::path(kind), fault))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_says_who_may_set_a_tag() {
        let callers = [Caller::of(Uuid::new_v4(), false), Caller::of(Uuid::new_v4(), true), Caller::system()];
        for (setter, may) in [
            (TagSetter::Unspecified, [true, true, true]),
            (TagSetter::Owner, [true, true, true]),
            (TagSetter::Admin, [false, true, true]),
            (TagSetter::System, [false, false, true]),
        ] {
            let tag = SystemTag { pattern: "rack={rack}".to_owned(), set_by: setter.into(), ..SystemTag::default() };
            assert_eq!(callers.map(|caller| may_set(&caller, &tag)), may, "{setter:?}");
        }
    }
}
