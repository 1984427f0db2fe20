//! Random requests: paths, parameters, bodies and headers that are almost right, or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use base64::Engine as _;
use gyre_agent::Simulation;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use http::Request;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::document::{Call, Document};
use super::judge;

/// Requests that a usual run makes.
const REQUESTS: usize = 20_000;
/// How many are under way at a time.
const AT_ONCE: usize = 16;
/// How many different faults are enough to end.
const MOST_FOUND: usize = 40;
/// Calls that would take away what the others need, or go on for long.
const LEFT_OUT: [&str; 1] = ["WaitOperation"];

const TEXTS: [&str; 28] = [
    "",
    "a",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "NaN",
    "99999999999999999999",
    "*",
    "a*",
    "%",
    "..",
    "../../etc/passwd",
    "\u{0}",
    "\u{7f}\u{1b}[2J",
    "\u{202e}\u{feff}",
    "ÄÖÜ 🦀",
    "'; DROP TABLE vm; --",
    "\\",
    "\"",
    "${jndi:ldap://x}",
    "<script>",
    "2026-02-30T25:61:61Z",
    "0000-00-00",
    "00000000-0000-0000-0000-000000000000",
    "{}",
    "[1,2",
];
const WORDS: [&str; 40] = [
    "name",
    "uuid",
    "state",
    "createTime",
    "create_time",
    "generation",
    "description",
    "account",
    "accountUuid",
    "host",
    "host.cluster.zone.name",
    "cluster",
    "vms",
    "vms.host.name",
    "nics.ip",
    "tags",
    "volumes.snapshots.createTime",
    "AND",
    "OR",
    "NOT",
    "(",
    ")",
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    ":",
    "IN",
    "[",
    "]",
    ",",
    "null",
    "\"x\"",
    "\"*\"",
    "4GiB",
    "\"2026-01-01\"",
    "-",
    "true",
];

struct Maker<'a> {
    dice: Dice,
    document: &'a Document,
    real: &'a [String],
}

