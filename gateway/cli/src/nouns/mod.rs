//! What there is to name and what can be done with it, as the descriptors say.
//!
//! A noun is a kind of resource that has a service named after its message (`Vm`, `VmService`); its verbs are the calls of that
//! service. Calls that only members of the mesh may make are no verbs, and neither are services without a resource.

mod verb;

pub use verb::{OPERATION, Shape, Verb, update_mask};

use gyre_model::catalog::{Access, KindInfo, MessageInfo, MethodInfo, catalog};

/// Shorter names for kinds whose full name is long to type.
const ALIASES: &[(&str, &str)] = &[("l3-network", "network"), ("instance-offering", "offering")];

/// The shorter name of a kind, where it has one.
pub fn alias(kind: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(full, _)| *full == kind).map(|(_, alias)| *alias)
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
            .filter(|method| {
                method.service.strip_suffix("Service") == Some(self.message.name) && method.access != Access::Internal
            })
            .collect();
        methods.sort_by_key(|method| method.descriptor.index());
        methods.into_iter()
    }

    /// What can be done with it, in the order of the .proto file.
    pub fn verbs(self) -> Vec<Verb> {
        self.methods().filter_map(|method| Verb::of(self, method)).collect()
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
        assert_eq!(
            kinds,
            [
                "account",
                "api-key",
                "cluster",
                "debt",
                "host",
                "image",
                "image-server",
                "instance-offering",
                "ip-range",
                "l2-network",
                "l3-network",
                "operation",
                "primary-storage",
                "vm",
                "volume",
                "zone"
            ]
        );
        assert_eq!(verbs("l3-network"), ["create", "get", "list", "update", "delete"]);
        assert_eq!(verbs("operation"), ["get", "list", "watch", "wait", "cancel", "explain", "retry"]);
        assert_eq!(verbs("image"), ["create", "get", "list", "update", "delete", "upload"]);
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
    }
}
