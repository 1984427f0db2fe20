//! The walk through the registry: whatever a kind must be able to do, tried on every kind that the descriptors have, through the
//! front door of a node. A kind that cannot do something has a line with the reason in [`GAPS`]; a line is stale, and the test
//! fails, once it can.
//!
//! Nothing here names a kind but that table and what the world is made of.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gyre_agent::Simulation;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use gyre_mesh::egress::Allow;
use gyre_model::catalog::{FieldInfo, FieldType, Format, KindInfo, MessageInfo, Reference, catalog};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What a kind cannot do: the kind, what, and why.
const GAPS: &[(&str, &str, &str)] = &[
    ("debt", "get", "a debt is read as the operation that owes it"),
    ("operation", "tag", "an operation is no resource of anybody's; what it works on has tags"),
    ("tag", "tag", "a tag is a mark itself"),
    ("operation", "delete", "what was done stays done"),
    ("change", "tag", "the log is written by nobody but Gyre"),
    ("change", "watch", "a stream of the log begins with what happens from now on"),
    ("change", "delete", "the log is written by nobody but Gyre"),
    ("setting", "tag", "a value is a mark itself"),
    ("setting", "delete", "UnsetSetting takes a value away, and nothing depends on one"),
    ("tag", "delete", "DeleteTag takes a tag off, and nothing depends on one"),
    ("nic", "delete", "an interface goes with its machine"),
    ("dead-letter", "tag", "a dead letter is what is left of a delivery"),
    ("debt", "delete", "a debt goes when it is paid"),
    ("debt", "row", "nothing gets stuck in a small world, so nothing is owed"),
];

/// What is tried, in order.
const CHECKS: &[&str] = &[
    "list",
    "row",
    "get",
    "filter",
    "order",
    "query",
    "group",
    "tag",
    "watch",
    "delete",
    "cli",
    "openapi",
    "reference",
    "python",
];

struct Walk {
    front: Front,
    document: Value,
    gyre: PathBuf,
    sign_in: PathBuf,
}

/// One kind, and a row of it where there is one.
struct Subject {
    kind: &'static KindInfo,
    message: &'static MessageInfo,
    row: Option<Value>,
}

impl Subject {
    /// The fields that have a column.
    fn stored(&self) -> impl Iterator<Item = &'static FieldInfo> {
        self.message.fields.iter().filter(|field| !field.rule.not_stored)
    }

    fn uuid(&self) -> Option<&str> {
        self.row.as_ref()?["uuid"].as_str()
    }
}

impl Walk {
    async fn check(&self, what: &str, subject: &Subject) -> Result<()> {
        match what {
            "list" => self.rows(subject.kind, "").await.map(drop),
            "row" => subject.row.as_ref().map(drop).context("the world has none of it"),
            "get" => self.get(subject).await,
            "filter" => self.filter(subject).await,
            "order" => self.order(subject).await,
            "query" => self.query(subject).await,
            "group" => self.group(subject).await,
            "tag" => self.tag(subject).await,
            "watch" => self.watch(subject).await,
            "delete" => self.delete(subject).await,
            "cli" => self.cli(subject).await,
            "openapi" => self.openapi(subject),
            "reference" => reference(subject),
            "python" => python(subject),
            other => bail!("nobody knows how to try {other}"),
        }
    }

    /// The rows that a list answers.
    async fn rows(&self, kind: &KindInfo, query: &str) -> Result<Vec<Value>> {
        let page = self.front.get(&format!("/v1/{}{query}", kind.plural)).await?.good()?;
        let rows = page.as_object().context("a page that is no object")?.values().find_map(Value::as_array);
        Ok(rows.cloned().unwrap_or_default())
    }

    async fn get(&self, subject: &Subject) -> Result<()> {
        let uuid = subject.uuid().unwrap_or("0193f3a0-1111-4222-8333-444455556666");
        let answer = self.front.get(&format!("/v1/{}/{uuid}", subject.kind.plural)).await?;
        match &subject.row {
            Some(_) => ensure!(answer.good()?["uuid"] == uuid, "another one is answered"),
            None => ensure!(answer.reason() == "NOT_FOUND", "{}", answer.body),
        }
        Ok(())
    }

    async fn filter(&self, subject: &Subject) -> Result<()> {
        for field in subject.stored() {
            let known = subject.row.as_ref().and_then(|row| literal(field, &row[field.json_name]));
            let compare = if field.repeated { ":" } else { "=" };
            // what is inside of a message has no column of its own
            if matches!(field.ty, FieldType::Message(_) | FieldType::Map) {
                continue;
            }
            let value = known.clone().unwrap_or_else(|| any(field));
            let text = format!("{} {compare} {value}", field.name);
            let found = self
                .rows(subject.kind, &format!("?pageSize=1000&filter={}", escaped(&text)))
                .await
                .with_context(|| format!("filter {text}"))?;
            // what goes on while it is looked at may be another by now
            if known.is_some() && settled(field.name) {
                let there = found.iter().any(|row| row["uuid"].as_str() == subject.uuid());
                ensure!(there, "filter {text} does not find the row that it was made of");
            }
        }
        Ok(())
    }

