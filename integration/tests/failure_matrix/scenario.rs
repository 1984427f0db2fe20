//! How each workflow is begun: by the call of its name, with a request that is made from its descriptor.
//!
//! `create-vm` is begun by `CreateVm`. References are filled with what the world has of that kind, required fields by their rules.
//! What state a resource must be in is found by trying: the first candidate for which the call begins this very workflow.

use anyhow::{Context as _, Result, bail};
use gyre_flow::faults::Known;
use gyre_model::catalog::{FieldInfo, FieldType, Format, HostedBy, MessageInfo, MethodInfo};
use gyre_model::{Uuid, catalog};
use gyre_proto::Message as _;
use gyre_proto::common::v1::Operation;
use gyre_proto::vm::v1::MendMachineResponse;
use gyre_store::Sql;
use serde_json::{Map, Value as Json, json};

use crate::call::method;
use crate::slate::sql_uuid;
use crate::world::{World, uuid};

/// Workflows whose call has another name.
const OTHER_NAMES: [(&str, &str); 6] = [
    ("destroy-vm", "DeleteVm"),
    ("bin-volume", "DeleteVolume"),
    ("bin-image", "DeleteImage"),
    ("await-upload", "CreateImage"),
    ("finish-upload", "UploadImage"),
    ("confirm-volume", "CreateRootVolume"),
];

/// Workflows that a rule of reconciliation begins.
const RULES: [(&str, &str); 2] = [("stop-again-vm", "running-but-off"), ("sweep-vm", "gone-but-there")];

/// What is said in a call beyond what its descriptor tells.
const SAID: [(&str, &str, &str); 1] = [("await-upload", "url", "upload")];

/// How a workflow is begun.
#[derive(Clone)]
pub enum Scenario {
    /// By a call.
    Call(&'static MethodInfo),
    /// By a call about a root volume whose operation is not known any more.
    ForgottenVolume(&'static MethodInfo),
    /// By nobody: a machine that is off holds room.
    Leftover,
    /// By a rule of reconciliation: a host has what the machine's row denies.
    Mend(&'static str, &'static str),
}

/// One way to begin it.
#[derive(Clone, Debug)]
pub struct Wish {
    pub body: Json,
    /// What it is about, where it is there before.
    pub about: Option<Uuid>,
}

fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            if !out.is_empty() {
                out.push('-');
            }
            out.push(c.to_ascii_lowercase());
        } else {
            out.push(c);
        }
    }
    out
}

/// How a workflow is begun.
///
/// # Errors
/// What to add where that is not known.
pub fn of(workflow: &str) -> Result<Scenario> {
    if workflow == "settle-vm" {
        return Ok(Scenario::Leftover);
    }
    if let Some((workflow, rule)) = RULES.into_iter().find(|(known, _)| *known == workflow) {
        return Ok(Scenario::Mend(workflow, rule));
    }
    if let Some((_, name)) = OTHER_NAMES.iter().find(|(known, _)| *known == workflow) {
        let info = method(name)?;
        return Ok(if workflow == "confirm-volume" { Scenario::ForgottenVolume(info) } else { Scenario::Call(info) });
    }
    let mut found =
        catalog().methods().filter(|info| matches!(info.host, HostedBy::Service(_)) && kebab(info.name) == workflow);
    found.next().map(Scenario::Call).with_context(|| {
        format!(
            "workflow {workflow} is in no case of the failure matrix: no call has its name. Name the call that begins it in \
             OTHER_NAMES, or the rule of reconciliation in RULES, of integration/tests/failure_matrix/scenario.rs, or add a variant of Scenario where no call does"
        )
    })
}

/// Whether a workflow begins with nothing.
pub fn creates(known: &Known) -> bool {
    known.name.starts_with("create-") || known.name == "await-upload"
}

/// The choices for one field of a request.
struct Choice {
    path: Vec<&'static str>,
    values: Vec<Json>,
}

