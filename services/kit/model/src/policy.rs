//! Policies: which calls an account, or one of its API keys, may make.
//!
//! # Theory
//! 1. A rule *concerns* a call when one of its patterns matches the call's action and, where the rule is about some resources, when the call
//!    names one of that kind by its UUID ([`crate::catalog::Target`]). Whether that resource is one of them is a *question*, which only the
//!    database can answer, and in whose eyes it is asked is the owner's of the rule: what a filter goes through may be hidden from whom it binds.
//! 2. What a DENY concerns is refused, whatever else there is.
//! 3. Rules of one owner for the same subject (the account, or the key) are a *group*. In every group that has an ALLOW, one must concern the call.
//!    That groups are looked at one by one is what keeps a rule from widening another's: what an account allows itself or its key adds
//!    nothing to what an administrator allows the account, but is cut out of it. So the rules of a key and those of its account may
//!    also be judged apart, one after the other.
//! 4. Who is bound by rules of its own key must not get rid of them: such a key changes nothing of accounts, keys, sessions and policies
//!    ([`is_for_sign_ins`]). An account that binds itself only guards against slips, since it may change that; what an
//!    administrator binds it with belongs to the administrator, and is not even seen by it.
//!
//! Gateways judge, since every call passes one, and know by then what it is about. What services ask each other on behalf of a call was
//! judged with it. What rules say of a call is worked out once for all of its kind ([`Rules::judge`]), and then is a look-up; how
//! many rules and patterns there are is bounded where they are made.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use uuid::Uuid;

use crate::catalog::{Access, MethodInfo, catalog};
use crate::error::{Error, Kind};

/// Most policies of one group of owners (the account itself, or administrators) that bind an account, or a key.
pub const MOST_ON_ONE: usize = 20;
/// Most policies that an account owns, unless it is an administrator's.
pub const MOST_OF_ONE: usize = 500;

/// Services whose changes are for those who signed in with a password.
const FOR_SIGN_INS: [&str; 4] = [
    "gyre.identity.v1.AccountService",
    "gyre.identity.v1.ApiKeyService",
    "gyre.identity.v1.PolicyService",
    "gyre.identity.v1.SessionService",
];

/// Whether a key with rules of its own may not make this call, whatever allows it.
fn is_for_sign_ins(method: &MethodInfo) -> bool {
    method.request_id.is_some() && FOR_SIGN_INS.contains(&method.service)
}

/// Some resources of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The kind.
    pub kind: String,
    /// Which ones: a filter of its lists.
    pub filter: String,
}

impl Selection {
    /// The filter that asks whether a resource is one of them.
    pub fn question(uuid: Uuid, filter: &str) -> String {
        format!("uuid = \"{uuid}\" AND ({filter})")
    }
}

/// What a policy says of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The policy.
    pub policy: Uuid,
    /// Its generation.
    pub generation: i64,
    /// Its name.
    pub name: String,
    /// The account that made it.
    pub owner: Uuid,
    /// Whether it is about calls with one API key, and not about all of the account's.
    pub of_key: bool,
    /// Whether it denies.
    pub denies: bool,
    /// The patterns of actions.
    pub actions: Vec<String>,
    /// The resources that it is about, where it is about some.
    pub on: Option<Selection>,
}

impl Rule {
    fn concerns(&self, method: &MethodInfo) -> bool {
        let named = self.on.as_ref().is_none_or(|on| method.target.is_some_and(|target| target.kind == on.kind));
        named && self.actions.iter().any(|pattern| covers(pattern, method.action))
    }

    /// The refusal of a call that it denies.
    pub fn denial(&self, method: &MethodInfo) -> Error {
        let text = format!("policy {:?} ({}) denies {}", self.name, self.policy, method.action);
        denied(method, text).with("policy", self.policy.to_string())
    }

    /// The refusal of a call that neither it nor another of its group allows.
    pub fn omission(&self, method: &MethodInfo) -> Error {
        let whom = if self.of_key { "this API key" } else { "this account" };
        let text = format!(
            "policies say what {whom} may do (one is {:?}, {}), and none of them allows {} here",
            self.name, self.policy, method.action
        );
        denied(method, text).with("policy", self.policy.to_string())
    }
}

/// What rules say of a call.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It may be made.
    Allowed,
    /// It may not.
    Denied(Error),
    /// It depends on what it is about.
    Asks(Asks),
}

/// What has to be asked about the resource that a call names: the places of rules that have a question.
#[derive(Debug, Clone, Default)]
pub struct Asks {
    /// None of these may hold.
    pub none: Vec<usize>,
    /// Of each of these one must hold.
    pub one: Vec<Vec<usize>>,
}

/// The rules that bind an account, or a key.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    /// What was worked out already, by the call's path.
    verdicts: RwLock<HashMap<&'static str, Arc<Verdict>>>,
}