impl Maker<'_> {
    fn text(&mut self) -> String {
        match self.dice.below(12) {
            0 => "x".repeat(self.dice.below(5000)),
            1 => (0..self.dice.below(40)).filter_map(|_| char::from_u32(self.dice.below(0x11_0000) as u32)).collect(),
            2 => uuid::Uuid::from_u64_pair(self.dice.number(), self.dice.number()).to_string(),
            3 if !self.real.is_empty() => self.real[self.dice.below(self.real.len())].clone(),
            4 => self.filter(),
            5 => base64::engine::general_purpose::STANDARD.encode(self.text()),
            _ => self.dice.pick(&TEXTS).to_owned(),
        }
    }

    fn filter(&mut self) -> String {
        let words: Vec<_> = (0..=self.dice.below(12)).map(|_| self.dice.pick(&WORDS)).collect();
        words.join(if self.dice.one_in(4) { "" } else { " " })
    }

    /// Any value.
    fn any(&mut self, depth: usize) -> Value {
        match self.dice.below(if depth > 4 { 6 } else { 9 }) {
            0 => Value::Null,
            1 => json!(self.dice.one_in(2)),
            2 => json!(self.dice.number() as i64),
            3 => json!(f64::from_bits(self.dice.number())),
            4 | 5 => json!(self.text()),
            6 => (0..self.dice.below(5)).map(|_| self.any(depth + 1)).collect(),
            7 => json!({(self.text()): self.any(depth + 1)}),
            _ => {
                let mut nested = json!(1);
                for _ in 0..self.dice.below(60) {
                    nested = if self.dice.one_in(2) { json!([nested]) } else { json!({"a": nested}) };
                }
                nested
            }
        }
    }

    /// A value of a schema, mostly.
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if self.dice.one_in(8) {
            return self.any(depth);
        }
        let schema = self.document.follow(schema);
        if let Some(values) = schema["enum"].as_array() {
            return values[self.dice.below(values.len())].clone();
        }
        match schema["type"].as_str() {
            Some("object") if depth < 5 => self.object(schema, depth),
            Some("array") => (0..self.dice.below(4)).map(|_| self.value(&schema["items"], depth + 1)).collect(),
            Some("integer") => json!(self.dice.below(300)),
            Some("boolean") => json!(self.dice.one_in(2)),
            Some("number") => json!(0.5),
            Some("string") => match schema["format"].as_str() {
                Some("uuid") if !self.real.is_empty() => json!(self.real[self.dice.below(self.real.len())]),
                Some("date-time") => json!("2026-01-31T12:00:00Z"),
                Some("ipv4") => json!("10.9.8.7"),
                _ => json!(self.text()),
            },
            _ if schema["type"].is_array() => json!(self.dice.number().to_string()),
            _ => self.any(depth),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut object = Map::new();
        let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let wanted = required.contains(&name.as_str());
            if (wanted && !self.dice.one_in(10)) || self.dice.one_in(3) {
                object.insert(name.clone(), self.value(property, depth + 1));
            }
        }
        if self.dice.one_in(10) {
            object.insert(self.text(), self.any(depth + 1));
        }
        Value::Object(object)
    }

    fn body(&mut self, call: &Call) -> Vec<u8> {
        let Some((schema, example)) = &call.body else {
            return if call.raw || self.dice.one_in(10) { self.text().into_bytes() } else { Vec::new() };
        };
        let mut body = match self.dice.below(6) {
            0 => example.clone(),
            1 => self.any(0),
            _ => self.value(schema, 0),
        }
        .to_string()
        .into_bytes();
        match self.dice.below(12) {
            0 => body.truncate(self.dice.below(body.len() + 1)),
            1 if !body.is_empty() => {
                let at = self.dice.below(body.len());
                body[at] = self.dice.number() as u8;
            }
            2 => body.extend_from_slice(b"{}"),
            3 => body.clear(),
            _ => {}
        }
        body
    }

    fn path(&mut self, call: &Call) -> String {
        let mut path = call.path.clone();
        if path.contains("{uuid}") {
            let known = !self.real.is_empty() && !self.dice.one_in(3);
            let uuid = if known { self.real[self.dice.below(self.real.len())].clone() } else { self.text() };
            path = path.replace("{uuid}", &escaped(&uuid));
        }
        if self.dice.one_in(50) {
            path += &escaped(&self.text());
        }
        let mut query = Vec::new();
        for parameter in &call.parameters {
            if self.dice.one_in(3) {
                let value = match (parameter.name.as_str(), self.dice.below(3)) {
                    ("filter" | "orderBy", 1 | 2) => self.filter(),
                    (_, 0) => self.text(),
                    _ => match self.value(&parameter.schema, 0) {
                        Value::String(text) => text,
                        other => other.to_string(),
                    },
                };
                query.push(format!("{}={}", parameter.name, escaped(&value)));
                if self.dice.one_in(20) {
                    query.push(query[0].clone());
                }
            }
        }
        if self.dice.one_in(20) {
            query.push(format!("{}={}", escaped(&self.text()), escaped(&self.text())));
        }
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    fn request(&mut self, call: &Call, endpoint: &str) -> Option<(http::request::Builder, Vec<u8>)> {
        let uri: http::Uri = format!("{endpoint}{}", self.path(call)).parse().ok()?;
        let mut request = Request::builder().method(call.method.clone()).uri(uri);
        let body = self.body(call);
        let media = if call.raw { "application/octet-stream" } else { "application/json" };
        request = match self.dice.below(30) {
            0 => request,
            1 => request.header("content-type", "text/plain"),
            2 => request.header("content-type", "application/json; charset=latin-1"),
            _ => request.header("content-type", media),
        };
        if self.dice.one_in(10) {
            let id: String = self.text().chars().filter(|letter| (' '..='~').contains(letter)).collect();
            request = request.header("x-request-id", id);
        }
        if self.dice.one_in(30) {
            request =
                request.header("x-gyre-callback", self.dice.pick(&["http://127.0.0.1:9/x", "nonsense", "https://"]));
        }
        Some((request, body))
    }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// Something of most kinds, so that requests can name it.
async fn world(front: &Front, folder: &str) -> Result<Vec<String>> {
    let site = front.site("hostile", &["local"], folder).await?;
    let image = front.upload(&site, "disk", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    let vm = front.done(http::Method::POST, "/v1/vms", Some(Front::vm(&site, &image, "vm"))).await?;
    let key = front.make("/v1/api-keys", json!({"name": "key"})).await?;
    let account = json!({"name": "victim", "password": "several words"});
    let account = front.make("/v1/accounts", account).await?;
    let operation = front.get("/v1/operations?pageSize=1").await?.good()?["operations"][0]["uuid"].clone();
    let operation = operation.as_str().unwrap_or_default().to_owned();
    let mut real = vec![image, vm, key, account, operation, site.zone, site.cluster, site.image_server, site.offering];
    real.extend([site.network, site.primary_storage]);
    real.extend(site.hosts);
    Ok(real)
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_is_answered() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    let front = node.front().await?;
    let document = Arc::new(Document::read(&front).await?);
    let real: Arc<[String]> = world(&front, &folder.path().to_string_lossy()).await?.into();
    let seed = from_env("GYRE_HOSTILE_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let requests = from_env("GYRE_HOSTILE_REQUESTS").and_then(|many| usize::try_from(many).ok()).unwrap_or(REQUESTS);
    println!("seed {seed}");
    let begun = Arc::new(AtomicUsize::new(0));
    let answered = Arc::new(AtomicUsize::new(0));
    let wrong: Arc<Mutex<BTreeMap<(String, u16), String>>> = Arc::default();
    let workers: Vec<_> = (0..AT_ONCE as u64)
        .map(|worker| {
            let (front, document, real) = (front.clone(), document.clone(), real.clone());
            let (begun, answered, wrong) = (begun.clone(), answered.clone(), wrong.clone());
            tokio::spawn(async move {
                let dice = Dice::new(seed.wrapping_add(worker << 32));
                let mut maker = Maker { dice, document: &document, real: &real };
                while begun.fetch_add(1, Ordering::Relaxed) < requests {
                    let call = &document.calls[maker.dice.below(document.calls.len())];
                    if call.stream || LEFT_OUT.contains(&call.name.as_str()) {
                        continue;
                    }
                    let Some((request, body)) = maker.request(call, front.endpoint()) else { continue };
                    let shown = format!("{request:?} {}", String::from_utf8_lossy(&body[..body.len().min(2000)]));
                    let answer = front.send(request, body).await?;
                    if let Err(error) = judge(call, &answer) {
                        let mut wrong = wrong.lock();
                        // the same again and again is told once
                        wrong.entry((call.name.clone(), answer.status.as_u16())).or_insert(format!("{error}\n{shown}"));
                        ensure!(wrong.len() < MOST_FOUND, "enough");
                        continue;
                    }
                    if answer.status.is_success() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for worker in workers {
        // one that has seen enough says so in what was found
        let _ = worker.await?;
    }
    let wrong: Vec<_> = wrong.lock().values().cloned().collect();
    ensure!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n\n"));
    let answered = answered.load(Ordering::Relaxed);
    println!("{requests} requests, {answered} of them answered");
    // chance that never gets through to a handler finds nothing
    ensure!(answered > requests / 50, "only {answered} of {requests} requests were good");
    ensure!(front.get("/v1/zones").await?.status.is_success(), "the node does not answer any more");
    node.shutdown().await;
    Ok(())
}