    async fn order(&self, subject: &Subject) -> Result<()> {
        let sortable = |field: &&FieldInfo| {
            !field.repeated && !matches!(field.ty, FieldType::Message(_) | FieldType::Map | FieldType::Bytes)
        };
        for field in subject.stored().filter(sortable) {
            for order in [field.name.to_owned(), format!("{} desc", field.name)] {
                let query = format!("?pageSize=1&orderBy={}", escaped(&order));
                self.rows(subject.kind, &query).await.with_context(|| format!("order {order}"))?;
            }
        }
        Ok(())
    }

    /// The call over any kind finds it, with what it refers to, and counts.
    async fn query(&self, subject: &Subject) -> Result<()> {
        let plural = subject.kind.plural;
        self.front.get(&format!("/v1/{plural}:query")).await?.good()?;
        let mut fields = vec!["uuid".to_owned()];
        // one step along each reference
        let own = |reference: &&Reference| reference.kind == subject.kind.kind && !reference.repeated;
        let along = catalog().references().iter().filter(own);
        fields.extend(along.map(|reference| format!("{}.uuid", reference.forward)));
        let fields: Vec<_> = fields.iter().map(|field| format!("&fields={field}")).collect();
        let query = format!("/v1/{plural}:query?count=true&pageSize=1000{}", fields.concat());
        let answer = self.front.get(&query).await?.good()?;
        if let Some(uuid) = subject.uuid() {
            let rows = answer["rows"].as_array().context("no rows")?;
            ensure!(rows.iter().any(|row| row["uuid"] == uuid), "{query} does not find {uuid}");
            ensure!(
                answer["totalSize"].as_str().is_some_and(|total| total != "0"),
                "{query} counts {}",
                answer["totalSize"]
            );
        }
        Ok(())
    }

    /// It is counted in groups.
    async fn group(&self, subject: &Subject) -> Result<()> {
        let query = format!("/v1/{}:query?groupBy=uuid&pageSize=1000", subject.kind.plural);
        let answer = self.front.get(&query).await?.good()?;
        if let Some(uuid) = subject.uuid() {
            let groups = answer["rows"].as_array().context("no groups")?;
            let own = groups.iter().find(|group| group["uuid"] == uuid).context("it is in no group")?;
            ensure!(!own["count"].is_null(), "{own} has no count");
        }
        Ok(())
    }

    /// A tag is put on it, found by a filter, and taken off.
    async fn tag(&self, subject: &Subject) -> Result<()> {
        let Some(uuid) = subject.uuid() else { return Ok(()) };
        let tag = json!({"resourceKind": subject.kind.kind, "resourceUuid": uuid, "text": "walk=yes"});
        let tag = self.front.make("/v1/tags", tag).await?;
        let row = self.front.get(&format!("/v1/{}/{uuid}", subject.kind.plural)).await?.good()?;
        let tags = row["tags"].as_array().context("no tags")?;
        ensure!(tags.iter().any(|text| text == "walk=yes"), "its tags are {tags:?}");
        for (filter, there) in [("tags:\"walk=yes\"", true), ("tags:walk", true), ("tags:\"walk=no\"", false)] {
            let found = self.rows(subject.kind, &format!("?pageSize=1000&filter={}", escaped(filter))).await?;
            let found = found.iter().any(|row| row["uuid"] == uuid);
            ensure!(found == there, "filter {filter} finds it: {found}");
        }
        self.front.delete(&format!("/v1/tags/{tag}")).await?.good()?;
        Ok(())
    }

    /// A live stream of a list begins with what is in it.
    async fn watch(&self, subject: &Subject) -> Result<()> {
        let Some(uuid) = subject.uuid() else { return Ok(()) };
        let address = self.front.endpoint().trim_start_matches("http://");
        let filter = escaped(&format!("uuid = \"{uuid}\""));
        let request = format!(
            "GET /v1/{}:watch?filter={filter} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\r\n",
            subject.kind.plural,
            self.front.token()
        );
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut seen = Vec::new();
        let synced = async {
            while !String::from_utf8_lossy(&seen).contains("WATCH_EVENT_TYPE_SYNCED") {
                ensure!(stream.read_buf(&mut seen).await? > 0, "the stream ended");
            }
            anyhow::Ok(())
        };
        let ended = tokio::time::timeout(Duration::from_secs(5), synced).await;
        let seen = String::from_utf8_lossy(&seen);
        ensure!(matches!(ended, Ok(Ok(()))), "it is not told what is in the list: {seen}");
        ensure!(seen.contains("WATCH_EVENT_TYPE_SNAPSHOT") && seen.contains(uuid), "it is not in the list: {seen}");
        Ok(())
    }

