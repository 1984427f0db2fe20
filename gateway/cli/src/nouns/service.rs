//! Services without a resource: lanes, members, callbacks, sessions and whatever else has calls but no kind.

use gyre_model::catalog::{MethodInfo, catalog};

use super::verb::kebab;
use super::{Verb, nouns, open_calls};

/// A service as a noun.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name on the command line: "lane" for `LaneService`.
    pub name: String,
    /// Its full name: "gyre.common.v1.LaneService".
    pub service: &'static str,
    methods: Vec<&'static MethodInfo>,
}

/// Every service that is no kind's, by name.
pub fn services() -> Vec<Service> {
    let kinds: Vec<_> = nouns().iter().map(|noun| noun.message.name).collect();
    let mut all: Vec<Service> = Vec::new();
    for method in open_calls() {
        let resource = method.service.strip_suffix("Service").unwrap_or(method.service);
        if kinds.contains(&resource) {
            continue;
        }
        match all.iter_mut().find(|known| known.service == method.service) {
            Some(known) => known.methods.push(method),
            None => {
                let name = kebab(resource.rsplit('.').next().unwrap_or(resource));
                all.push(Service { name, service: method.service, methods: vec![method] });
            }
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// The service of that name.
pub fn service(name: &str) -> Option<Service> {
    services().into_iter().find(|service| service.name == name)
}

impl Service {
    /// What can be asked of it. A call that is named like the service is the verb "run".
    pub fn verbs(&self) -> Vec<Verb> {
        self.methods.iter().map(|method| Verb::of(self.verb_name(method), method)).collect()
    }

    /// The verb of that name.
    pub fn verb(&self, name: &str) -> Option<Verb> {
        self.verbs().into_iter().find(|verb| verb.name == name)
    }

    /// The call that the noun alone makes: the only one of its service, named like it (`QueryService.Query`).
    pub fn itself(&self) -> Option<Verb> {
        let [method] = self.methods.as_slice() else { return None };
        (self.verb_name(method) == "run").then(|| Verb::of(self.name.clone(), method))
    }

    /// What its comment says.
    pub fn doc(&self) -> String {
        let service = catalog().pool().get_service_by_name(self.service);
        let comment = service.as_ref().and_then(|service| {
            let file = service.parent_file();
            let info = file.file_descriptor_proto().source_code_info.as_ref()?;
            let place = info.location.iter().find(|location| location.path == service.path())?;
            place.leading_comments.clone()
        });
        comment.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// "ListLanes" of "lane" is "list", "GetCallbackKey" of "callback" is "get-key", "Query" of "query" is "run".
    fn verb_name(&self, method: &MethodInfo) -> String {
        let service = self.service.rsplit('.').next().unwrap_or(self.service);
        let base = service.strip_suffix("Service").unwrap_or(service);
        let rest = match method.name.strip_suffix(&format!("{base}s")) {
            Some(rest) if !rest.is_empty() => rest.to_owned(),
            _ => method.name.replacen(base, "", 1),
        };
        if rest.is_empty() { "run".to_owned() } else { kebab(&rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_without_a_resource_are_nouns() {
        let verbs =
            |name: &str| -> Vec<String> { service(name).unwrap().verbs().into_iter().map(|verb| verb.name).collect() };
        assert_eq!(verbs("lane"), ["list"]);
        assert_eq!(verbs("member"), ["list"]);
        assert_eq!(verbs("callback"), ["get-key", "rotate-key"]);
        assert_eq!(verbs("session"), ["create"]);
        assert!(service("vm").is_none() && service("agent").is_none());
        assert!(!service("lane").unwrap().doc().is_empty());
    }
}
