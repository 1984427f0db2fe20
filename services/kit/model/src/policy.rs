//! Policies: which calls an account, or one of its API keys, may make.
//!
//! # Theory
//! 1. A rule *concerns* a call when one of its patterns matches the call's action and, where the rule is about some resources, when the call
//!    names one of that kind by its UUID ([`crate::catalog::Target`]). Whether that resource is one of them is a *question*, which only the
//!    database can answer. So a call is judged twice: first as if every question were answered in the caller's favour, which needs nobody
//!    and refuses most of what is to be refused; and where there are questions, once more with their answers.
//! 2. What a DENY concerns is refused, whatever else there is.
//! 3. Rules of one owner for the same subject (the account, or the key) are a *group*. In every group that has an ALLOW, one must concern the call.
//!    That groups are looked at one by one is what keeps a rule from widening another's: what an account allows itself or its key adds
//!    nothing to what an administrator allows the account, but is cut out of it.
//! 4. Who is bound by rules of its own key must not get rid of them: such a key makes no keys, changes no policy and no account
//!    ([`OF_SIGN_INS`]). An account that binds itself only guards against slips, since it may change that; what an
//!    administrator binds it with belongs to the administrator, and is not even seen by it.
//!
//! Gateways judge, since every call passes one, and know by then what it is about. What services ask each other on behalf of a call was
//! judged with it. Time: a few comparisons of short texts for each rule, of which a subject has at most [`MOST`].

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::catalog::MethodInfo;
use crate::error::{Error, Kind};

/// Most policies that bind an account, or a key.
pub const MOST: usize = 100;

/// Calls that a key with rules of its own may not make.
const OF_SIGN_INS: [&str; 5] = [
    "identity:CreateApiKey",
    "identity:CreatePolicy",
    "identity:UpdatePolicy",
    "identity:DeletePolicy",
    "identity:UpdateAccount",
];

/// Some resources of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selection {
    /// The kind.
    pub kind: String,
    /// Which ones: a filter of its lists.
    pub filter: String,
}

/// What a policy says of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The policy.
    pub policy: Uuid,
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
}

/// The rules that bind a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// These; nothing where there are none.
    pub fn new(rules: Vec<Rule>) -> Option<Self> {
        (!rules.is_empty()).then_some(Self(rules))
    }

    /// Refuses a call that is refused whatever the questions' answers are, and answers the questions, each once.
    ///
    /// # Errors
    /// `POLICY_DENIED`.
    pub fn judge(&self, method: &MethodInfo) -> Result<Vec<&Selection>, Error> {
        if self.0.iter().any(|rule| rule.of_key) && OF_SIGN_INS.contains(&method.action) {
            let text = format!(
                "an API key that policies bind may not call {}, which could rid it of them: sign in with the password for that",
                method.action
            );
            return Err(denied(method, text));
        }
        self.decide(method, |rule, _| !rule.denies)?;
        let mut questions: Vec<_> =
            self.0.iter().filter(|rule| rule.concerns(method)).filter_map(|rule| rule.on.as_ref()).collect();
        questions.sort_unstable();
        questions.dedup();
        Ok(questions)
    }

    /// Judges a call whose questions are answered: whether the resource that it names is one of a selection.
    ///
    /// # Errors
    /// `POLICY_DENIED`.
    pub fn settle(&self, method: &MethodInfo, is_one_of: impl Fn(&Selection) -> bool) -> Result<(), Error> {
        self.decide(method, |_, on| is_one_of(on))
    }

    fn decide(&self, method: &MethodInfo, holds: impl Fn(&Rule, &Selection) -> bool) -> Result<(), Error> {
        // of each group that allows anything: whether it allows this, and one of its policies
        let mut groups: BTreeMap<(Uuid, bool), (bool, &Rule)> = BTreeMap::new();
        for rule in &self.0 {
            let is_meant = rule.concerns(method) && rule.on.as_ref().is_none_or(|on| holds(rule, on));
            if !rule.denies {
                groups.entry((rule.owner, rule.of_key)).or_insert((false, rule)).0 |= is_meant;
            } else if is_meant {
                let text = format!("policy {:?} ({}) denies {}", rule.name, rule.policy, method.action);
                return Err(denied(method, text).with("policy", rule.policy.to_string()));
            }
        }
        let Some((_, rule)) = groups.into_values().find(|(allows, _)| !allows) else { return Ok(()) };
        let whom = if rule.of_key { "this API key" } else { "this account" };
        let text = format!(
            "policies say what {whom} may do (one is {:?}, {}), and none of them allows {} here",
            rule.name, rule.policy, method.action
        );
        Err(denied(method, text).with("policy", rule.policy.to_string()))
    }
}

