//! All calls that have a route over HTTP, read from `google.api.http` in the descriptors.

use gyre_model::catalog::{Access, HostedBy, MethodInfo, catalog};
use http::Method;
use prost_reflect::{DynamicMessage, Value};

use super::plan::Plan;
use super::routes::Routes;

/// The routes and the plans that they lead to.
#[derive(Debug)]
pub struct Table {
    /// From method and path to the number of a plan.
    pub routes: Routes,
    /// The plans, by the full names of their services and then as the .proto files order them.
    pub plans: Vec<Plan>,
}

/// Whether callers from outside may know of a call.
pub fn is_open(method: &MethodInfo) -> bool {
    method.access != Access::Internal && !matches!(method.host, HostedBy::Agent | HostedBy::Plugin)
}

impl Table {
    /// Reads the descriptors. The error tells which of them do not hold together.
    pub fn new() -> Result<Self, String> {
        let catalog = catalog();
        let http = catalog.pool().get_extension_by_name("google.api.http").ok_or("no option google.api.http")?;
        let mut methods: Vec<&'static MethodInfo> = catalog.methods().filter(|method| is_open(method)).collect();
        let place = |method: &MethodInfo| {
            let service = method.descriptor.parent_service();
            service.methods().position(|known| known.name() == method.name)
        };
        methods.sort_by_cached_key(|method| (method.service, place(method)));
        let mut table = Self { routes: Routes::default(), plans: Vec::new() };
        for method in methods {
            let options = method.descriptor.options();
            if !options.has_extension(&http) {
                continue;
            }
            if let Value::Message(rule) = options.get_extension(&http).as_ref() {
                table.add(method, rule)?;
                if let Some(Value::List(more)) = rule.get_field_by_name("additional_bindings").as_deref() {
                    for rule in more.iter().filter_map(Value::as_message) {
                        table.add(method, rule)?;
                    }
                }
            }
        }
        Ok(table)
    }

