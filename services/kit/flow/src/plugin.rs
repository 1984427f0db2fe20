//! Steps that a program of the operator's does: `gyre.plugin.v1`. To the engine they are steps like any other.
//!
//! 1. A try connects first. Where it cannot, the plugin was certainly not asked, and there is nothing to undo.
//! 2. Before it asks, it notes so; the note is durable with the change of course, before any undo runs.
//! 3. An instance that took the operation over does not know what the one before it asked, so it counts as asked.
//! 4. A plugin that hangs costs a try its timeout, and the step its deadline; nothing waits longer.
//! 5. What a plugin answers is bounded before it is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use gyre_mesh::Mesh;
use gyre_mesh::outside::Outside;
use gyre_model::{Error, Kind, Result, catalog, time};
use gyre_proto::json::JsonCodec;
use gyre_proto::plugin::v1::step_service_client::StepServiceClient;
use gyre_proto::plugin::v1::{Dependents, ListDependentsRequest, RunStepRequest, Step as Call, UndoStepRequest};
use gyre_store::Sql;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tonic::{Code, Request, Status};

use crate::context::Context;
use crate::definition::{StepDefinition, wrong};
use crate::registry::Step;

/// How long a plugin's step may take, all tries together, where its file does not say.
pub(crate) const USUAL_DEADLINE: u64 = 60;
/// How long one call may take, where its file does not say.
const USUAL_TIMEOUT: u64 = 10;
/// The longest that a call may take.
const LONGEST_TIMEOUT: u64 = 3600;
/// Most characters of a message or an output.
const MOST_TEXT: usize = 1024;
/// Most outputs.
const MOST_OUTPUTS: usize = 32;
/// Most bytes of an answer.
const MOST_BYTES: usize = 256 << 10;
/// What tonic says of a larger one: it has no other sign of it.
const TOO_LARGE: &str = "message length too large";
/// How long before the end of its time a call that is broken off ran out of it.
const AT_ONCE: Duration = Duration::from_millis(100);

/// What a file says of a plugin.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginEntry {
    /// Where it answers.
    pub address: String,
    /// What it is given.
    #[serde(default)]
    pub config: Map<String, Json>,
    /// How long one call may take.
    pub timeout_seconds: Option<u64>,
}

impl PluginEntry {
    /// Whether it makes sense by itself.
    pub fn check(&self, at: &str) -> Result<()> {
        Outside::parse(&self.address).map_err(|what| wrong(format_args!("{at}.plugin.address"), what))?;
        match self.timeout_seconds {
            Some(seconds) if !(1..=LONGEST_TIMEOUT).contains(&seconds) => Err(wrong(
                format_args!("{at}.plugin.timeout_seconds"),
                format_args!("{seconds}: write 1 to {LONGEST_TIMEOUT}, or leave it out"),
            )),
            _ => Ok(()),
        }
    }
}

/// A plugin's step.
pub(crate) struct Plugin {
    name: String,
    outside: Outside,
    timeout: Duration,
    config: String,
    mesh: Mesh,
}

/// What is kept of a plugin's step with the operation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Note {
    /// Whether it was asked.
    asked: bool,
    /// What it answered.
    outputs: BTreeMap<String, String>,
}

/// The plugin that a definition names for a step.
pub(crate) fn of(named: &StepDefinition, entry: &PluginEntry, mesh: &Mesh) -> Result<Arc<Plugin>> {
    let at = format!("{}.plugin.address", named.origin);
    let outside = Outside::parse(&entry.address).map_err(|what| wrong(&at, what))?;
    mesh.can_reach(&outside).map_err(|what| wrong(&at, what))?;
    Ok(Arc::new(Plugin {
        name: named.step.clone(),
        outside,
        timeout: Duration::from_secs(entry.timeout_seconds.unwrap_or(USUAL_TIMEOUT)),
        config: Json::Object(entry.config.clone()).to_string(),
        mesh: mesh.clone(),
    }))
}