impl Rules {
    /// These; nothing where there are none.
    pub fn new(mut rules: Vec<Rule>) -> Option<Self> {
        // so that a refusal names the same one each time
        rules.sort_by_key(|rule| rule.policy);
        (!rules.is_empty()).then(|| Self { rules, verdicts: RwLock::default() })
    }

    /// Whether they are these very versions of policies.
    pub fn are(&self, versions: impl IntoIterator<Item = (Uuid, i64)>) -> bool {
        let mut versions: Vec<_> = versions.into_iter().collect();
        versions.sort_unstable();
        versions.into_iter().eq(self.rules.iter().map(|rule| (rule.policy, rule.generation)))
    }

    /// The rule at a place that [`Asks`] names.
    pub fn rule(&self, at: usize) -> Option<&Rule> {
        self.rules.get(at)
    }

    /// What they say of a call.
    pub fn judge(&self, method: &MethodInfo) -> Arc<Verdict> {
        if let Some(known) = self.verdicts.read().get(method.path) {
            return Arc::clone(known);
        }
        let verdict = Arc::new(self.decide(method));
        self.verdicts.write().insert(method.path, Arc::clone(&verdict));
        verdict
    }

    fn decide(&self, method: &MethodInfo) -> Verdict {
        if self.rules.iter().any(|rule| rule.of_key) && is_for_sign_ins(method) {
            let text = format!(
                "an API key that policies bind may not call {}, which could rid it of them: sign in with the password for that",
                method.action
            );
            return Verdict::Denied(denied(method, text));
        }
        let mut asks = Asks::default();
        // of each group that allows anything: whether it allows this, one of its policies, and those that have to be asked
        let mut groups: BTreeMap<(Uuid, bool), (bool, &Rule, Vec<usize>)> = BTreeMap::new();
        for (at, rule) in self.rules.iter().enumerate() {
            let concerns = rule.concerns(method);
            if rule.denies {
                match (concerns, &rule.on) {
                    (true, None) => return Verdict::Denied(rule.denial(method)),
                    (true, Some(_)) => asks.none.push(at),
                    (false, _) => {}
                }
                continue;
            }
            let group = groups.entry((rule.owner, rule.of_key)).or_insert((false, rule, Vec::new()));
            match (concerns, &rule.on) {
                (true, None) => group.0 = true,
                (true, Some(_)) => group.2.push(at),
                (false, _) => {}
            }
        }
        for (allows, one, asked) in groups.into_values() {
            if allows {
                continue;
            }
            if asked.is_empty() {
                return Verdict::Denied(one.omission(method));
            }
            asks.one.push(asked);
        }
        if asks.none.is_empty() && asks.one.is_empty() { Verdict::Allowed } else { Verdict::Asks(asks) }
    }
}

/// The refusal of a call by policies.
pub fn denied(method: &MethodInfo, text: String) -> Error {
    Error::new(Kind::PermissionDenied, "POLICY_DENIED", text).with("action", method.action)
}

/// Whether a pattern, in which `*` stands for any text, covers an action.
pub fn covers(pattern: &str, action: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| action.strip_prefix(first)) else { return false };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else { return rest.is_empty() };
    for part in parts {
        // the last part is looked for at the end
        if let Some(at) = rest.find(part) {
            rest = &rest[at + part.len()..];
        } else {
            return false;
        }
    }
    action.ends_with(last)
}