    /// A dry run shows what would go, and nothing goes.
    async fn delete(&self, subject: &Subject) -> Result<()> {
        let KindInfo { plural, message, .. } = subject.kind;
        let name = format!("Delete{}", message.rsplit('.').next().unwrap_or_default());
        let call = catalog().methods().find(|method| method.name == name).context("no call deletes it")?;
        let request = catalog().message(call.input).context("a call without request")?;
        ensure!(request.field("validate_only").is_some(), "{name} has no dry run");
        let Some(uuid) = subject.uuid() else { return Ok(()) };
        let path = format!("/v1/{plural}/{uuid}");
        let tried = self.front.delete(&format!("{path}?validateOnly=true&cascade=true")).await?.good()?;
        let first = &tried["deletion"]["nodes"][0];
        ensure!(first["kind"] == subject.kind.kind && first["items"][0]["uuid"] == uuid, "the dry run shows {tried}");
        ensure!(self.front.get(&path).await?.good()?["uuid"] == uuid, "it is gone");
        Ok(())
    }

    /// Deletes it for good with all that refers to it; what went along with another is gone already.
    async fn remove(&self, kind: &KindInfo, uuid: &str) -> Result<()> {
        let path = format!("/v1/{}/{uuid}", kind.plural);
        if self.front.get(&path).await?.reason() == "NOT_FOUND" {
            return Ok(());
        }
        let bin = if kind.bin.is_some() { "&expunge=true" } else { "" };
        self.front.done(http::Method::DELETE, &format!("{path}?cascade=true{bin}"), None).await?;
        ensure!(self.front.get(&path).await?.reason() == "NOT_FOUND", "it is there");
        Ok(())
    }

    /// Runs `gyre` with these words.
    async fn gyre(&self, words: &[&str]) -> Result<String> {
        let output = tokio::process::Command::new(&self.gyre)
            .args(words)
            .env_clear()
            .env("GYRE_ENDPOINT", self.front.endpoint())
            .env("GYRE_SIGN_IN_FILE", &self.sign_in)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        ensure!(output.status.success(), "gyre {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn cli(&self, subject: &Subject) -> Result<()> {
        let kind = subject.kind.kind;
        let listed = self.gyre(&[kind, "list", "-q", "-o", "json"]).await?;
        if let Some(uuid) = subject.uuid() {
            ensure!(listed.contains(uuid), "gyre {kind} list does not show {uuid}");
        }
        self.gyre(&[kind, "list", "-q", "-o", "wide"]).await.map(drop)
    }

    fn openapi(&self, subject: &Subject) -> Result<()> {
        let KindInfo { kind, plural, .. } = subject.kind;
        let facts = &self.document["x-gyre-kinds"][kind];
        ensure!(facts["plural"] == *plural, "{kind} is not in x-gyre-kinds");
        let schema = facts["schema"].as_str().and_then(|at| self.document.pointer(at.trim_start_matches('#')));
        ensure!(schema.is_some_and(|schema| schema["properties"]["uuid"].is_object()), "no schema");
        let list = &self.document["paths"][format!("/v1/{plural}")]["get"]["responses"]["200"];
        let example = &list["content"]["application/json"]["example"];
        let rows = example.as_object().and_then(|page| page.values().find_map(Value::as_array));
        ensure!(rows.is_some_and(|rows| rows[0]["uuid"] == facts["exampleUuid"]), "no example of a list: {example}");
        Ok(())
    }
}

/// Whether what a field says stays while nobody touches the resource.
fn settled(name: &str) -> bool {
    !matches!(name, "update_time" | "generation" | "status_time" | "state" | "percent")
}

fn reference(subject: &Subject) -> Result<()> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let page = std::fs::read_to_string(folder.join(format!("{}.md", subject.kind.kind)))?;
    for field in &subject.message.fields {
        ensure!(page.contains(&format!("| `{}` |", field.name)), "its page has no line for {}", field.name);
    }
    Ok(())
}