/// The step that it does.
pub(crate) fn step(named: &StepDefinition, plugin: Arc<Plugin>) -> Step {
    let doing = Arc::clone(&plugin);
    Step {
        run: Arc::new(move |context| {
            let plugin = Arc::clone(&doing);
            async move { plugin.run(&context).await }.boxed()
        }),
        undo: named.no_undo.is_none().then(|| -> crate::registry::Run {
            Arc::new(move |context| {
                let plugin = Arc::clone(&plugin);
                async move { plugin.undo(&context).await }.boxed()
            })
        }),
        uses: Arc::default(),
    }
}

impl Plugin {
    /// What the plugin keeps for resources.
    ///
    /// # Errors
    /// That it cannot be asked, or refuses to tell, with what to do about that.
    pub async fn dependents(&self, step: &str, kind: &str, uuids: &[String]) -> Result<Vec<Dependents>> {
        let until = time::now_micros().saturating_add(i64::try_from(self.timeout.as_micros()).unwrap_or(i64::MAX));
        let request = ListDependentsRequest {
            step: step.to_owned(),
            resource_kind: kind.to_owned(),
            resource_uuids: uuids.to_vec(),
            config_json: self.config.clone(),
            deadline: Some(time::from_micros(until)),
        };
        let asked = async {
            let mut client = self.client().await.map_err(|error| self.about(error))?;
            let mut request = Request::new(request);
            request.set_timeout(self.timeout);
            self.in_time(client.list_dependents(request)).await
        };
        let answer = asked.await.map_err(|error| {
            let text = format!(
                "what plugin {step} keeps for {} resources of the kind {kind} cannot be told, so that nothing is deleted ({}): start it, or \
                 take its edge out of the operator's files",
                uuids.len(),
                error.message()
            );
            let told = Error::new(error.kind(), reason_of(&error), text);
            error.metadata().iter().fold(told, |told, (name, value)| told.with(name.clone(), value.clone()))
        })?;
        let mut found = answer.into_inner().dependents;
        // what was not asked for is nobody's
        found.retain(|found| uuids.contains(&found.resource_uuid));
        for found in &mut found {
            found.forbids = cut(&found.forbids);
            found.names.truncate(MOST_OUTPUTS);
            found.names.iter_mut().for_each(|name| *name = cut(name));
        }
        Ok(found)
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let call = self.call(context).await?;
        let mut client = self.client().await?;
        let mut note = self.note(context)?;
        note.asked = true;
        self.keep(context, &note)?;
        let asked = client.run_step(self.request(context, RunStepRequest { step: Some(call) }));
        let answer = self.in_time(asked).await?.into_inner();
        check_outputs(&self.name, &answer.outputs)?;
        let mut shown = vec![cut(&answer.message)];
        shown.extend(answer.outputs.iter().map(|(name, value)| format!("{name}: {value}")));
        shown.retain(|text| !text.is_empty());
        note.outputs = answer.outputs;
        self.keep(context, &note)?;
        context.progress(100, shown.join("; "));
        Ok(())
    }

    async fn undo(&self, context: &Context) -> Result<()> {
        let note = self.note(context)?;
        if !note.asked && !context.may_have_run_before() {
            return Ok(());
        }
        let call = self.call(context).await?;
        let mut client = self.client().await?;
        let request = UndoStepRequest { step: Some(call), outputs: note.outputs };
        self.in_time(client.undo_step(self.request(context, request))).await?;
        Ok(())
    }

    async fn client(&self) -> Result<StepServiceClient<tonic::transport::Channel>> {
        let channel = self.mesh.connect_outside(&self.outside).await.map_err(|error| {
            let text = format!("plugin {}: {}", self.name, error.message());
            Error::new(Kind::Unavailable, "PLUGIN_UNREACHABLE", text)
        })?;
        Ok(StepServiceClient::new(channel).max_decoding_message_size(MOST_BYTES))
    }