/// The actions that policies can be about: of all calls but those that anybody may make and those between members.
pub fn actions() -> impl Iterator<Item = &'static MethodInfo> {
    catalog().methods().filter(|method| !matches!(method.access, Access::Internal | Access::Public))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(owner: u128, denies: bool, actions: &[&str]) -> Rule {
        Rule {
            policy: Uuid::from_u128(owner * 100 + u128::from(denies)),
            generation: 1,
            name: "rule".to_owned(),
            owner: Uuid::from_u128(owner),
            of_key: false,
            denies,
            actions: actions.iter().map(ToString::to_string).collect(),
            on: None,
        }
    }

    fn on(rule: Rule, filter: &str) -> Rule {
        Rule { on: Some(Selection { kind: "vm".to_owned(), filter: filter.to_owned() }), ..rule }
    }

    fn call(name: &str) -> &'static MethodInfo {
        catalog().methods().find(|method| method.action == name).unwrap()
    }

    /// How many questions of either kind there are, where it is not refused anyway.
    fn says(rules: &[Rule], action: &str) -> Option<(usize, usize)> {
        let rules = Rules::new(rules.to_vec()).unwrap();
        let verdict = rules.judge(call(action));
        assert!(Arc::ptr_eq(&verdict, &rules.judge(call(action))));
        match &*verdict {
            Verdict::Allowed => Some((0, 0)),
            Verdict::Asks(asks) => Some((asks.none.len(), asks.one.len())),
            Verdict::Denied(error) => {
                assert_eq!(error.reason(), "POLICY_DENIED");
                None
            }
        }
    }

    #[test]
    fn patterns() {
        for (pattern, action) in [
            ("vm:StopVm", "vm:StopVm"),
            ("vm:*", "vm:StopVm"),
            ("*", "vm:StopVm"),
            ("*:Get*", "vm:GetVm"),
            ("*Vm", "vm:StopVm"),
            ("vm:*V*m", "vm:StopVm"),
            ("vm:Stop*Vm", "vm:StopVm"),
            ("**", "x"),
        ] {
            assert!(covers(pattern, action), "{pattern} {action}");
        }
        for (pattern, action) in [
            ("vm:StopVm", "vm:StopVms"),
            ("vm:Stop", "vm:StopVm"),
            ("*:Get*", "vm:ListVms"),
            ("", "vm:StopVm"),
            ("vm:S*StopVm", "vm:StopVm"),
            ("*Vms", "vm:StopVm"),
            ("a*a", "a"),
        ] {
            assert!(!covers(pattern, action), "{pattern} {action}");
        }
    }

    #[test]
    fn what_is_denied_is_denied_whatever_else_allows_it() {
        let rules = [rule(1, false, &["*"]), rule(1, true, &["vm:Delete*"])];
        assert_eq!(says(&rules, "vm:DeleteVm"), None);
        assert_eq!(says(&rules, "vm:StopVm"), Some((0, 0)));
        assert_eq!(says(&rules[1..], "vm:StopVm"), Some((0, 0)));
    }

    #[test]
    fn an_allowance_of_ones_own_does_not_widen_that_of_another() {
        let of_admin = rule(1, false, &["vm:Get*", "vm:List*"]);
        let own = rule(2, false, &["*"]);
        assert_eq!(says(std::slice::from_ref(&own), "vm:StopVm"), Some((0, 0)));
        assert_eq!(says(&[of_admin.clone(), own.clone()], "vm:StopVm"), None);
        assert_eq!(says(&[of_admin.clone(), own], "vm:GetVm"), Some((0, 0)));
        // nor does a key's
        let of_key = Rule { of_key: true, ..rule(1, false, &["*"]) };
        assert_eq!(says(&[of_admin, of_key], "vm:StopVm"), None);
    }

    #[test]
    fn a_key_that_is_bound_does_not_rid_itself() {
        let of_key = Rule { of_key: true, ..rule(1, false, &["*"]) };
        for action in [
            "identity:CreateApiKey",
            "identity:DeleteApiKey",
            "identity:CreateAccount",
            "identity:DeleteAccount",
            "identity:DisableAccount",
            "identity:UpdateAccount",
            "identity:UpdatePolicy",
            "identity:DeletePolicy",
        ] {
            assert_eq!(says(std::slice::from_ref(&of_key), action), None, "{action}");
        }
        assert_eq!(says(std::slice::from_ref(&of_key), "identity:ListApiKeys"), Some((0, 0)));
        assert_eq!(says(&[of_key], "identity:CreateWebhook"), Some((0, 0)));
        assert_eq!(says(&[rule(1, false, &["*"])], "identity:CreateApiKey"), Some((0, 0)));
        for service in FOR_SIGN_INS {
            assert!(catalog().methods().any(|method| method.service == service), "{service}");
        }
    }

    #[test]
    fn questions_are_asked_where_a_resource_is_named() {
        let denies = on(rule(1, true, &["vm:*"]), "prod");
        assert_eq!(says(std::slice::from_ref(&denies), "vm:StopVm"), Some((1, 0)));
        assert_eq!(says(std::slice::from_ref(&denies), "vm:ListVms"), Some((0, 0)));
        assert_eq!(says(std::slice::from_ref(&denies), "vm:CreateVm"), Some((0, 0)));
        // what is allowed on some resources is not allowed on what is none yet
        let allows = on(rule(1, false, &["vm:*"]), "dev");
        assert_eq!(says(std::slice::from_ref(&allows), "vm:CreateVm"), None);
        assert_eq!(says(&[allows.clone(), denies.clone()], "vm:StopVm"), Some((1, 1)));
        // nothing is asked where another of the group allows it anyway, nor where it is denied anyway
        assert_eq!(says(&[allows.clone(), rule(1, false, &["vm:Stop*"])], "vm:StopVm"), Some((0, 0)));
        assert_eq!(says(&[allows, rule(1, true, &["vm:Stop*"]), denies], "vm:StopVm"), None);
    }

    #[test]
    fn versions_tell_whether_anything_changed() {
        let rules = Rules::new(vec![rule(2, true, &["*"]), rule(1, true, &["*"])]).unwrap();
        let uuid = Uuid::from_u128;
        assert!(rules.are([(uuid(101), 1), (uuid(201), 1)]) && rules.are([(uuid(201), 1), (uuid(101), 1)]));
        assert!(!rules.are([(uuid(101), 2), (uuid(201), 1)]) && !rules.are([(uuid(101), 1)]));
    }
}
