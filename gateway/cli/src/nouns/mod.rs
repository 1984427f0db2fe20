//! What there is to name and what can be done with it, as the descriptors say.
//!
//! A noun is a kind of resource that has a service named after its message (`Vm`, `VmService`); its verbs are the calls of that
//! service. A service without a resource ([`Service`]) is a noun of its own name (`LaneService`, `lane`). Calls that only members
//! of the mesh may make are no verbs.

mod http;
mod service;
mod verb;

pub use http::{Route, route};
pub use service::{Service, service, services};
pub use verb::{OPERATION, Shape, Verb, update_mask};

use gyre_model::catalog::{Access, FieldInfo, HostedBy, KindInfo, MessageInfo, MethodInfo, catalog};

/// Shorter names for kinds whose full name is long to type.
const ALIASES: &[(&str, &str)] = &[("l3-network", "network"), ("instance-offering", "offering")];

/// The shorter name of a kind, where it has one.
pub fn alias(kind: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(full, _)| *full == kind).map(|(_, alias)| *alias)
}

/// Whether callers from outside may make a call.
pub fn is_open(method: &MethodInfo) -> bool {
    method.access != Access::Internal && !matches!(method.host, HostedBy::Agent | HostedBy::Plugin)
}

/// Every call that callers from outside may make, by service and as the .proto files order them.
pub fn open_calls() -> Vec<&'static MethodInfo> {
    let mut methods: Vec<_> = catalog().methods().filter(|method| is_open(method)).collect();
    methods.sort_by_key(|method| (method.service, method.descriptor.index()));
    methods
}

/// The call that a text means: "VmService.StartVm", with the package before it or a slash between, in any case.
pub fn call(text: &str) -> Option<&'static MethodInfo> {
    let wanted = text.trim_start_matches('/').replace('/', ".").to_ascii_lowercase();
    let fits = |method: &&MethodInfo| {
        let full = format!(".{}.{}", method.service, method.name).to_ascii_lowercase();
        full.strip_suffix(&wanted).is_some_and(|rest| rest.ends_with('.')) && wanted.contains('.')
    };
    let mut found = catalog().methods().filter(|method| is_open(method)).filter(fits);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The name by which `gyre call` shows a call: "VmService.StartVm".
pub fn call_name(method: &MethodInfo) -> String {
    let service = method.service.rsplit('.').next().unwrap_or(method.service);
    format!("{service}.{}", method.name)
}

/// Whether a text means a kind: its name, its plural or the shorter one, with "-" or "_" or in PascalCase.
pub fn same_kind(text: &str, kind: &str) -> bool {
    let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
    let text = plain(text);
    let info = catalog().kind(kind);
    text == plain(kind)
        || info.is_some_and(|info| text == plain(info.plural))
        || alias(kind).is_some_and(|alias| text == plain(alias))
}

/// The kind that a text means.
pub fn kind_named(text: &str) -> Option<&'static str> {
    catalog().kinds().map(|kind| kind.kind).find(|kind| same_kind(text, kind))
}

