//! Policies: rows. Gateways go by them ([`gyre_model::policy`]); here is seen to it that each says something that can be gone by, and
//! binds nobody whom its owner has no right to bind.

use gyre_flow::{Delete, once};
use gyre_mesh::serve::caller;
use gyre_model::catalog::MethodInfo;
use gyre_model::error::Violation;
use gyre_model::near::nearest;
use gyre_model::policy::{MOST_OF_ONE, MOST_ON_ONE, Selection, actions, covers};
use gyre_model::{Caller, Error, Kind, Result, Uuid, catalog, parse_uuid};
use gyre_proto::common::v1::Operation;
use gyre_proto::identity::v1::policy_service_server::PolicyService;
use gyre_proto::identity::v1::{
    Account, AccountType, ApiKey, CreatePolicyRequest, DeletePolicyRequest, GetPolicyRequest, ListPoliciesRequest,
    ListPoliciesResponse, Policy, UpdatePolicyRequest,
};
use gyre_proto::{ListRequest, Resource as _};
use gyre_store::{Conn, Dialect};
use tonic::{Request, Response, Status};

use super::{Api, given, new_uuid, uuid};
use crate::store;

/// Refuses a pattern that covers no call that could be refused: it would say something and do nothing.
fn check_actions(patterns: &[String]) -> Result<()> {
    if patterns.is_empty() {
        return Err(Error::invalid("policy.actions", "must name calls, such as \"vm:StopVm\" or \"vm:*\""));
    }
    let known = |pattern: &str| actions().any(|method| covers(pattern, method.action));
    let wrong = patterns.iter().enumerate().filter(|(_, pattern)| !known(pattern));
    let violations: Vec<_> = wrong.map(|(at, pattern)| unknown_action(at, pattern)).collect();
    if violations.is_empty() { Ok(()) } else { Err(Error::invalid_fields(violations)) }
}

fn unknown_action(at: usize, pattern: &str) -> Violation {
    let mut near = nearest(pattern, actions().map(|method| method.action));
    if near.is_empty() {
        near = vec!["vm:StopVm", "vm:*"];
    }
    Violation {
        field: format!("policy.actions[{at}]"),
        description: format!(
            "must match the action of a call that needs a sign-in, with \"*\" for any text; {pattern:?} matches none: perhaps {} \
             (the reference manual has the action of each call)",
            near.join(" or ")
        ),
    }
}

/// Names the field of the policy that an error is about.
fn about_filter(error: &Error) -> Error {
    let texts = error.violations().iter().map(|violation| violation.description.clone());
    let violations: Vec<_> =
        texts.map(|description| Violation { field: "policy.filter".to_owned(), description }).collect();
    if violations.is_empty() {
        Error::invalid("policy.filter", error.message())
    } else {
        Error::invalid_fields(violations)
    }
}

/// Refuses a selection that could not be asked for, as it will be asked and by whom.
fn check_selection(dialect: Dialect, policy: &Policy, owner: &Caller) -> Result<()> {
    match (policy.resource_kind.as_str(), policy.filter.trim()) {
        ("", "") if policy.filter.is_empty() => return Ok(()),
        ("", _) => {
            let text = "must be given with `filter`: the kind that it is about, such as \"vm\"";
            return Err(Error::invalid("policy.resource_kind", text));
        }
        (_, "") => {
            let text = "must be given with `resource_kind`: which resources, such as tags:\"env=prod\"; without both, name the \
                        kind's calls in `actions`";
            return Err(Error::invalid("policy.filter", text));
        }
        _ => {}
    }
    let Some(kind) = catalog().kind(&policy.resource_kind).map(|kind| kind.kind) else {
        let mut known: Vec<_> = catalog().kinds().map(|kind| kind.kind).collect();
        known.sort_unstable();
        let text = format!("must be a kind of resource ({}), got {:?}", known.join(", "), policy.resource_kind);
        return Err(Error::invalid("policy.resource_kind", text));
    };
    let names_one = |method: &MethodInfo| method.target.is_some_and(|target| target.kind == kind);
    let acts_on = |pattern: &str| actions().any(|method| names_one(method) && covers(pattern, method.action));
    if let Some((at, pattern)) = policy.actions.iter().enumerate().find(|(_, pattern)| !acts_on(pattern)) {
        let text = format!(
            "must match a call that names a {kind} by its UUID, since the policy has a filter; {pattern:?} matches none: \
             make another policy for it"
        );
        return Err(Error::invalid(format!("policy.actions[{at}]"), text));
    }
    let check = |filter: &str| gyre_query::check(dialect, owner, kind, filter);
    check(&policy.filter).map_err(|error| about_filter(&error))?;
    check(&Selection::question(Uuid::nil(), &policy.filter)).map_err(|_| {
        let text = "must be a little shorter or less deep: it is asked together with the resource's UUID";
        Error::invalid("policy.filter", text)
    })
}

