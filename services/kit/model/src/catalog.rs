//! What the descriptor set says, read once and laid out for quick lookups: every call with its route and who may make it, every
//! message with the rules of its fields, every kind of resource with its table.

mod reference;

use std::collections::HashMap;
use std::sync::OnceLock;

use gyre_proto::Message;
use gyre_proto::options::v1::{FieldRule, MethodRule, ResourceRule, ServiceRule};
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, MethodDescriptor};

pub use gyre_proto::options::v1::{Access, Format, OnDelete, Scope, SettingRule, SettingType, SystemTag, TagSetter};
pub use reference::{Edge, Reference};

/// Everything that the descriptor set says.
#[derive(Debug)]
pub struct Catalog {
    pool: DescriptorPool,
    messages: HashMap<&'static str, MessageInfo>,
    methods: HashMap<&'static str, MethodInfo>,
    kinds: HashMap<&'static str, KindInfo>,
    settings: Vec<SettingInfo>,
    references: reference::References,
}

/// Who answers the calls of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostedBy {
    /// The members of this mesh service.
    Service(&'static str),
    /// Every member alike.
    Every,
    /// The gateway itself.
    Gateway,
    /// Agents on hosts.
    Agent,
    /// Programs of the operator's: nobody in the mesh.
    Plugin,
}

/// A call.
#[derive(Debug)]
pub struct MethodInfo {
    /// The path of the HTTP/2 request: "/gyre.vm.v1.VmService/GetVm".
    pub path: &'static str,
    /// The full name of the service: "gyre.vm.v1.VmService".
    pub service: &'static str,
    /// The name of the call: "GetVm".
    pub name: &'static str,
    /// Who answers it.
    pub host: HostedBy,
    /// The field numbers to the UUID that picks the owner.
    pub route: Option<&'static [u32]>,
    /// The resource that it is about, where that is there already: `uuid`, or the UUID in what an update changes.
    pub target: Option<Target>,
    /// Who may call.
    pub access: Access,
    /// The action that policies name.
    pub action: &'static str,
    /// The full name of the request message.
    pub input: &'static str,
    /// The full name of the response message.
    pub output: &'static str,
    /// Whether the caller sends a stream.
    pub client_streaming: bool,
    /// Whether a stream is answered.
    pub server_streaming: bool,
    /// The number of the field `request_id`; a call that has one changes something.
    pub request_id: Option<u32>,
    /// The request field that says to change nothing and only tell what would be.
    pub validate_only: Option<u32>,
    /// The number of the bytes field that a raw HTTP body is cut into.
    pub raw_body: Option<u32>,
    /// What the comment says.
    pub doc: &'static str,
    /// The rest of what the descriptor says, such as `google.api.http`.
    pub descriptor: MethodDescriptor,
}

/// Where a request names the resource that its call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The field numbers to its UUID.
    pub path: &'static [u32],
    /// Its kind.
    pub kind: &'static str,
}