fn python(subject: &Subject) -> Result<()> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/clients/python/src/gyre_client");
    let types = std::fs::read_to_string(folder.join("types.py"))?;
    let name = subject.kind.message.rsplit('.').next().unwrap_or_default();
    let (_, class) = types.split_once(&format!("\nclass {name}(")).context("no dataclass")?;
    let class = class.split("\n\n\n").next().unwrap_or_default();
    for field in &subject.message.fields {
        ensure!(class.contains(&format!("\"{}\": (", field.json_name)), "its dataclass has no {}", field.name);
    }
    let calls = std::fs::read_to_string(folder.join("calls.py"))?;
    let attribute = subject.kind.plural.replace('-', "_");
    ensure!(calls.contains(&format!("        self.{attribute} = ")), "no client.{attribute}");
    Ok(())
}

/// A value of a row as a filter says it; nothing where the row has none.
fn literal(field: &FieldInfo, value: &Value) -> Option<String> {
    let value = if field.repeated { value.as_array()?.first()? } else { value };
    match value {
        Value::String(text) => {
            let full = field.values.iter().find(|(_, full, _)| full == text);
            Some(match full {
                Some((.., short)) => (*short).to_owned(),
                None => json!(text).to_string(),
            })
        }
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Some value of a field's type, as a filter says it.
fn any(field: &FieldInfo) -> String {
    match field.ty {
        FieldType::Bool => "false".to_owned(),
        FieldType::Int | FieldType::Uint => "7".to_owned(),
        FieldType::Float => "0.5".to_owned(),
        FieldType::Time => "\"2026-01-31T12:00:00Z\"".to_owned(),
        FieldType::Enum(_) => field.values.get(1).map_or("UNSPECIFIED", |(.., short)| short).to_owned(),
        FieldType::Text if field.rule.format() == Format::Uuid || field.name.ends_with("uuid") => {
            "\"0193f3a0-1111-4222-8333-444455556666\"".to_owned()
        }
        _ => "\"x\"".to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Something of every kind that can be made.
async fn world(front: &Front, folder: &str) -> Result<()> {
    let site = front.site("walk", &["local"], folder).await?;
    let image = front.upload(&site, "disk", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    let vm = front.done(http::Method::POST, "/v1/vms", Some(Front::vm(&site, &image, "walker"))).await?;
    front.make("/v1/tags", json!({"resourceKind": "vm", "resourceUuid": vm, "text": "kept"})).await?;
    let key = front.make("/v1/api-keys", json!({"name": "walk"})).await?;
    let policy = json!({"name": "walk", "effect": "DENY", "actions": ["vm:Delete*"], "apiKeyUuid": key});
    front.make("/v1/policies", policy).await?;
    front.make("/v1/settings", json!({"name": "vm.stop-grace", "value": "45s"})).await?;
    front.dead_letter().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_can_do_what_every_kind_can() -> Result<()> {
    let gyre =
        std::env::current_exe()?.parent().and_then(|deps| Some(deps.parent()?.join("gyre"))).context("no folder")?;
    if !gyre_integration::host::needs(gyre.is_file(), "the program gyre (cargo build --workspace --all-features)") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    node.node().mesh().allow_callbacks(Allow::new(["127.0.0.1:9".parse().map_err(anyhow::Error::msg)?]));
    let front = node.front().await?;
    world(&front, &folder.path().to_string_lossy()).await?;
    let document = front.get("/openapi.json").await?.good()?;
    let walk = Walk { front, document, gyre, sign_in: folder.path().join("admin.json") };
    let mut kinds: Vec<_> = catalog().kinds().collect();
    kinds.sort_by_key(|kind| kind.kind);
    let mut wrong = Vec::new();
    for (kind, what, _) in GAPS {
        if catalog().kind(kind).is_none() || !CHECKS.contains(what) {
            wrong.push(format!("{kind} {what}: this line of GAPS names nothing"));
        }
    }
    let mut there = Vec::new();
    for kind in kinds {
        let message = catalog().message(kind.message).context("a kind without message")?;
        let row = walk.rows(kind, "?pageSize=1").await.unwrap_or_default().into_iter().next();
        let subject = Subject { kind, message, row };
        for what in CHECKS {
            let gap = GAPS.iter().any(|(of, gap, _)| of == &kind.kind && gap == what);
            match walk.check(what, &subject).await {
                Ok(()) if gap => wrong.push(format!("{} {what}: it can, so its line in GAPS is stale", kind.kind)),
                Err(error) if !gap => wrong.push(format!("{} {what}: {error:#}", kind.kind)),
                _ => {}
            }
        }
        // the one account is that of who asks
        let stays = kind.kind == "account" || GAPS.iter().any(|(of, gap, _)| of == &kind.kind && *gap == "delete");
        there.extend(subject.uuid().filter(|_| !stays).map(|uuid| (kind, uuid.to_owned())));
    }
    for (kind, uuid) in there {
        if let Err(error) = walk.remove(kind, &uuid).await {
            wrong.push(format!("{} cannot be deleted: {error:#}", kind.kind));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    node.shutdown().await;
    Ok(())
}