impl World {
    fn text(&mut self, workflow: &str, field: &FieldInfo) -> Json {
        if let Some((.., said)) = SAID.iter().find(|(of, name, _)| *of == workflow && *name == field.name) {
            return json!(said);
        }
        let name = self.name();
        match Format::try_from(field.rule.format).unwrap_or(Format::Unspecified) {
            Format::Uuid => json!(Uuid::new_v4().to_string()),
            Format::Ipv4 => json!("10.81.0.1"),
            Format::Path => json!(format!("/var/lib/gyre/{name}")),
            Format::Address => json!(self.site.agent_address),
            Format::ImageUrl => json!(format!("https://images.invalid/{name}")),
            Format::Interface | Format::Login | Format::Unspecified => json!(name),
        }
    }

    /// The kind that a UUID refers to: said, or told by the field's name.
    fn kind_of(field: &FieldInfo, about: Option<&str>) -> Option<String> {
        if !field.rule.refers_to.is_empty() {
            return Some(field.rule.refers_to.clone());
        }
        if field.name == "uuid" {
            return about.map(str::to_owned);
        }
        let stem = field.name.strip_suffix("_uuids").or_else(|| field.name.strip_suffix("_uuid"))?;
        let kind = stem.replace('_', "-");
        catalog().kind(&kind).map(|info| info.kind.to_owned())
    }