    fn add(&mut self, method: &'static MethodInfo, rule: &DynamicMessage) -> Result<(), String> {
        let text = |message: &DynamicMessage, name: &str| {
            message.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
        };
        for (name, http) in [
            ("get", Method::GET),
            ("put", Method::PUT),
            ("post", Method::POST),
            ("delete", Method::DELETE),
            ("patch", Method::PATCH),
        ] {
            let path = text(rule, name);
            if path.is_empty() {
                continue;
            }
            if !text(rule, "response_body").is_empty() {
                return Err(format!("{}: response_body is not supported", method.path));
            }
            let (plan, template) = Plan::new(method, http.clone(), &path, &text(rule, "body"))?;
            self.routes.add(http, &template, self.plans.len())?;
            self.plans.push(plan);
            return Ok(());
        }
        Err(format!("{}: no usable pattern in google.api.http", method.path))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use gyre_model::wire::unframe;
    use gyre_proto::Message;
    use gyre_proto::common::v1::QueryRequest;
    use gyre_proto::storage::v1::UploadImageRequest;
    use gyre_proto::vm::v1::{CreateVmRequest, GetVmRequest, ListVmsRequest, StopVmRequest, UpdateVmRequest};

    use super::super::routes::Found;
    use super::*;
    use crate::refusal::Refusal;

    const UUID: &str = "0193f3a0-1111-4222-8333-444455556666";

    fn request(method: Method, target: &str, id: Option<&str>, body: &str) -> Result<Bytes, Refusal> {
        let table = Table::new().unwrap();
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let Found::Call(call, segments) = table.routes.find(&method, path) else { panic!("no route {target}") };
        table.plans[call].request(&segments, query, id, body.as_bytes())
    }

    fn message<M: Message + Default>(method: Method, target: &str, body: &str) -> M {
        let framed = request(method, target, None, body).unwrap();
        let (compressed, message, length) = unframe(&framed).unwrap();
        assert!(!compressed && length == framed.len());
        M::decode(message).unwrap()
    }

    fn refused(method: Method, target: &str, body: &str) -> gyre_model::Error {
        request(method, target, None, body).unwrap_err().error
    }

    #[test]
    fn every_open_call_has_a_plan() {
        let table = Table::new().unwrap();
        assert!(table.plans.len() >= 60, "{}", table.plans.len());
        assert!(table.plans.iter().all(|plan| is_open(plan.method)));
        assert!(table.plans.iter().any(|plan| plan.template == "/v1/members"));
    }

    #[test]
    fn path_query_and_body_become_one_message() {
        let get: GetVmRequest = message(Method::GET, &format!("/v1/vms/{UUID}"), "");
        assert_eq!(get.uuid, UUID);
        let list: ListVmsRequest = message(Method::GET, "/v1/vms?pageSize=7&order_by=name+desc&filter=a%3D1", "");
        assert_eq!((list.page_size, list.order_by.as_str(), list.filter.as_str()), (7, "name desc", "a=1"));
        let create: CreateVmRequest =
            message(Method::POST, "/v1/vms?requestId=r1", r#"{"name": "web", "cpuCount": 2}"#);
        assert_eq!((create.request_id.as_str(), create.vm.unwrap().name.as_str()), ("r1", "web"));
        let stop: StopVmRequest =
            message(Method::POST, &format!("/v1/vms/{UUID}:stop?requestId=r2"), r#"{"force": true}"#);
        assert_eq!((stop.uuid.as_str(), stop.force, stop.request_id.as_str()), (UUID, true, "r2"));
        let bare: StopVmRequest = message(Method::POST, &format!("/v1/vms/{UUID}:stop"), "");
        assert!(!bare.force);
    }

    #[test]
    fn any_kind_is_queried_by_its_plural_or_with_a_body() {
        let target = "/v1/vms:query?filter=host.name%3Da&fields=name&fields=host.name&groupBy=state&explain=true";
        let query: QueryRequest = message(Method::GET, target, "");
        assert_eq!((query.kind.as_str(), query.filter.as_str(), query.explain), ("vms", "host.name=a", true));
        assert_eq!((query.fields, query.group_by), (vec!["name".into(), "host.name".into()], vec!["state".into()]));
        let query: QueryRequest = message(Method::POST, "/v1/query", r#"{"kind": "l3-network", "sum": ["a", "b"]}"#);
        assert_eq!((query.kind.as_str(), query.sum.len()), ("l3-network", 2));
    }

    #[test]
    fn the_header_gives_a_request_id_and_another_one_is_refused() {
        let framed = request(Method::POST, "/v1/vms", Some("h"), r#"{"name": "a"}"#).unwrap();
        assert_eq!(CreateVmRequest::decode(&framed[5..]).unwrap().request_id, "h");
        let framed = request(Method::POST, "/v1/vms?requestId=h", Some("h"), r#"{"name": "a"}"#).unwrap();
        assert_eq!(CreateVmRequest::decode(&framed[5..]).unwrap().request_id, "h");
        for (target, body) in [
            ("/v1/vms?requestId=q".to_owned(), r#"{"name": "a"}"#),
            ("/v1/vms?request_id=q".to_owned(), r#"{"name": "a"}"#),
            (format!("/v1/vms/{UUID}:stop"), r#"{"requestId": "q"}"#),
        ] {
            let error = request(Method::POST, &target, Some("h"), body).unwrap_err().error;
            assert_eq!(
                (error.kind(), error.reason()),
                (gyre_model::Kind::InvalidArgument, "TWO_REQUEST_IDS"),
                "{target}"
            );
            assert_eq!(
                error.message(),
                r#"the header x-request-id is "h" and requestId is "q": send one of them, or the same twice"#
            );
        }
    }

    #[test]
    fn a_patch_tells_its_mask_from_the_body() {
        let body = r#"{"name": "a", "hostUuid": "h", "createTime": "2026-01-01T00:00:00Z", "generation": "3", "description": null}"#;
        let update: UpdateVmRequest = message(Method::PATCH, &format!("/v1/vms/{UUID}"), body);
        assert_eq!(update.update_mask.unwrap().paths, ["name", "host_uuid", "description"]);
        let vm = update.vm.unwrap();
        assert_eq!((vm.uuid.as_str(), vm.name.as_str(), vm.generation), (UUID, "a", 3));
        let update: UpdateVmRequest = message(Method::PATCH, &format!("/v1/vms/{UUID}?updateMask=name"), body);
        assert_eq!(update.update_mask.unwrap().paths, ["name"]);
    }

    #[test]
    fn a_body_may_repeat_the_uuid_of_the_path_but_not_name_another() {
        let same = format!(r#"{{"uuid": "{}"}}"#, UUID.to_uppercase());
        let update: UpdateVmRequest = message(Method::PATCH, &format!("/v1/vms/{UUID}"), &same);
        assert_eq!(update.vm.unwrap().uuid, UUID);
        let other = r#"{"uuid": "0193f3a0-1111-4222-8333-444455556667"}"#;
        assert_eq!(refused(Method::PATCH, &format!("/v1/vms/{UUID}"), other).violations()[0].field, "vm.uuid");
    }

    #[test]
    fn wrong_parameters_are_all_named() {
        let error = refused(Method::GET, "/v1/vms?fliter=x&pageSize=many&colour=1&orderBy=a&orderBy=b", "");
        let told: Vec<_> =
            error.violations().iter().map(|one| (one.field.as_str(), one.description.as_str())).collect();
        assert_eq!(
            told,
            [
                ("fliter", "is not known; perhaps filter"),
                ("pageSize", "must be a whole number of 32 bits"),
                ("colour", "is not known; there are filter, orderBy, pageSize, pageToken, readMask, count"),
                ("orderBy", "must stand there once"),
            ]
        );
        let error = refused(Method::POST, "/v1/vms?name=web", "{}");
        assert_eq!(error.violations()[0].description, "belongs into the body");
        let error = refused(Method::POST, "/v1/sessions?password=secret", "{}");
        assert_eq!(error.violations()[0].description, "belongs into the body");
    }

    #[test]
    fn an_upload_has_its_path_in_the_first_message() {
        let table = Table::new().unwrap();
        let path = format!("/v1/images/{UUID}:upload");
        let Found::Call(call, segments) = table.routes.find(&Method::POST, &path) else { panic!() };
        let head = table.plans[call].head(&segments, None, None).unwrap();
        assert_eq!(UploadImageRequest::decode(head).unwrap().uuid, UUID);
    }
}
