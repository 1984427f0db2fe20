//! Policies at the door: what identity says that binds a caller, and the questions that only the database can answer.
//!
//! Identity tells the policies together with whether an account or a key is good, so that they are believed for as long ([`crate::auth`]).
//! [`gyre_model::policy`] has the theory. Questions are asked where a policy with a filter concerns a call and nothing else decides, one after
//! the other until it is decided, each in the name of the policy's owner. Before, it is asked whether the caller sees the resource at all:
//! what it does not see is not judged but left to the service, which says that there is no such thing. What
//! changes between the answer and the call is not seen: a tag that is put on meanwhile counts from the next call on.

use std::sync::Arc;

use gyre_model::catalog::MethodInfo;
use gyre_model::policy::{Asks, Rule, Rules, Selection, Verdict, denied};
use gyre_model::{Caller, Error, Kind, Uuid, catalog, parse_uuid, wire};
use gyre_proto::Message as _;
use gyre_proto::common::v1::{QueryRequest, QueryResponse};
use gyre_proto::identity::v1::{Policy, PolicyEffect};

use crate::auth::Known;
use crate::forward::{Along, Forward};
use crate::metrics::Refused;
use crate::refusal::Refusal;

const QUERY: &str = "/gyre.common.v1.QueryService/Query";

/// The rules that policies are; nothing where there are none. Where they are the same as before, so are the rules, with all that was
/// worked out of them.
pub fn rules(policies: Vec<Policy>, before: Option<&Arc<Rules>>) -> Option<Arc<Rules>> {
    let version = |policy: &Policy| (parse_uuid(&policy.uuid).unwrap_or_default(), policy.generation);
    if let Some(before) = before.filter(|before| before.are(policies.iter().map(version))) {
        return Some(Arc::clone(before));
    }
    Rules::new(policies.into_iter().map(rule).collect()).map(Arc::new)
}

fn rule(policy: Policy) -> Rule {
    // an effect of a later version may be anything: it denies
    let denies = policy.effect() != PolicyEffect::Allow;
    let uuid = |text: &str| parse_uuid(text).unwrap_or_default();
    Rule {
        policy: uuid(&policy.uuid),
        generation: policy.generation,
        owner: uuid(&policy.account_uuid),
        of_key: !policy.api_key_uuid.is_empty(),
        denies,
        on: (!policy.filter.is_empty()).then_some(Selection { kind: policy.resource_kind, filter: policy.filter }),
        name: policy.name,
        actions: policy.actions,
    }
}

fn refused(error: Error) -> Refusal {
    Refusal::counted(Refused::Permission, error)
}

/// Refuses a call that policies refuse whatever it is about.
///
/// # Errors
/// `POLICY_DENIED`.
pub fn permit(method: &MethodInfo, known: &Known) -> Result<(), Refusal> {
    for rules in known.bound() {
        if let Verdict::Denied(error) = &*rules.judge(method) {
            return Err(refused(error.clone()));
        }
    }
    Ok(())
}

/// Whether what a call is about has to be known to judge it.
pub fn asks(method: &MethodInfo, known: &Known) -> bool {
    known.bound().any(|rules| matches!(&*rules.judge(method), Verdict::Asks(_)))
}

/// Judges a call whose message is there.
///
/// # Errors
/// `POLICY_DENIED`; why a question could not be answered.
pub async fn settle(
    forward: &Forward,
    method: &'static MethodInfo,
    known: &Known,
    along: &Along,
    message: &[u8],
) -> Result<(), Refusal> {
    permit(method, known)?;
    let mut seen = None;
    for rules in known.bound() {
        let Verdict::Asks(asks) = &*rules.judge(method) else { continue };
        let uuid = method.target.and_then(|target| wire::string_at(message, target.path)).and_then(parse_uuid);
        let Some(uuid) = uuid else {
            let text = "must be the UUID of what the call is about, which policies ask for";
            return Err(Error::invalid("uuid", text).into());
        };
        let asker = Asker { forward, method, caller: known.caller, along, uuid };
        let seen = match seen {
            Some(seen) => seen,
            None => *seen.insert(asker.sees().await?),
        };
        if seen {
            asker.settle(rules, asks).await?;
        }
    }
    Ok(())
}

