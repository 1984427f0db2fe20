//! Policies at the door: what identity says that binds a caller, and the questions that only the database can answer.
//!
//! Identity tells the policies together with whether an account may call, so that they are believed for as long ([`crate::auth`]).
//! [`gyre_model::policy`] has the theory. A question is a query in the caller's own name: a resource that it does not see is none of any
//! selection, so a refusal tells nothing of it. It is asked for calls that a policy with a filter concerns, and for no others. What
//! changes between the answer and the call is not seen: a tag that is put on meanwhile counts from the next call on.

use std::collections::BTreeSet;
use std::sync::Arc;

use gyre_model::catalog::MethodInfo;
use gyre_model::policy::{Rule, Rules, Selection};
use gyre_model::{Error, Kind, Uuid, catalog, parse_uuid, wire};
use gyre_proto::Message as _;
use gyre_proto::common::v1::{QueryRequest, QueryResponse};
use gyre_proto::identity::v1::{Policy, PolicyEffect};

use crate::auth::Known;
use crate::forward::{Along, Forward};
use crate::metrics::Refused;
use crate::refusal::Refusal;

const QUERY: &str = "/gyre.common.v1.QueryService/Query";

/// The rules that policies are; nothing where there are none.
pub fn rules(policies: Vec<Policy>) -> Option<Arc<Rules>> {
    Rules::new(policies.into_iter().map(rule).collect()).map(Arc::new)
}

fn rule(policy: Policy) -> Rule {
    // an effect of a later version may be anything: it denies
    let denies = policy.effect() != PolicyEffect::Allow;
    let uuid = |text: &str| parse_uuid(text).unwrap_or_default();
    Rule {
        policy: uuid(&policy.uuid),
        owner: uuid(&policy.account_uuid),
        of_key: !policy.api_key_uuid.is_empty(),
        denies,
        on: (!policy.filter.is_empty()).then_some(Selection { kind: policy.resource_kind, filter: policy.filter }),
        name: policy.name,
        actions: policy.actions,
    }
}

/// A refusal by a policy.
pub fn refusal(error: Error) -> Refusal {
    Refusal::counted(Refused::Permission, error)
}

/// Judges a call again, where something about its resource has to be asked. `frame` is its framed request.
///
/// # Errors
/// `POLICY_DENIED`; why a question could not be answered.
pub async fn settle(
    forward: &Forward,
    method: &'static MethodInfo,
    known: &Known,
    along: &Along,
    frame: &[u8],
) -> Result<(), Refusal> {
    let Some(rules) = &known.rules else { return Ok(()) };
    let questions = rules.judge(method).map_err(refusal)?;
    if questions.is_empty() {
        return Ok(());
    }
    let message = frame.get(wire::FRAME_HEAD..).unwrap_or_default();
    let named = method.target.and_then(|target| wire::string_at(message, target.path)).and_then(parse_uuid);
    let mut selected = BTreeSet::new();
    if let Some(uuid) = named {
        for question in questions {
            if is_one_of(forward, along, uuid, question).await? {
                selected.insert(question);
            }
        }
    }
    rules.settle(method, |selection| selected.contains(selection)).map_err(refusal)
}

/// Refuses a stream of requests that would have to be judged by what its first message says.
///
/// # Errors
/// `POLICY_DENIED`.
pub fn settle_stream(method: &'static MethodInfo, known: &Known) -> Result<(), Refusal> {
    let Some(rules) = &known.rules else { return Ok(()) };
    if rules.judge(method).map_err(refusal)?.is_empty() {
        return Ok(());
    }
    let text = format!("policies ask what {} is about, which a stream does not tell before: use HTTP", method.action);
    Err(refusal(Error::new(Kind::PermissionDenied, "POLICY_DENIED", text).with("action", method.action)))
}

/// Whether a resource is one of a selection, as far as the caller sees.
async fn is_one_of(forward: &Forward, along: &Along, uuid: Uuid, selection: &Selection) -> Result<bool, Refusal> {
    let query =
        catalog().method(QUERY).ok_or_else(|| Error::internal(format_args!("the descriptors have no {QUERY}")))?;
    let request = QueryRequest {
        kind: selection.kind.clone(),
        filter: format!("uuid = \"{uuid}\" AND ({})", selection.filter),
        fields: vec!["uuid".to_owned()],
        page_size: 1,
        ..QueryRequest::default()
    };
    let along = Along { from: None, callback: None, ..along.clone() };
    let answer = forward.unary(query, &along, wire::frame(&request.encode_to_vec())).await?;
    let answer = QueryResponse::decode(answer).map_err(Error::internal)?;
    Ok(!answer.rows.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_denies() {
        let policy = Policy { actions: vec!["vm:*".to_owned()], effect: 77, ..Policy::default() };
        let rule = rule(policy);
        assert!(rule.denies && rule.on.is_none() && !rule.of_key);
        assert_eq!(rules(Vec::new()), None);
    }
}