/// A message.
#[derive(Debug)]
pub struct MessageInfo {
    /// The full name.
    pub name: &'static str,
    /// The fields by number.
    pub fields: Vec<FieldInfo>,
    /// The kind of resource that it is.
    pub kind: Option<&'static str>,
    /// What the comment says.
    pub doc: &'static str,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// bool
    Bool,
    /// int32, int64, sint…, sfixed… (the wire forms that Gyre uses are int32 and int64)
    Int,
    /// uint32, uint64
    Uint,
    /// float, double
    Float,
    /// string
    Text,
    /// bytes
    Bytes,
    /// An enum, by its full name.
    Enum(&'static str),
    /// google.protobuf.Timestamp
    Time,
    /// google.protobuf.Duration
    Duration,
    /// Another message, by its full name.
    Message(&'static str),
    /// A map.
    Map,
}

/// A field.
#[derive(Debug)]
pub struct FieldInfo {
    /// The name in the .proto file, and of the column.
    pub name: &'static str,
    /// The name in JSON.
    pub json_name: &'static str,
    /// Its number.
    pub number: u32,
    /// What it holds.
    pub ty: FieldType,
    /// Whether it is a list.
    pub repeated: bool,
    /// Whether it is a whole number of 64 bits, which JSON has as text.
    pub wide: bool,
    /// Its rules.
    pub rule: FieldRule,
    /// What the comment says.
    pub doc: &'static str,
    /// The values of an enum: number, full name, and short name without the enum's prefix.
    pub values: Vec<(i32, &'static str, &'static str)>,
}

/// A kind of resource.
#[derive(Debug)]
pub struct KindInfo {
    /// The kind: "vm".
    pub kind: &'static str,
    /// Its plural: "vms".
    pub plural: &'static str,
    /// Its table.
    pub table: &'static str,
    /// Who sees it.
    pub scope: Scope,
    /// The mesh service that owns it.
    pub service: &'static str,
    /// The fields that tables show.
    pub columns: Vec<&'static str>,
    /// The full name of its message.
    pub message: &'static str,
    /// Tags to which Gyre gives a meaning.
    pub system_tags: Vec<SystemTag>,
    /// Its bin, where it has one.
    pub bin: Option<BinInfo>,
}

/// What belongs to the bin of a kind, by the names that all bins give it.
#[derive(Debug, Clone, Copy)]
pub struct BinInfo {
    /// The setting that says how long something stays there: "vm.bin-delay".
    pub delay: &'static str,
    /// The workflow that deletes for good what is there: "expunge-vm".
    pub expunge: &'static str,
}

/// A setting.
#[derive(Debug)]
pub struct SettingInfo {
    /// What it must be like.
    pub rule: SettingRule,
    /// The mesh service that it belongs to; nothing for what every service has alike.
    pub service: Option<&'static str>,
}

impl MessageInfo {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&FieldInfo> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field of that number.
    pub fn by_number(&self, number: u32) -> Option<&FieldInfo> {
        self.fields.iter().find(|field| field.number == number)
    }
}

impl FieldInfo {
    /// The short name of an enum's value.
    pub fn value_name(&self, number: i32) -> Option<&'static str> {
        self.values.iter().find(|(known, ..)| *known == number).map(|(.., short)| *short)
    }

    /// The number of an enum's value, by its short or its full name, in either case.
    pub fn value_number(&self, name: &str) -> Option<i32> {
        self.values
            .iter()
            .find(|(_, full, short)| short.eq_ignore_ascii_case(name) || full.eq_ignore_ascii_case(name))
            .map(|(number, ..)| *number)
    }
}

impl Catalog {
    /// The call with this path.
    pub fn method(&self, path: &str) -> Option<&MethodInfo> {
        self.methods.get(path)
    }

    /// Every call.
    pub fn methods(&self) -> impl Iterator<Item = &MethodInfo> {
        self.methods.values()
    }

    /// The message of this full name.
    pub fn message(&self, name: &str) -> Option<&MessageInfo> {
        self.messages.get(name)
    }

    /// The kind of this name.
    pub fn kind(&self, kind: &str) -> Option<&KindInfo> {
        self.kinds.get(kind)
    }

    /// Every kind.
    pub fn kinds(&self) -> impl Iterator<Item = &KindInfo> {
        self.kinds.values()
    }

    /// Every reference from one kind to another, ordered by kind and field.
    pub fn references(&self) -> &[Reference] {
        self.references.all()
    }

    /// Where a segment of a path leads from a kind, along a reference or back against one: `host` from "vm", `vms` from "host".
    /// Both spellings will do, `l3_networks` and `l3Networks`.
    pub fn edge(&self, kind: &str, segment: &str) -> Option<Edge<'_>> {
        self.references.edge(kind, segment)
    }