/// Who asks about a resource.
struct Asker<'a> {
    forward: &'a Forward,
    method: &'static MethodInfo,
    caller: Caller,
    along: &'a Along,
    uuid: Uuid,
}

impl Asker<'_> {
    async fn settle(&self, rules: &Rules, asks: &Asks) -> Result<(), Refusal> {
        for rule in asks.none.iter().filter_map(|at| rules.rule(*at)) {
            if self.holds(rule).await? {
                return Err(refused(rule.denial(self.method)));
            }
        }
        'groups: for group in &asks.one {
            for rule in group.iter().filter_map(|at| rules.rule(*at)) {
                if self.holds(rule).await? {
                    continue 'groups;
                }
            }
            if let Some(rule) = group.first().and_then(|at| rules.rule(*at)) {
                return Err(refused(rule.omission(self.method)));
            }
        }
        Ok(())
    }

    /// Whether the caller sees the resource.
    async fn sees(&self) -> Result<bool, Error> {
        let kind = self.method.target.map_or("", |target| target.kind);
        self.ask(self.caller, kind, format!("uuid = \"{}\"", self.uuid)).await
    }

    /// Whether the resource is one of those that a rule is about.
    async fn holds(&self, rule: &Rule) -> Result<bool, Refusal> {
        let Some(on) = &rule.on else { return Ok(true) };
        // only administrators bind others
        let owner = if rule.owner == self.caller.account_uuid { self.caller } else { Caller::of(rule.owner, true) };
        let asked = self.ask(owner, &on.kind, Selection::question(self.uuid, &on.filter)).await;
        asked.map_err(|error| match error.kind() {
            Kind::InvalidArgument => {
                let text = format!("policy {:?} ({}) cannot be gone by: {}", rule.name, rule.policy, error.message());
                refused(denied(self.method, text).with("policy", rule.policy.to_string()))
            }
            _ => error.into(),
        })
    }

    /// Whether there is anything that a filter lets through.
    async fn ask(&self, caller: Caller, kind: &str, filter: String) -> Result<bool, Error> {
        let query =
            catalog().method(QUERY).ok_or_else(|| Error::internal(format_args!("the descriptors have no {QUERY}")))?;
        let request = QueryRequest {
            kind: kind.to_owned(),
            filter,
            fields: vec!["uuid".to_owned()],
            page_size: 1,
            ..QueryRequest::default()
        };
        let along = Along { caller: Some(caller), from: None, callback: None, ..self.along.clone() };
        let answer = self.forward.unary(query, &along, wire::frame(&request.encode_to_vec())).await?;
        let answer = QueryResponse::decode(answer).map_err(Error::internal)?;
        Ok(!answer.rows.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_denies() {
        let policy = Policy { actions: vec!["vm:*".to_owned()], effect: 77, ..Policy::default() };
        let rule = rule(policy);
        assert!(rule.denies && rule.on.is_none() && !rule.of_key);
        assert!(rules(Vec::new(), None).is_none());
    }

    #[test]
    fn what_has_not_changed_is_kept() {
        let policy = |generation| Policy { actions: vec!["vm:*".to_owned()], generation, ..Policy::default() };
        let first = rules(vec![policy(1)], None).unwrap();
        assert!(Arc::ptr_eq(&first, &rules(vec![policy(1)], Some(&first)).unwrap()));
        assert!(!Arc::ptr_eq(&first, &rules(vec![policy(2)], Some(&first)).unwrap()));
        assert!(rules(Vec::new(), Some(&first)).is_none());
    }
}