/// The field that says of which kind the resource is that another field names: `resource_kind` beside `resource_uuid`, of which the
/// .proto file says no kind.
pub fn kind_beside(message: &'static MessageInfo, field: &FieldInfo) -> Option<&'static FieldInfo> {
    let stem = field.name.strip_suffix("_uuid").filter(|_| field.rule.refers_to.is_empty() && !field.repeated)?;
    message.fields.iter().find(|other| other.name.strip_suffix("_kind") == Some(stem))
}

/// Whether a field says the kind of what the one beside it names.
pub fn says_kind(message: &'static MessageInfo, field: &FieldInfo) -> bool {
    message.fields.iter().any(|other| kind_beside(message, other).is_some_and(|found| found.name == field.name))
}

/// A kind of resource that commands name.
#[derive(Debug, Clone, Copy)]
pub struct Noun {
    /// What the descriptors say of the kind.
    pub kind: &'static KindInfo,
    /// What they say of its message.
    pub message: &'static MessageInfo,
}

/// Every noun, by name.
pub fn nouns() -> Vec<Noun> {
    let mut all: Vec<_> = catalog().kinds().filter_map(|kind| noun(kind.kind)).collect();
    all.sort_by_key(|noun| noun.kind.kind);
    all
}

/// The noun of a kind.
pub fn noun(kind: &str) -> Option<Noun> {
    let kind = catalog().kind(kind)?;
    let noun = Noun { kind, message: catalog().message(kind.message)? };
    noun.methods().next().is_some().then_some(noun)
}

impl Noun {
    /// The calls of its service that the outside may make, in the order of the .proto file.
    fn methods(self) -> impl Iterator<Item = &'static MethodInfo> {
        let mut methods: Vec<_> = catalog()
            .methods()
            .filter(|method| method.service.strip_suffix("Service") == Some(self.message.name) && is_open(method))
            .collect();
        methods.sort_by_key(|method| method.descriptor.index());
        methods.into_iter()
    }

    /// What can be done with it, in the order of the .proto file.
    pub fn verbs(self) -> Vec<Verb> {
        self.methods().map(|method| Verb::of(verb::name(self, method), method)).collect()
    }

    /// The verb of that name.
    pub fn verb(self, name: &str) -> Option<Verb> {
        self.verbs().into_iter().find(|verb| verb.name == name)
    }

    /// The call that lists it.
    pub fn list(self) -> Option<&'static MethodInfo> {
        self.verb("list").map(|verb| verb.method)
    }

    /// Whether it can be named by its name as well as by its UUID.
    pub fn has_name(self) -> bool {
        self.message.field("name").is_some() && self.list().is_some()
    }

    /// Whether whoever makes one names it.
    pub fn is_named(self) -> bool {
        self.has_name() && self.message.field("name").is_some_and(|name| !name.rule.output_only)
    }

    /// The kind with its article: "a vm", "an image".
    pub fn article(self) -> String {
        let article = if self.kind.kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{article} {}", self.kind.kind.replace('-', " "))
    }

    /// The message's name without its package: "L3Network".
    fn short(self) -> &'static str {
        self.message.name.rsplit('.').next().unwrap_or(self.message.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verbs(kind: &str) -> Vec<String> {
        noun(kind).unwrap().verbs().into_iter().map(|verb| verb.name).collect()
    }

    #[test]
    fn nouns_and_verbs_come_from_the_descriptors() {
        let kinds: Vec<_> = nouns().iter().map(|noun| noun.kind.kind).collect();
        assert!(kinds.is_sorted(), "{kinds:?}");
        for kind in ["account", "change", "debt", "ip-range", "operation", "primary-storage", "tag", "vm", "zone"] {
            assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
        }
        assert_eq!(verbs("l3-network"), ["create", "get", "list", "update", "delete"]);
        assert_eq!(verbs("operation"), ["get", "list", "watch", "wait", "cancel", "explain", "retry"]);
        assert_eq!(verbs("image"), ["create", "get", "list", "update", "delete", "recover", "expunge", "upload"]);
        assert_eq!(verbs("primary-storage"), ["create", "get", "list", "update", "delete"]);
        let vm = verbs("vm");
        for verb in ["create", "start", "stop", "reboot", "recover", "expunge", "read-console", "write-console"] {
            assert!(vm.iter().any(|known| known == verb), "{verb} in {vm:?}");
        }
    }

    #[test]
    fn what_only_the_mesh_may_call_is_no_command() {
        assert!(!verbs("volume").iter().any(|verb| verb.contains("destroy") || verb.contains("root")));
        for noun in nouns() {
            assert!(noun.verbs().iter().all(|verb| verb.method.access != Access::Internal));
        }
        assert!(call("VolumeService.DestroyVolume").is_none() && call("AgentService.Session").is_none());
    }

    #[test]
    fn a_call_is_named_in_several_ways() {
        for text in
            ["VmService.StartVm", "vmservice.startvm", "gyre.vm.v1.VmService/StartVm", "/gyre.vm.v1.VmService/StartVm"]
        {
            assert_eq!(call(text).unwrap().path, "/gyre.vm.v1.VmService/StartVm", "{text}");
        }
        for text in ["StartVm", "VmService", "mService.StartVm", ""] {
            assert!(call(text).is_none(), "{text}");
        }
    }

    #[test]
    fn every_open_call_is_a_verb_of_a_noun_and_has_a_name_of_its_own() {
        let of_kinds = nouns().into_iter().flat_map(Noun::verbs);
        let of_services = services().into_iter().flat_map(|service| service.verbs());
        let reached: Vec<_> = of_kinds.chain(of_services).map(|verb| verb.method.path).collect();
        for method in open_calls() {
            assert!(reached.contains(&method.path), "{} is no verb", method.path);
            assert_eq!(call(&call_name(method)).map(|found| found.path), Some(method.path));
        }
    }
}