    /// Every edge from a kind, in the order of the segments.
    pub fn edges(&self, kind: &str) -> impl Iterator<Item = Edge<'_>> {
        self.references.edges(kind)
    }

    /// Every setting, by name.
    pub fn settings(&self) -> &[SettingInfo] {
        &self.settings
    }

    /// The setting of this name.
    pub fn setting(&self, name: &str) -> Option<&SettingInfo> {
        let at = self.settings.binary_search_by(|setting| setting.rule.name.as_str().cmp(name)).ok()?;
        self.settings.get(at)
    }

    /// The descriptors themselves. Sharing them between threads on a hot path is slow (their counts sit on one cache line).
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }
}

/// The catalog of this build.
///
/// # Panics
/// When the descriptor set that was built in does not hold together, which the tests would have found.
pub fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| match Reader::new().and_then(Reader::read) {
        Ok(catalog) => catalog,
        Err(error) => panic!("the descriptor set that was built in is broken: {error}"),
    })
}

/// Texts of the catalog live as long as the process: they are few, and read on every call.
fn keep(text: impl Into<String>) -> &'static str {
    Box::leak(text.into().into_boxed_str())
}

struct Reader {
    pool: DescriptorPool,
    service: ExtensionDescriptor,
    method: ExtensionDescriptor,
    resource: ExtensionDescriptor,
    field: ExtensionDescriptor,
}

type Broken = String;

fn option<M: Message + Default>(
    options: &DynamicMessage,
    extension: &ExtensionDescriptor,
) -> Result<Option<M>, Broken> {
    if !options.has_extension(extension) {
        return Ok(None);
    }
    match options.get_extension(extension).as_ref() {
        prost_reflect::Value::Message(rule) => {
            M::decode(rule.encode_to_vec().as_slice()).map(Some).map_err(|error| error.to_string())
        }
        other => Err(format!("option {} is {other:?}", extension.full_name())),
    }
}

impl Reader {
    fn new() -> Result<Self, Broken> {
        let pool = DescriptorPool::decode(gyre_proto::DESCRIPTORS).map_err(|error| error.to_string())?;
        let extension = |name: &str| {
            pool.get_extension_by_name(&format!("gyre.options.v1.{name}")).ok_or_else(|| format!("no option {name}"))
        };
        Ok(Self {
            service: extension("service")?,
            method: extension("method")?,
            resource: extension("resource")?,
            field: extension("field")?,
            pool,
        })
    }

    fn read(self) -> Result<Catalog, Broken> {
        let mut messages = HashMap::new();
        let mut kinds = HashMap::new();
        for message in self.pool.all_messages().filter(|message| message.package_name().starts_with("gyre.")) {
            let rule: Option<ResourceRule> = option(&message.options(), &self.resource)?;
            let name = keep(message.full_name());
            let kind = rule.as_ref().map(|rule| keep(rule.kind.as_str()));
            if let (Some(rule), Some(kind)) = (&rule, kind) {
                let package = message.package_name().split('.').nth(1).unwrap_or_default();
                kinds.insert(
                    kind,
                    KindInfo {
                        kind,
                        plural: keep(rule.plural.as_str()),
                        table: keep(rule.table.as_str()),
                        scope: match rule.scope() {
                            Scope::Unspecified => Scope::Account,
                            scope => scope,
                        },
                        service: keep(package),
                        columns: rule.columns.iter().map(|column| keep(column.as_str())).collect(),
                        message: name,
                        system_tags: rule.system_tags.clone(),
                        bin: rule.binned.then(|| BinInfo {
                            delay: keep(format!("{kind}.bin-delay")),
                            expunge: keep(format!("expunge-{kind}")),
                        }),
                    },
                );
            }
            let mut fields = message.fields().map(|field| self.field(&field)).collect::<Result<Vec<_>, _>>()?;
            fields.sort_by_key(|field| field.number);
            let doc = comment(message.parent_file().file_descriptor_proto(), message.path());
            messages.insert(name, MessageInfo { name, fields, kind, doc });
        }
        let mut methods = HashMap::new();
        let mut settings = Vec::new();
        for service in self.pool.services().filter(|service| service.package_name().starts_with("gyre.")) {
            let rule: ServiceRule = option(&service.options(), &self.service)?
                .ok_or_else(|| format!("{} does not say who hosts it", service.full_name()))?;
            let host = match rule.host.as_str() {
                "*" => HostedBy::Every,
                "gateway" => HostedBy::Gateway,
                "agent" => HostedBy::Agent,
                "plugin" => HostedBy::Plugin,
                name => HostedBy::Service(keep(name)),
            };
            let owner = match host {
                HostedBy::Service(name) => Some(name),
                _ => None,
            };
            settings.extend(rule.settings.into_iter().map(|rule| SettingInfo { rule, service: owner }));
            for method in service.methods() {
                let info = self.method(&method, host, &messages)?;
                methods.insert(info.path, info);
            }
        }
        let references = reference::References::new(&kinds, &messages);
        settings.sort_by(|left: &SettingInfo, right| left.rule.name.cmp(&right.rule.name));
        Ok(Catalog { pool: self.pool, messages, methods, kinds, references, settings })
    }