    fn request<M>(&self, context: &Context, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        if let Ok(trace) = context.trace_parent().parse() {
            request.metadata_mut().insert("traceparent", trace);
        }
        request
    }

    /// Waits for an answer no longer than a call may take, whatever the plugin does with its deadline.
    async fn in_time<T>(&self, answer: impl Future<Output = std::result::Result<T, Status>>) -> Result<T> {
        let began = Instant::now();
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            // the plugin's server saw the same deadline, and may break the call off a moment before the clock here does
            Ok(Err(status)) if broken_off(&status) && began.elapsed() + AT_ONCE >= self.timeout => {
                Err(self.about(self.timed_out()))
            }
            Ok(Err(status)) => Err(self.failure(&status)),
            Err(_) => Err(self.about(self.timed_out())),
        }
    }

    /// An error with which plugin it is about.
    fn about(&self, error: Error) -> Error {
        error.with("plugin", self.name.as_str()).with("address", self.outside.to_string())
    }

    /// What a plugin's error means here: two kinds pass, all others are its word.
    fn failure(&self, status: &Status) -> Error {
        let said = cut(status.message());
        // without a time to wait, which is the step's retry policy's to say
        let away = |text: String| Error::new(Kind::Unavailable, "PLUGIN_UNAVAILABLE", text);
        let cause = std::error::Error::source(status);
        let error = match status.code() {
            Code::DeadlineExceeded => self.timed_out(),
            Code::OutOfRange if status.message().contains(TOO_LARGE) => self.too_large(),
            // tonic's own timer
            Code::Cancelled if cause.is_some_and(|cause| cause.is::<tonic::TimeoutExpired>()) => self.timed_out(),
            // a status with a cause was made here: the connection broke
            _ if cause.is_some() => away(format!("plugin {} went away: {said}", self.name)),
            Code::Unavailable => away(format!("plugin {}: {said}", self.name)),
            code => {
                let kind = match Kind::of(code) {
                    // the engine's own words, which no plugin speaks
                    Kind::Aborted | Kind::Cancelled => Kind::FailedPrecondition,
                    kind => kind,
                };
                let text = if said.is_empty() { format!("plugin {} refused: {code:?}", self.name) } else { said };
                Error::new(kind, "PLUGIN_REFUSED", text)
            }
        };
        self.about(error)
    }

    fn too_large(&self) -> Error {
        let text = format!(
            "plugin {} answered more than {} KiB, the most that an answer may have; let it answer less",
            self.name,
            MOST_BYTES >> 10
        );
        Error::new(Kind::FailedPrecondition, "PLUGIN_REFUSED", text)
    }

    fn timed_out(&self) -> Error {
        let text = format!("plugin {} did not answer within {:?}", self.name, self.timeout);
        Error::new(Kind::DeadlineExceeded, "PLUGIN_TIMEOUT", text)
    }

    async fn call(&self, context: &Context) -> Result<Call> {
        let operation = context.operation();
        let kind = operation.resource_kind.clone();
        let uuid = context.resource_uuid();
        let found = context
            .read("plugin-resource", move |conn| {
                let table = gyre_query::table::by_kind(&kind);
                let sql =
                    format!("SELECT {} FROM {} WHERE uuid = ", table.read_names(conn.dialect()), table.kind.table);
                let row = conn.query_one(Sql::new(sql).bind(uuid))?;
                row.map(|row| Ok((table.kind.message, table.message(&row)?))).transpose()
            })
            .await?;
        let resource = found.map_or(Ok(Json::Object(Map::new())), |(name, bytes)| to_json(name, &bytes))?;
        let (name, bytes) = context.input_message()?;
        let until = time::now_micros().saturating_add(i64::try_from(self.timeout.as_micros()).unwrap_or(i64::MAX));
        Ok(Call {
            key: format!("{}/{}", context.operation_uuid(), self.name),
            operation_uuid: context.operation_uuid().to_string(),
            step: self.name.clone(),
            workflow: operation.workflow,
            fence: operation.fence,
            resource_kind: operation.resource_kind,
            resource_uuid: uuid.to_string(),
            resource_json: resource.to_string(),
            request_json: name.map_or(Ok(Json::Object(Map::new())), |name| to_json(&name, bytes))?.to_string(),
            config_json: self.config.clone(),
            account_uuid: context.caller().account_uuid.to_string(),
            deadline: Some(time::from_micros(until)),
        })
    }

    fn note(&self, context: &Context) -> Result<Note> {
        let note = context.look_up(&self.place());
        note.map_or(Ok(Note::default()), |note| serde_json::from_value(note).map_err(Error::internal))
    }

    fn keep(&self, context: &Context, note: &Note) -> Result<()> {
        context.put(self.place(), serde_json::to_value(note).map_err(Error::internal)?);
        Ok(())
    }

    /// Where its note lies: no variable of Rust has such a name.
    fn place(&self) -> String {
        format!("plugin/{}", self.name)
    }
}