fn denied(method: &MethodInfo, text: String) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    fn rule(owner: u128, denies: bool, actions: &[&str]) -> Rule {
        Rule {
            policy: Uuid::from_u128(owner * 100 + u128::from(denies)),
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

    fn says(rules: &[Rule], action: &str) -> std::result::Result<usize, String> {
        let rules = Rules::new(rules.to_vec()).unwrap();
        rules.judge(call(action)).map(|questions| questions.len()).map_err(|error| error.reason().to_owned())
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
        assert_eq!(says(&rules, "vm:DeleteVm"), Err("POLICY_DENIED".to_owned()));
        assert_eq!(says(&rules, "vm:StopVm"), Ok(0));
        assert_eq!(says(&rules[1..], "vm:StopVm"), Ok(0));
    }

    #[test]
    fn an_allowance_of_ones_own_does_not_widen_that_of_another() {
        let of_admin = rule(1, false, &["vm:Get*", "vm:List*"]);
        let own = rule(2, false, &["*"]);
        assert_eq!(says(std::slice::from_ref(&own), "vm:StopVm"), Ok(0));
        assert_eq!(says(&[of_admin.clone(), own.clone()], "vm:StopVm"), Err("POLICY_DENIED".to_owned()));
        assert_eq!(says(&[of_admin.clone(), own], "vm:GetVm"), Ok(0));
        // nor does a key's
        let of_key = Rule { of_key: true, ..rule(1, false, &["*"]) };
        assert_eq!(says(&[of_admin, of_key], "vm:StopVm"), Err("POLICY_DENIED".to_owned()));
    }

    #[test]
    fn a_key_that_is_bound_does_not_rid_itself() {
        let of_key = Rule { of_key: true, ..rule(1, false, &["*"]) };
        assert_eq!(says(std::slice::from_ref(&of_key), "identity:CreateApiKey"), Err("POLICY_DENIED".to_owned()));
        assert_eq!(says(&[of_key], "identity:ListApiKeys"), Ok(0));
        let of_account = rule(1, false, &["*"]);
        assert_eq!(says(&[of_account], "identity:CreateApiKey"), Ok(0));
        for action in OF_SIGN_INS {
            assert!(catalog().methods().any(|method| method.action == action), "{action}");
        }
    }

    #[test]
    fn questions_are_asked_where_a_resource_is_named_and_decide() {
        let rules = [on(rule(1, true, &["vm:*"]), "prod"), on(rule(1, true, &["vm:Stop*"]), "prod")];
        assert_eq!(says(&rules, "vm:StopVm"), Ok(1));
        assert_eq!(says(&rules, "vm:ListVms"), Ok(0));
        assert_eq!(says(&rules, "vm:CreateVm"), Ok(0));
        let rules = Rules::new(rules.to_vec()).unwrap();
        assert!(rules.settle(call("vm:StopVm"), |_| false).is_ok());
        assert!(rules.settle(call("vm:StopVm"), |on| on.filter == "prod").is_err());
        // what is allowed on some resources is not allowed on what is none yet
        let rules = Rules::new(vec![on(rule(1, false, &["vm:*"]), "dev")]).unwrap();
        assert!(rules.judge(call("vm:CreateVm")).is_err());
        assert!(rules.judge(call("vm:StopVm")).is_ok());
        assert!(rules.settle(call("vm:StopVm"), |_| false).is_err());
    }
}