/// Refuses a policy that binds whom its owner may not bind, or who would be bound beyond help.
fn check_subject(conn: &mut Conn, caller: &Caller, policy: &Policy) -> Result<()> {
    let subject = uuid(Account::KIND, &policy.subject_uuid)?;
    let own = subject == caller.account_uuid;
    if !own && !caller.admin {
        let text = format!(
            "must be the own account ({}), or left out: only administrators bind others; got {subject}",
            caller.account_uuid
        );
        return Err(Error::invalid("policy.subject_uuid", text));
    }
    let account: Account = gyre_query::get(conn, caller, subject)?;
    let key = parse_uuid(&policy.api_key_uuid);
    if let Some(key) = key {
        let key: ApiKey = gyre_query::get(conn, caller, key)?;
        if key.account_uuid != account.uuid {
            let text = format!(
                "must be a key of the account in `subject_uuid`, {} ({}); {} is one of {}: name that account there",
                account.uuid, account.name, key.uuid, key.account_uuid
            );
            return Err(Error::invalid("policy.api_key_uuid", text));
        }
    } else if account.r#type() == AccountType::Admin {
        let text = format!(
            "must name a key of {} ({}): an administrator's account is bound by the policies of its keys only, or nobody might \
             be left to change them",
            account.uuid, account.name
        );
        return Err(Error::invalid("policy.api_key_uuid", text));
    }
    if store::policies_on(conn, subject, key, own)? >= MOST_ON_ONE {
        let text = format!(
            "an account, or a key, may be bound by {MOST_ON_ONE} policies of its own, and as many of administrators: put more \
             actions into one, or delete one"
        );
        return Err(Error::new(Kind::ResourceExhausted, "TOO_MANY_POLICIES", text));
    }
    if !caller.admin && store::policies_of(conn, caller.account_uuid)? >= MOST_OF_ONE {
        let text = format!("an account may own {MOST_OF_ONE} policies: delete those that nobody needs");
        return Err(Error::new(Kind::ResourceExhausted, "TOO_MANY_POLICIES", text));
    }
    Ok(())
}

/// In whose name gateways ask for a policy's resources.
fn owner_of(policy: &Policy, caller: &Caller) -> Caller {
    let owner = parse_uuid(&policy.account_uuid).unwrap_or_default();
    // only administrators bind others
    Caller::of(owner, policy.account_uuid != policy.subject_uuid || caller.admin && owner == caller.account_uuid)
}

#[tonic::async_trait]
impl PolicyService for Api {
    async fn create_policy(
        &self,
        request: Request<CreatePolicyRequest>,
    ) -> std::result::Result<Response<Policy>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut policy = given("policy", request.policy.clone())?;
        policy.uuid = new_uuid(&policy.uuid).to_string();
        policy.account_uuid = caller.account_uuid.to_string();
        if policy.subject_uuid.is_empty() {
            policy.subject_uuid.clone_from(&policy.account_uuid);
        }
        check_actions(&policy.actions)?;
        check_selection(self.inner.store.dialect(), &policy, &owner_of(&policy, &caller))?;
        let id = request.request_id.clone();
        let made = once(&self.inner.store, caller, "CreatePolicy", &id, &request, move |conn, change| {
            check_subject(conn, &caller, &policy)?;
            gyre_query::insert(conn, change, &policy)
        });
        Ok(Response::new(made.await?))
    }

    async fn get_policy(&self, request: Request<GetPolicyRequest>) -> std::result::Result<Response<Policy>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(Policy::KIND, &request.get_ref().uuid)?;
        let read = self.inner.store.read("policy-get", move |conn| gyre_query::get(conn, &caller, uuid));
        Ok(Response::new(read.await?))
    }

    async fn list_policies(
        &self,
        request: Request<ListPoliciesRequest>,
    ) -> std::result::Result<Response<ListPoliciesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read = self.inner.store.search("policy-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    async fn update_policy(
        &self,
        request: Request<UpdatePolicyRequest>,
    ) -> std::result::Result<Response<Policy>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = given("policy", request.policy.clone())?;
        let uuid = uuid(Policy::KIND, &patch.uuid)?;
        let (id, mask) = (request.request_id.clone(), request.update_mask.clone());
        let changed = once(&self.inner.store, caller, "UpdatePolicy", &id, &request, move |conn, change| {
            let current: Policy = gyre_query::get(conn, &caller, uuid)?;
            let policy = gyre_query::apply_mask(&current, &patch, mask.as_ref())?;
            check_actions(&policy.actions)?;
            check_selection(conn.dialect(), &policy, &owner_of(&policy, &caller))?;
            gyre_query::update_from(conn, change, &current, &policy)
        });
        Ok(Response::new(changed.await?))
    }

    async fn delete_policy(
        &self,
        request: Request<DeletePolicyRequest>,
    ) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-policy", request: &request, binned: false };
        Ok(Response::new(self.inner.flow.delete(delete, |_, _: &Policy| Ok(())).await?))
    }
}