/// Whether a call ended without the plugin's own word.
fn broken_off(status: &Status) -> bool {
    std::error::Error::source(status).is_some() || matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded)
}

fn check_outputs(plugin: &str, outputs: &BTreeMap<String, String>) -> Result<()> {
    let long = |text: &str| text.chars().count() > MOST_TEXT;
    if outputs.len() <= MOST_OUTPUTS && !outputs.iter().any(|(name, value)| long(name) || long(value)) {
        return Ok(());
    }
    let text = format!(
        "plugin {plugin} answered more than {MOST_OUTPUTS} outputs, or one of more than {MOST_TEXT} characters"
    );
    Err(Error::new(Kind::FailedPrecondition, "PLUGIN_ANSWER_TOO_LARGE", text).with("plugin", plugin))
}

/// The reason of an error of a plugin's, which is one of a few.
fn reason_of(error: &Error) -> &'static str {
    match error.reason() {
        "PLUGIN_UNREACHABLE" => "PLUGIN_UNREACHABLE",
        "PLUGIN_UNAVAILABLE" => "PLUGIN_UNAVAILABLE",
        "PLUGIN_TIMEOUT" => "PLUGIN_TIMEOUT",
        _ => "PLUGIN_REFUSED",
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MOST_TEXT).collect()
}

/// A message in JSON, without what is secret.
fn to_json(name: &str, bytes: &[u8]) -> Result<Json> {
    let codec = JsonCodec::by_name(name).ok_or_else(|| Error::internal(format!("no JSON of {name}")))?;
    let mut text = Vec::with_capacity(2 * bytes.len());
    (codec.print)(bytes, &mut text).map_err(Error::internal)?;
    let mut json = serde_json::from_slice(&text).map_err(Error::internal)?;
    leave_out_secrets(name, &mut json);
    Ok(json)
}

fn leave_out_secrets(message: &str, json: &mut Json) {
    let (Some(info), Json::Object(object)) = (catalog().message(message), json) else { return };
    for field in &info.fields {
        if field.rule.secret {
            object.remove(field.json_name);
        } else if let gyre_model::catalog::FieldType::Message(inner) = field.ty {
            match object.get_mut(field.json_name) {
                Some(Json::Array(list)) => list.iter_mut().for_each(|one| leave_out_secrets(inner, one)),
                Some(one) => leave_out_secrets(inner, one),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gyre_proto::Message as _;
    use gyre_proto::identity::v1::{Account, CreateAccountRequest};

    use super::*;

    #[test]
    fn secrets_are_left_out_at_any_depth() {
        let account = Account { name: "ann".into(), password: "correct horse".into(), ..Account::default() };
        let request = CreateAccountRequest { account: Some(account), request_id: "r".into() };
        let json = to_json("gyre.identity.v1.CreateAccountRequest", &request.encode_to_vec()).unwrap();
        assert_eq!(json, serde_json::json!({"account": {"name": "ann"}, "requestId": "r"}));
    }
}