    fn field(&self, field: &FieldDescriptor) -> Result<FieldInfo, Broken> {
        use prost_reflect::Kind;
        let ty = match field.kind() {
            _ if field.is_map() => FieldType::Map,
            Kind::Bool => FieldType::Bool,
            Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 | Kind::Sfixed32 | Kind::Sfixed64 => FieldType::Int,
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => FieldType::Uint,
            Kind::Float | Kind::Double => FieldType::Float,
            Kind::String => FieldType::Text,
            Kind::Bytes => FieldType::Bytes,
            Kind::Enum(kind) => FieldType::Enum(keep(kind.full_name())),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => FieldType::Time,
                "google.protobuf.Duration" => FieldType::Duration,
                name => FieldType::Message(keep(name)),
            },
        };
        let values = match field.kind() {
            Kind::Enum(kind) => {
                let all: Vec<_> = kind.values().map(|value| (value.number(), keep(value.name()))).collect();
                let prefix = all.first().and_then(|(_, name)| name.strip_suffix("UNSPECIFIED")).unwrap_or_default();
                all.into_iter()
                    .map(|(number, name)| (number, name, name.strip_prefix(prefix).unwrap_or(name)))
                    .collect()
            }
            _ => Vec::new(),
        };
        Ok(FieldInfo {
            name: keep(field.name()),
            json_name: keep(field.json_name()),
            number: field.number(),
            ty,
            repeated: field.is_list(),
            wide: matches!(field.kind(), Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64),
            rule: option(&field.options(), &self.field)?.unwrap_or_default(),
            doc: comment(field.parent_message().parent_file().file_descriptor_proto(), field.path()),
            values,
        })
    }

    fn method(
        &self,
        method: &MethodDescriptor,
        host: HostedBy,
        messages: &HashMap<&'static str, MessageInfo>,
    ) -> Result<MethodInfo, Broken> {
        let rule: MethodRule = option(&method.options(), &self.method)?.unwrap_or_default();
        let input = messages
            .get(method.input().full_name())
            .ok_or_else(|| format!("{} takes a message from outside", method.full_name()))?;
        let service = method.parent_service();
        let number = |name: &str| input.field(name).map(|field| field.number);
        let route = match rule.route.as_str() {
            "" => None,
            path => {
                let mut numbers = Vec::new();
                let mut message = input;
                for name in path.split('.') {
                    let field = message
                        .field(name)
                        .ok_or_else(|| format!("{} is routed by {path}, which is not there", method.full_name()))?;
                    numbers.push(field.number);
                    if let FieldType::Message(inner) = field.ty {
                        message = messages.get(inner).ok_or_else(|| format!("no message {inner}"))?;
                    }
                }
                Some(&*Box::leak(numbers.into_boxed_slice()))
            }
        };
        let uuid =
            |message: &MessageInfo| message.field("uuid").map(|field| (field.number, field.rule.refers_to.clone()));
        let target = match uuid(input) {
            Some((number, kind)) if !kind.is_empty() => Some((vec![number], keep(kind))),
            _ if method.name().starts_with("Update") => input.fields.iter().find_map(|field| {
                let FieldType::Message(inner) = field.ty else { return None };
                let inner = messages.get(inner)?;
                Some((vec![field.number, uuid(inner)?.0], inner.kind?))
            }),
            _ => None,
        };
        let target = target.map(|(path, kind)| Target { path: Box::leak(path.into_boxed_slice()), kind });
        let output = method.output();
        Ok(MethodInfo {
            path: keep(format!("/{}/{}", service.full_name(), method.name())),
            service: keep(service.full_name()),
            name: keep(method.name()),
            host,
            route,
            target,
            access: match rule.access() {
                Access::Unspecified => Access::Account,
                access => access,
            },
            action: keep(rule.action.as_str()),
            input: input.name,
            output: messages.get(output.full_name()).map_or_else(|| keep(output.full_name()), |message| message.name),
            client_streaming: method.is_client_streaming(),
            server_streaming: method.is_server_streaming(),
            request_id: number("request_id"),
            validate_only: number("validate_only"),
            raw_body: number(&rule.raw_body),
            doc: comment(service.parent_file().file_descriptor_proto(), method.path()),
            descriptor: method.clone(),
        })
    }
}