    fn choices(
        &mut self,
        known: &Known,
        state: Option<&str>,
        info: &MethodInfo,
        message: &'static MessageInfo,
        path: &[&'static str],
        out: &mut Vec<Choice>,
    ) -> Result<()> {
        let creates = creates(known);
        for field in &message.fields {
            if field.rule.output_only {
                continue;
            }
            let mut at = path.to_vec();
            at.push(field.json_name);
            let mut values = Vec::new();
            let reference = Format::try_from(field.rule.format) == Ok(Format::Uuid);
            match field.ty {
                // what a create makes has a UUID of its own
                // deletions take along what depends on it, and delete for good where that is their name
                FieldType::Bool if known.name.starts_with("delete-") && field.name == "cascade" => {
                    values.push(json!(true));
                }
                FieldType::Bool if known.name.starts_with("delete-") && field.name == "expunge" => {
                    values.push(json!(true));
                }
                FieldType::Text if reference && creates && path.len() == 1 && field.name == "uuid" => {}
                FieldType::Text
                    if reference && creates && Self::kind_of(field, None).as_deref() == Some(&known.resource) =>
                {
                    values.push(json!(Uuid::new_v4().to_string()));
                }
                FieldType::Text if reference => {
                    let kind = Self::kind_of(field, Some(&known.resource)).with_context(|| {
                        format!("it is not said what {}.{} refers to: say so with refers_to", message.name, field.name)
                    })?;
                    let subject = !creates && kind == known.resource;
                    let all = if subject { self.subjects(&kind, state)? } else { self.all_of(&kind)? };
                    values.extend(
                        all.iter().map(|uuid| {
                            if field.repeated { json!([uuid.to_string()]) } else { json!(uuid.to_string()) }
                        }),
                    );
                }
                FieldType::Bytes if info.raw_body == Some(field.number) => {
                    // a disk of 1 MiB at most, since a message has no more
                    use base64::Engine as _;
                    values.push(json!(base64::engine::general_purpose::STANDARD.encode(vec![0u8; 1 << 20])));
                }
                FieldType::Message(name) if field.rule.required => {
                    let inner = catalog().message(name).with_context(|| format!("no message {name}"))?;
                    self.choices(known, state, info, inner, &at, out)?;
                }
                _ if !field.rule.required => {}
                FieldType::Text => values.push(self.text(&known.name, field)),
                FieldType::Bool => values.push(json!(true)),
                FieldType::Int | FieldType::Uint => values.push(json!(field.rule.min.unwrap_or(1).max(1))),
                FieldType::Float => values.push(json!(1)),
                FieldType::Bytes => values.push(json!("AAAA")),
                FieldType::Enum(_) => {
                    values.extend(
                        field.values.iter().filter(|(number, ..)| *number != 0).map(|(_, name, _)| json!(name)),
                    );
                }
                FieldType::Time | FieldType::Duration | FieldType::Message(_) | FieldType::Map => {
                    bail!("{}.{} is required, and nothing is known to fill it with", message.name, field.name)
                }
            }
            if !values.is_empty() {
                out.push(Choice { path: at, values });
            }
        }
        Ok(())
    }

    /// Every way to begin a workflow that differs from the first in one choice.
    pub fn wishes(&mut self, known: &Known, state: Option<&str>, scenario: &Scenario) -> Result<Vec<Wish>> {
        match scenario {
            Scenario::Call(info) => {
                let message = catalog().message(info.input).context("a call without message")?;
                let mut choices = Vec::new();
                self.choices(known, state, info, message, &[], &mut choices)?;
                let usual = body(&choices, |_| 0);
                let mut wishes = vec![usual];
                for (varied, choice) in choices.iter().enumerate() {
                    wishes.extend(
                        (1..choice.values.len()).map(|value| body(&choices, |at| if at == varied { value } else { 0 })),
                    );
                }
                Ok(wishes.into_iter().map(|body| Wish { body, about: None }).collect())
            }
            Scenario::ForgottenVolume(_) => {
                let found = self.site.look(|conn| {
                    let sql = "SELECT v.uuid, v.vm_uuid, v.host_uuid, h.cluster_uuid, v.image_uuid FROM volume v \
                               JOIN host h ON h.uuid = v.host_uuid WHERE v.type = 'ROOT' AND v.state = 'READY' ORDER BY v.uuid";
                    let rows = conn.query(Sql::new(sql))?;
                    rows.iter().map(|row| (0..5).map(|at| row.id(at)).collect()).collect::<gyre_model::Result<Vec<Vec<_>>>>()
                })?;
                let wish = |row: Vec<Uuid>| Wish {
                    body: json!({
                        "volumeUuid": row[0].to_string(), "vmUuid": row[1].to_string(), "hostUuid": row[2].to_string(),
                        "clusterUuid": row[3].to_string(), "imageUuid": row[4].to_string(),
                    }),
                    about: Some(row[0]),
                };
                Ok(found.into_iter().map(wish).collect())
            }
            Scenario::Mend(_, rule) => {
                let Some(vm) = self.first("vm", "state = 'RUNNING'")? else { return Ok(Vec::new()) };
                let host = self.site.look(move |conn| {
                    let sql = Sql::new("SELECT host_uuid FROM vm WHERE uuid = ").bind(vm);
                    conn.query_one(sql)?.ok_or_else(|| gyre_model::Error::not_found("vm", vm))?.id(0)
                })?;
                let body = json!({"vmUuid": vm.to_string(), "hostUuid": host.to_string(), "rule": rule});
                Ok(vec![Wish { body, about: Some(vm) }])
            }
            Scenario::Leftover => {
                let about = self.first("vm", "state = 'STOPPED'")?;
                Ok(vec![Wish { body: Json::Null, about }])
            }
        }
    }

    /// Does what must be done before a workflow can be begun and is not a part of it. Before the slate is looked at.
    pub fn prepare(&mut self, scenario: &Scenario, wish: &Wish) -> Result<()> {
        if let (Scenario::ForgottenVolume(_), Some(volume)) = (scenario, wish.about) {
            let uuid = sql_uuid(self.site.dialect(), volume);
            let sql = format!("DELETE FROM operation WHERE resource_uuid = {uuid}");
            self.site.sql(move |conn| Ok(conn.execute(Sql::new(sql))?))?;
        }
        if let (Scenario::Mend(_, rule), Some(vm)) = (scenario, wish.about) {
            // behind the back of everybody, so that the host has it otherwise
            let uuid = sql_uuid(self.site.dialect(), vm);
            let of_vm = |column: &str| format!("(SELECT {column} FROM vm WHERE uuid = {uuid})");
            let mut changes = vec![
                format!(
                    "UPDATE host SET cpu_used = cpu_used - {}, memory_used_bytes = memory_used_bytes - {} WHERE uuid = {}",
                    of_vm("cpu_count"),
                    of_vm("memory_bytes"),
                    of_vm("host_uuid")
                ),
                format!("DELETE FROM host_placement WHERE claim_uuid = {uuid}"),
            ];
            changes.push(match *rule {
                "gone-but-there" => format!("DELETE FROM vm WHERE uuid = {uuid}"),
                _ => format!("UPDATE vm SET state = 'STOPPED', generation = generation + 1 WHERE uuid = {uuid}"),
            });
            self.site.sql(move |conn| {
                for change in changes {
                    conn.execute(Sql::new(change))?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Begins it; the future ends with the node. Answers the operation; nothing for one that nobody asks for.
    pub fn begin(&self, scenario: &Scenario, wish: &Wish) -> tokio::task::JoinHandle<Result<Option<Operation>>> {
        match scenario {
            Scenario::Call(info) | Scenario::ForgottenVolume(info) => {
                let (mesh, admin, info, body) = (self.site.mesh(), self.admin, *info, wish.body.clone());
                self.site.spawn(async move {
                    let answer = crate::call::call(mesh, admin, info, body).await?;
                    Ok(Some(Operation::decode(answer.as_slice())?))
                })
            }
            Scenario::Mend(workflow, _) => {
                let workflow = *workflow;
                let (mesh, admin, body) = (self.site.mesh(), self.admin, wish.body.clone());
                self.site.spawn(async move {
                    let answer = crate::call::call(mesh, admin, method("MendMachine")?, body).await?;
                    let begun = MendMachineResponse::decode(answer.as_slice())?;
                    let workflow = workflow.to_owned();
                    Ok(Some(Operation { uuid: begun.operation_uuid, workflow, ..Operation::default() }))
                })
            }
            Scenario::Leftover => {
                let (store, dialect, vm) = (self.site.store(), self.site.dialect(), wish.about);
                self.site.spawn(async move {
                    let vm = vm.context("the world has no machine that is off")?;
                    let vm_uuid = sql_uuid(dialect, vm);
                    let changes = [
                        format!(
                            "INSERT INTO host_placement (claim_uuid, host_uuid, cpu_count, memory_bytes) \
                             SELECT uuid, host_uuid, cpu_count, memory_bytes FROM vm WHERE uuid = {vm_uuid}"
                        ),
                        format!(
                            "UPDATE host SET cpu_used = cpu_used + (SELECT cpu_count FROM vm WHERE uuid = {vm_uuid}), \
                             memory_used_bytes = memory_used_bytes + (SELECT memory_bytes FROM vm WHERE uuid = {vm_uuid}) \
                             WHERE uuid = (SELECT host_uuid FROM vm WHERE uuid = {vm_uuid})"
                        ),
                    ];
                    let write = move |conn: &mut gyre_store::Conn| {
                        for change in changes {
                            conn.execute(Sql::new(change))?;
                        }
                        Ok(())
                    };
                    store.write("matrix-leftover", write).await?;
                    Ok(None)
                })
            }
        }
    }
}

fn put(body: &mut Map<String, Json>, path: &[&str], value: Json) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        body.insert((*first).to_owned(), value);
    } else if let Json::Object(inner) = body.entry((*first).to_owned()).or_insert_with(|| json!({})) {
        put(inner, rest, value);
    }
}

fn body(choices: &[Choice], pick: impl Fn(usize) -> usize) -> Json {
    let mut body = Map::new();
    for (at, choice) in choices.iter().enumerate() {
        put(&mut body, &choice.path, choice.values[pick(at)].clone());
    }
    Json::Object(body)
}

/// The UUID of an operation.
pub fn operation_uuid(operation: &Operation) -> Result<Uuid> {
    uuid(&operation.uuid)
}