/// The comment above something, on one line.
fn comment(file: &prost_reflect::prost_types::FileDescriptorProto, path: &[i32]) -> &'static str {
    let text = file
        .source_code_info
        .as_ref()
        .and_then(|info| info.location.iter().find(|location| location.path == path))
        .and_then(|location| location.leading_comments.as_deref())
        .unwrap_or_default();
    keep(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_set_is_read_whole() {
        let catalog = catalog();
        let create = catalog.method("/gyre.vm.v1.VmService/CreateVm").unwrap();
        assert_eq!(create.route, Some([1, 1].as_slice()));
        assert_eq!(create.target, None);
        assert_eq!(create.request_id, Some(2));
        assert_eq!(create.host, HostedBy::Service("vm"));
        assert_eq!(create.access, Access::Account);
        assert!(create.doc.starts_with("Makes a machine"));
        let vm = catalog.kind("vm").unwrap();
        assert_eq!((vm.table, vm.service, vm.plural), ("vm", "vm", "vms"));
        let state = catalog.message("gyre.vm.v1.Vm").unwrap().field("state").unwrap();
        assert_eq!(state.value_name(3), Some("RUNNING"));
        assert_eq!(state.value_number("vm_state_running"), Some(3));
    }

    #[test]
    fn calls_about_something_that_is_there_say_what() {
        // about many, about what is no resource, or about one of any kind
        const WITHOUT: [&str; 7] = [
            "common:GetCallbackKey",
            "common:GetEffectiveSetting",
            "common:Query",
            "common:RotateCallbackKey",
            "common:SetSetting",
            "common:UnsetSetting",
            "common:Watch",
        ];
        let open = |method: &&MethodInfo| !matches!(method.access, Access::Internal | Access::Public);
        for method in catalog().methods().filter(open) {
            let none = WITHOUT.contains(&method.action)
                || ["Create", "List"].iter().any(|begin| method.name.starts_with(begin));
            assert_eq!(method.target.is_none(), none, "{}: policies with a filter are about its target", method.path);
        }
    }

    #[test]
    fn references_point_at_kinds_that_exist_and_public_calls_name_an_action() {
        let catalog = catalog();
        for message in catalog.messages.values() {
            for field in &message.fields {
                let refers = field.rule.refers_to.as_str();
                assert!(refers.is_empty() || catalog.kind(refers).is_some(), "{}.{}", message.name, field.name);
            }
        }
        for method in catalog.methods() {
            assert!(method.access == Access::Internal || !method.action.is_empty(), "{}", method.path);
            assert!(!method.doc.is_empty(), "{}", method.path);
        }
    }
}
