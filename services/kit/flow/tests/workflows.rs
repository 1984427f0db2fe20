//! Workflows as files: what is refused when a service starts, what operators change, and steps that plugins do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_flow::{Context, Flow, Steps, Submit, Var};
use gyre_mesh::Mesh;
use gyre_model::{Caller, Result, Uuid};
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::operation_service_server::OperationServiceServer;
use gyre_proto::common::v1::{
    Operation, OperationState, OperationStepState, WaitOperationRequest, WatchOperationRequest,
};
use gyre_proto::host::v1::{CreateZoneRequest, Zone};
use gyre_proto::plugin::v1::step_service_server::{StepService, StepServiceServer};
use gyre_proto::plugin::v1::{
    ListDependentsRequest, ListDependentsResponse, RunStepRequest, RunStepResponse, Step, UndoStepRequest,
    UndoStepResponse,
};
use gyre_query::Change;
use gyre_store::{Conn, Store, StoreConfig};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

const WIDTH: Var<i32> = Var::new("width");
/// The same name for something else.
const WIDE: Var<bool> = Var::new("width");

const GROUND: &str = "
name: ground
steps:
  - step: dig
    label: dig a hole
  - step: measure
    no_undo: it only looks
";
const BUILD: &str = "
name: build
resource: zone
deadline_seconds: 30
steps:
  - workflow: ground
  - step: wall
    retry: { attempts: 2, first_ms: 1 }
  - step: paint
    no_undo: the wall goes with its paint
";

/// What the steps did.
#[derive(Default)]
struct Log(Mutex<Vec<&'static str>>);

impl Log {
    fn note(&self, what: &'static str) {
        self.0.lock().push(what);
    }
}

async fn dig(log: Arc<Log>, _: Context) -> Result<()> {
    log.note("dig");
    Ok(())
}

async fn fill(log: Arc<Log>, context: Context) -> Result<()> {
    log.note("fill");
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| gyre_query::delete::<Zone>(conn, change, uuid).map(|_| ()));
    Ok(())
}

async fn measure(log: Arc<Log>, context: Context) -> Result<()> {
    log.note("measure");
    context.set(&WIDTH, &7)
}

async fn wall(log: Arc<Log>, context: Context) -> Result<()> {
    log.note("wall");
    assert_eq!(context.need(&WIDTH)?, 7);
    Ok(())
}

async fn unwall(log: Arc<Log>, context: Context) -> Result<()> {
    log.note("unwall");
    assert!(context.need(&WIDTH).is_err(), "an undo must bear that nothing ran");
    assert!(matches!(context.get(&WIDTH)?, None | Some(7)));
    Ok(())
}

async fn paint(log: Arc<Log>, _: Context) -> Result<()> {
    log.note("paint");
    Ok(())
}

/// Reads what it does not say that it reads.
async fn peek(_: Arc<Log>, context: Context) -> Result<()> {
    context.get(&WIDTH).map(drop)
}

/// Writes what it does not say that it writes.
async fn scribble(_: Arc<Log>, context: Context) -> Result<()> {
    context.set(&WIDTH, &9)
}

/// Says that it gives what it does not give.
async fn promise(_: Arc<Log>, _: Context) -> Result<()> {
    Ok(())
}

async fn dawdle(_: Arc<Log>, _: Context) -> Result<()> {
    tokio::time::sleep(Duration::from_secs(60)).await;
    Ok(())
}

fn steps(log: &Arc<Log>) -> Steps {
    Steps::new()
        .step("dig", log, dig, fill)
        .without_undo("measure", log, measure)
        .gives(&WIDTH)
        .step("wall", log, wall, unwall)
        .needs(&WIDTH)
        .without_undo("paint", log, paint)
        .without_undo("peek", log, peek)
        .without_undo("scribble", log, scribble)
        .without_undo("promise", log, promise)
        .gives(&WIDTH)
        .without_undo("dawdle", log, dawdle)
}

struct Site {
    flow: Flow,
    mesh: Mesh,
    log: Arc<Log>,
    folder: tempfile::TempDir,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::new(format!("sqlite://{}/gyre.db", folder.path().display()))).unwrap();
        store.migrate().await.unwrap();
        let mesh = Mesh::local();
        let flow = Flow::new("host", mesh.clone(), store);
        mesh.host("host", Routes::new(OperationServiceServer::new(flow.api()))).await.unwrap();
        Self { flow, mesh, log: Arc::default(), folder }
    }

    fn directory(&self) -> std::path::PathBuf {
        self.folder.path().join("workflows")
    }

    /// Writes an operator's file.
    fn file(&self, name: &str, text: &str) {
        let path = self.directory().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn register(&self, definitions: &[&str], directory: Option<&Path>) -> Result<()> {
        self.flow.register_with(steps(&self.log), definitions, directory)
    }

    /// Registers the usual workflows with the operator's files.
    fn changed(&self) -> Result<()> {
        self.register(&[GROUND, BUILD], Some(&self.directory()))
    }

    async fn submit(&self, workflow: &'static str) -> Operation {
        let uuid = Uuid::new_v4();
        let zone = Zone { uuid: uuid.to_string(), name: "z".into(), ..Zone::default() };
        let input = CreateZoneRequest { zone: Some(zone.clone()), request_id: "wish".into() };
        let submit = Submit { caller: Caller::system(), workflow, resource: uuid, request_id: "", input: &input };
        let rows = move |conn: &mut Conn, change: &Change| gyre_query::insert(conn, change, &zone).map(|_: Zone| ());
        self.flow.submit(submit, rows).await.unwrap()
    }

    fn client(&self) -> OperationServiceClient<gyre_mesh::MeshChannel> {
        OperationServiceClient::new(self.mesh.channel("host"))
    }

    async fn end(&self, operation: &Operation) -> Operation {
        let request = WaitOperationRequest {
            uuid: operation.uuid.clone(),
            timeout: Some(gyre_proto::Duration { seconds: 20, nanos: 0 }),
        };
        self.client().wait_operation(Caller::system().request(request)).await.unwrap().into_inner()
    }

    async fn run(&self, workflow: &'static str) -> Operation {
        self.end(&self.submit(workflow).await).await
    }

    /// Waits until an operation is in a state.
    async fn until(&self, operation: &Operation, state: OperationState) {
        let request = WatchOperationRequest { uuid: operation.uuid.clone() };
        let mut stream = self.client().watch_operation(Caller::system().request(request)).await.unwrap().into_inner();
        while let Some(now) = stream.message().await.unwrap() {
            if now.state() == state {
                return;
            }
        }
        panic!("it ended without being {state:?}");
    }

    fn log(&self) -> Vec<&'static str> {
        self.log.0.lock().clone()
    }

    fn steps(&self, workflow: &str) -> Vec<(String, bool)> {
        let all = self.flow.workflows();
        let found = all.iter().find(|one| one.name == workflow).unwrap();
        found.steps.iter().map(|step| (step.name.clone(), step.plugin)).collect()
    }
}

#[tokio::test]
async fn the_steps_of_a_part_run_where_it_stands() {
    let site = Site::new().await;
    site.register(&[GROUND, BUILD], None).unwrap();
    let names = ["ground/dig", "ground/measure", "wall", "paint"].map(|name| (name.to_owned(), false));
    assert_eq!(site.steps("build"), names);
    assert!(!site.flow.workflows().iter().any(|workflow| workflow.name == "ground"), "a part is no workflow");
    let ended = site.run("build").await;
    assert_eq!(ended.state(), OperationState::Succeeded);
    assert_eq!(site.log(), ["dig", "measure", "wall", "paint"]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_runs() {
    let circle = "{name: round, steps: [{workflow: square}]}";
    let square = "{name: square, steps: [{workflow: round}]}";
    for (definitions, expected) in [
        (
            &["{name: a, resource: zone, steps: [{step: roof}]}"][..],
            "steps[0].step: there is no step \"roof\": write one of",
        ),
        (&["{name: a, resource: zone, steps: [{step: measure}]}"], "step \"measure\" has no undo: say why"),
        (&["{name: a, resource: zone, steps: [{step: dig, no_undo: why not}]}"], "step \"dig\" has an undo"),
        (&["{name: a, resource: zone, steps: [{step: dig}, {step: dig}]}"], "\"dig\" stands twice"),
        (&["{name: a, resource: zone, steps: [{step: wall}]}"], "needs \"width\", which no step before it gives"),
        (
            &["{name: a, resource: zone, steps: [{step: wall}, {step: measure, no_undo: it looks}]}"],
            "put one before it that does (measure)",
        ),
        (&["{name: a, resource: zoo, steps: [{step: dig}]}"], "there is no kind \"zoo\""),
        (
            &["{name: a, resource: zone, lane: host, steps: [{step: dig}]}"],
            "lane is \"host\": write resource, or leave it out",
        ),
        (&["{name: a, resource: zone, steps: []}"], "steps is empty"),
        (
            &["{name: a, resource: zone, steps: [{step: dig, retries: 3}]}"],
            "steps[0].retries: there is no such key: write one of",
        ),
        (&["{name: a, resource: zone, steps: [{step: dig, retry: {attempts: 0}}]}"], "retry.attempts is 0"),
        (&["{name: a, resource: zone, deadline_seconds: 0, steps: [{step: dig}]}"], "deadline_seconds is 0"),
        (
            &["{name: a, resource: zone, deadline_seconds: 5, steps: [{step: dig, deadline_seconds: 6}]}"],
            "longer than the 5 s of a",
        ),
        (&["{name: a, resource: zone, steps: [{label: x}]}"], "write step or workflow"),
        (&["{name: a, resource: zone, steps: [{workflow: b}]}"], "there is no workflow \"b\""),
        (&[GROUND, "{name: a, resource: zone, steps: [{workflow: ground, label: x}]}"], "write nothing but workflow"),
        (&[circle, square, "{name: a, resource: zone, steps: [{workflow: round}]}"], "stands in itself"),
        (
            &["{name: h, resource: host, steps: [{step: dig}]}", "{name: a, resource: zone, steps: [{workflow: h}]}"],
            "\"h\" works on a host",
        ),
        (&["{name: A!, resource: zone, steps: [{step: dig}]}"], "\"A!\" is no name"),
    ] {
        let site = Site::new().await;
        let error = site.register(definitions, None).unwrap_err();
        assert_eq!(error.reason(), "WORKFLOW_INVALID");
        assert!(error.message().contains(expected), "{:?} does not say {expected:?}", error.message());
    }
    let site = Site::new().await;
    let two = steps(&site.log).without_undo("more", &site.log, paint).needs(&WIDE);
    let error = site.flow.register(two, &[]).unwrap_err();
    assert!(error.message().contains("\"width\" is i32 in step \"measure\" and bool in step \"more\""), "{error}");
    let error = site.flow.register(steps(&site.log).step("dig", &site.log, dig, fill), &[]).unwrap_err();
    assert!(error.message().contains("\"dig\" is registered twice"), "{error}");
}

#[tokio::test]
async fn a_step_that_does_otherwise_than_it_says_fails() {
    let why = "it changes nothing";
    for step in ["peek", "scribble", "promise"] {
        let site = Site::new().await;
        let text = format!("{{name: a, resource: zone, steps: [{{step: dig}}, {{step: {step}, no_undo: {why}}}]}}");
        site.register(&[&text], None).unwrap();
        let ended = site.run("a").await;
        assert_eq!(ended.state(), OperationState::Failed, "{step}");
        assert_eq!(ended.error.unwrap().reason, "INTERNAL", "{step}");
        assert_eq!(site.log(), ["dig", "fill"], "{step}");
    }
}

#[tokio::test]
async fn a_step_has_a_deadline_of_its_own() {
    let site = Site::new().await;
    let slow =
        "{name: a, resource: zone, steps: [{step: dig}, {step: dawdle, deadline_seconds: 1, no_undo: it waits}]}";
    site.register(&[slow], None).unwrap();
    let begun = Instant::now();
    let ended = site.run("a").await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    let error = ended.error.clone().unwrap();
    assert_eq!((ended.state, error.reason.as_str()), (OperationState::Failed.into(), "DEADLINE"));
    assert_eq!(error.message, "step dawdle of a did not end within 1 s");
    assert_eq!(site.log(), ["dig", "fill"]);
}

#[tokio::test]
async fn an_operators_files_are_checked_and_errors_name_the_place() {
    let plugin = "plugin: {address: 'unix:///run/p.sock'}, no_undo: it looks";
    let good = format!("{{extends: build, insert: [{{step: check, before: wall, {plugin}}}]}}");
    for (name, text, expected) in [
        ("rooms/a.yaml", good.clone(), "name the folder after one of host, identity, network, storage, vm"),
        ("a.yaml", good.clone(), "put it into the folder of its service"),
        ("host/a.yaml", "extends: [".into(), "host/a.yaml: "),
        (
            "host/a.yaml",
            "extends: build\ninserts: []\n".into(),
            "inserts: there is no such key: write one of change, deadline_seconds, extends, insert",
        ),
        (
            "host/a.yaml",
            String::new(),
            "host/a.yaml: the file is empty: write a map, with name and steps, or with extends",
        ),
        (
            "host/a.yaml",
            "- step: dig\n".into(),
            "host/a.yaml: a list stands at the top: write a map, with name and steps",
        ),
        (
            "host/a.yaml",
            "{extends: build, deadline_seconds: -5}".into(),
            "host/a.yaml: deadline_seconds is -5: write 1 to 604800",
        ),
        (
            "host/a.yaml",
            "{extends: build, change: [{step: wall, deadline_seconds: 99999999999999999999}]}".into(),
            "host/a.yaml: change[0].deadline_seconds is 99999999999999999999: write 1 to 604800",
        ),
        (
            "host/a.yaml",
            good.replace("sock'}", "sock', timeout_seconds: soon}"),
            "host/a.yaml: insert[0].plugin.timeout_seconds is \"soon\": write 1 to 3600",
        ),
        (
            "host/a.yaml",
            good.replace("no_undo:", "timeout_seconds: 5, no_undo:"),
            "host/a.yaml: insert[0].timeout_seconds: this key stands in insert[].plugin, and here stand after, before,",
        ),
        (
            "host/a.yaml",
            "{extends: build, change: [{retry: {attempts: 2}}]}".into(),
            "change[0].step is missing: write it",
        ),
        ("host/a.yaml", "{extends: bild}".into(), "extends: there is no workflow \"bild\": write one of build, ground"),
        (
            "host/a.yaml",
            good.replace("before: wall", "before: roof"),
            "insert[0].before: build has no step \"roof\": write one of ground/dig, ground/measure, wall, paint",
        ),
        ("host/a.yaml", good.replace("before: wall, ", ""), "insert[0]: write one of before and after"),
        (
            "host/a.yaml",
            "{extends: build, insert: [{step: dig, before: wall}]}".into(),
            "only plugins' steps can be inserted",
        ),
        ("host/a.yaml", good.replace("step: check", "step: wall"), "insert[0].step: build has a step \"wall\" already"),
        (
            "host/a.yaml",
            good.replace("unix:///run/p.sock", "http://10.0.0.1:1"),
            "insert[0].plugin.address: \"http://10.0.0.1:1\"",
        ),
        ("host/a.yaml", good.replace("unix:///run/p.sock", "https://p.example:1"), "--tls-cert"),
        ("host/a.yaml", good.replace("no_undo", "point_of_no_return: true, no_undo"), "a plugin's step cannot be one"),
        (
            "host/a.yaml",
            "{extends: build, change: [{step: wall, retry: {attempts: 0}}]}".into(),
            "change[0]: retry.attempts is 0",
        ),
        ("host/a.yaml", "{extends: ground, deadline_seconds: 5}".into(), "ground is a part"),
        ("host/a.yaml", "{name: rent, resource: zone, steps: [{step: dig}]}".into(), "has no workflow \"rent\""),
        (
            "host/a.yaml",
            "{name: build, resource: zone, steps: [{step: dig}]}".into(),
            "keep Gyre's steps and their order",
        ),
        (
            "host/a.yaml",
            "{name: ground, steps: [{step: dig}]}".into(),
            "host/a.yaml: the end stands where Gyre's own ground has step \"measure\"",
        ),
        (
            "host/a.yaml",
            "{name: build, resource: zone, steps: [{workflow: ground}, {step: paint, no_undo: a}, {step: wall}]}"
                .into(),
            "step \"paint\" stands where Gyre's own build has step \"wall\"",
        ),
        (
            "host/a.yaml",
            format!("{BUILD}  - step: promise\n    no_undo: nothing\n"),
            "\"promise\" is no step of Gyre's own build",
        ),
    ] {
        let site = Site::new().await;
        site.file(name, &text);
        let error = site.changed().map_err(|error| error.message().to_owned()).unwrap_err();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        assert!(error.contains(&site.directory().display().to_string()) || name == "host/a.yaml", "{error}");
    }
    let site = Site::new().await;
    let error = site.changed().unwrap_err();
    assert!(error.message().contains("cannot be read") && error.message().contains("--workflows"), "{error}");
    site.file("host/a.yaml", BUILD);
    site.file("host/b.yaml", BUILD);
    assert!(site.changed().unwrap_err().message().contains("a.yaml defines \"build\" too"));
}

#[tokio::test]
async fn an_operator_replaces_extends_and_makes_parts() {
    let site = Site::new().await;
    let plugin = "plugin: {address: 'unix:///run/p.sock', config: {most: 3}}";
    site.file("host/10-checks.yaml", &format!("{{name: checks, steps: [{{step: licence, {plugin}}}]}}"));
    site.file("host/20-build.yaml", &BUILD.replace("  - step: wall", "  - workflow: checks\n  - step: wall"));
    site.file("host/30-more.yaml", &format!("{{extends: build, insert: [{{step: bill, after: paint, {plugin}}}]}}"));
    let late = format!("{{extends: build, insert: [{{step: tell, after: bill, {plugin}}}], deadline_seconds: 77}}");
    site.file("host/40-late.yaml", &late);
    site.file("vm/not-ours.yaml", "other services' files are theirs to check");
    site.changed().unwrap();
    let names: Vec<_> = site.steps("build");
    let names: Vec<_> = names.iter().map(|(name, plugin)| (name.as_str(), *plugin)).collect();
    assert_eq!(
        names,
        [
            ("ground/dig", false),
            ("ground/measure", false),
            ("checks/licence", true),
            ("wall", false),
            ("paint", false),
            ("bill", true),
            ("tell", true)
        ]
    );
    let build = site.flow.workflows().into_iter().find(|workflow| workflow.name == "build").unwrap();
    assert_eq!(build.deadline, Duration::from_secs(77));
    assert!(build.steps.iter().find(|step| step.plugin).unwrap().undo);
}

fn reason(operation: &Operation) -> &str {
    operation.error.as_ref().map_or("", |error| &error.reason)
}

/// What a plugin does when it is asked.
#[derive(Debug, Clone)]
enum Way {
    Agree,
    Refuse(Code, &'static str),
    Babble,
    Hang,
}

/// What a plugin was asked: "run" or "undo", which step, and the outputs that came with it.
type Asked = (&'static str, Step, BTreeMap<String, String>);

/// A plugin, in a runtime of its own, so that it can be killed.
struct Plugin {
    runtime: Option<tokio::runtime::Runtime>,
    address: SocketAddr,
    asked: watch::Receiver<Vec<Asked>>,
}

struct Answers {
    way: Way,
    asked: watch::Sender<Vec<Asked>>,
}

#[tonic::async_trait]
impl StepService for Answers {
    async fn run_step(
        &self,
        request: Request<RunStepRequest>,
    ) -> std::result::Result<Response<RunStepResponse>, Status> {
        let step = request.into_inner().step.unwrap();
        self.asked.send_modify(|asked| asked.push(("run", step, BTreeMap::new())));
        match &self.way {
            Way::Agree => {
                let outputs = BTreeMap::from([("ticket".to_owned(), "t-1".to_owned())]);
                Ok(Response::new(RunStepResponse { message: "two seats left".into(), outputs }))
            }
            Way::Refuse(code, why) => Err(Status::new(*code, *why)),
            Way::Babble => {
                let outputs = BTreeMap::from([("all".to_owned(), "x".repeat(300 << 10))]);
                Ok(Response::new(RunStepResponse { message: String::new(), outputs }))
            }
            Way::Hang => std::future::pending().await,
        }
    }

    async fn undo_step(
        &self,
        request: Request<UndoStepRequest>,
    ) -> std::result::Result<Response<UndoStepResponse>, Status> {
        let request = request.into_inner();
        self.asked.send_modify(|asked| asked.push(("undo", request.step.unwrap(), request.outputs)));
        Ok(Response::new(UndoStepResponse { message: "seat given back".into() }))
    }

    async fn list_dependents(
        &self,
        _: Request<ListDependentsRequest>,
    ) -> std::result::Result<Response<ListDependentsResponse>, Status> {
        Ok(Response::new(ListDependentsResponse::default()))
    }
}

impl Plugin {
    fn at(address: &str, way: Way) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, asked) = watch::channel(Vec::new());
        let incoming = {
            let _inside = runtime.enter();
            TcpIncoming::bind(address.parse().unwrap()).unwrap()
        };
        let address = incoming.local_addr().unwrap();
        let service = StepServiceServer::new(Answers { way, asked: sender });
        runtime.spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        Self { runtime: Some(runtime), address, asked }
    }

    fn new(way: Way) -> Self {
        Self::at("127.0.0.1:0", way)
    }

    /// Ends it at once, its connections with it.
    fn kill(&mut self) {
        let runtime = self.runtime.take().unwrap();
        // a thread that may wait: its port must be free afterwards
        std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5))).join().unwrap();
    }

    fn asked(&self) -> Vec<(&'static str, String)> {
        self.asked.borrow().iter().map(|(what, step, _)| (*what, step.key.clone())).collect()
    }

    async fn is_asked(&self) {
        let asked = self.asked.clone().wait_for(|asked| !asked.is_empty()).await.map(drop);
        asked.unwrap();
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn with_plugin(address: SocketAddr, more: &str) -> Site {
    let site = Site::new().await;
    let text = format!(
        "extends: build
insert:
  - step: licence
    label: ask for a licence
    after: wall
    retry: {{ attempts: 3, first_ms: 20 }}
    plugin:
      address: http://{address}
      timeout_seconds: 1
      config: {{ most: 3, names: [a, b] }}
{more}"
    );
    site.file("host/licence.yaml", &text);
    site.changed().unwrap();
    site
}

#[tokio::test]
async fn a_plugins_step_is_told_all_about_it_and_tells_what_it_did() {
    let plugin = Plugin::new(Way::Agree);
    let site = with_plugin(plugin.address, "").await;
    let ended = site.run("build").await;
    assert_eq!(ended.state(), OperationState::Succeeded);
    assert_eq!((ended.steps[3].name.as_str(), ended.steps[3].state()), ("licence", OperationStepState::Done));
    assert_eq!(ended.steps[3].message, "two seats left; ticket: t-1");
    let asked = plugin.asked.borrow().clone();
    let [("run", step, _)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(step.key, format!("{}/licence", ended.uuid));
    assert_eq!((step.workflow.as_str(), step.step.as_str(), step.fence), ("build", "licence", 1));
    assert_eq!((step.resource_kind.as_str(), &step.resource_uuid), ("zone", &ended.resource_uuid));
    assert_eq!(step.account_uuid, ended.account_uuid);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(json(&step.config_json), serde_json::json!({"most": 3, "names": ["a", "b"]}));
    assert_eq!(json(&step.resource_json)["name"], "z");
    assert_eq!(json(&step.request_json)["zone"]["uuid"], ended.resource_uuid);
    assert!(step.deadline.is_some());
}

#[tokio::test]
async fn a_plugin_that_refuses_undoes_the_operation_in_its_own_words() {
    for code in [Code::PermissionDenied, Code::Aborted, Code::Cancelled, Code::Unknown] {
        let plugin = Plugin::new(Way::Refuse(code, "no licence for so wide a wall"));
        let site = with_plugin(plugin.address, "").await;
        let ended = site.run("build").await;
        assert_eq!(ended.state(), OperationState::Failed, "{code:?}");
        let error = ended.error.clone().unwrap();
        assert_eq!(
            (error.reason.as_str(), error.message.as_str()),
            ("PLUGIN_REFUSED", "no licence for so wide a wall")
        );
        assert_eq!(error.metadata["plugin"], "licence");
        let key = format!("{}/licence", ended.uuid);
        assert_eq!(plugin.asked(), [("run", key.clone()), ("undo", key)], "{code:?}");
        assert_eq!(site.log(), ["dig", "measure", "wall", "unwall", "fill"]);
    }
}

#[tokio::test]
async fn what_comes_after_a_plugin_undoes_it_with_what_it_answered() {
    let plugin = Plugin::new(Way::Agree);
    let nobody =
        "  - { step: late, after: licence, plugin: { address: 'unix:///nowhere/p.sock' }, retry: { attempts: 1 } }";
    let site = with_plugin(plugin.address, nobody).await;
    let ended = site.run("build").await;
    assert_eq!((ended.state(), reason(&ended)), (OperationState::Failed, "PLUGIN_UNREACHABLE"));
    let asked = plugin.asked.borrow().clone();
    assert_eq!(asked.iter().map(|(what, ..)| *what).collect::<Vec<_>>(), ["run", "undo"]);
    assert_eq!(asked[1].2["ticket"], "t-1");
}

#[tokio::test]
async fn a_plugin_that_is_away_is_tried_again_and_then_the_operation_is_undone() {
    let mut plugin = Plugin::new(Way::Agree);
    plugin.kill();
    let site = with_plugin(plugin.address, "").await;
    let ended = site.run("build").await;
    // it was never asked, so its undo waits for nobody
    assert_eq!(ended.state(), OperationState::Failed);
    let error = ended.error.clone().unwrap();
    assert_eq!(error.reason, "PLUGIN_UNREACHABLE");
    assert!(error.message.contains(&plugin.address.to_string()), "{}", error.message);
    assert_eq!(ended.steps[3].attempts, 3);
    assert_eq!(site.log(), ["dig", "measure", "wall", "unwall", "fill"]);
}

#[tokio::test]
async fn a_plugin_that_says_it_is_unavailable_is_tried_again() {
    let plugin = Plugin::new(Way::Refuse(Code::Unavailable, "restarting"));
    let site = with_plugin(plugin.address, "").await;
    let ended = site.run("build").await;
    assert_eq!((ended.state(), reason(&ended)), (OperationState::Failed, "PLUGIN_UNAVAILABLE"));
    let asked: Vec<_> = plugin.asked().into_iter().map(|(what, _)| what).collect();
    assert_eq!(asked, ["run", "run", "run", "undo"]);
}

#[tokio::test]
async fn a_plugin_that_answers_too_much_is_told_so() {
    let plugin = Plugin::new(Way::Babble);
    let site = with_plugin(plugin.address, "").await;
    let ended = site.run("build").await;
    assert_eq!((ended.state(), reason(&ended)), (OperationState::Failed, "PLUGIN_REFUSED"));
    let said = ended.error.as_ref().map_or("", |error| error.message.as_str());
    assert_eq!(said, "plugin licence answered more than 256 KiB, the most that an answer may have; let it answer less");
    let asked: Vec<_> = plugin.asked().into_iter().map(|(what, _)| what).collect();
    assert_eq!(asked, ["run", "undo"], "it would answer the same again");
}

#[tokio::test]
async fn a_plugin_that_hangs_ran_out_of_time_whoever_noticed_first() {
    let plugin = Plugin::new(Way::Hang);
    let site = with_plugin(plugin.address, "").await;
    let ended = site.run("build").await;
    assert_eq!((ended.state(), reason(&ended)), (OperationState::Failed, "PLUGIN_TIMEOUT"), "{:?}", ended.error);
    let said = ended.error.as_ref().map_or("", |error| error.message.as_str());
    assert_eq!(said, "plugin licence did not answer within 1s");
}

#[tokio::test]
async fn a_plugin_that_hangs_costs_no_more_than_its_time() {
    let plugin = Plugin::new(Way::Hang);
    let site = with_plugin(plugin.address, "    deadline_seconds: 2\n").await;
    let begun = Instant::now();
    let ended = site.run("build").await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let error = ended.error.clone().unwrap();
    assert_eq!(ended.state(), OperationState::Failed);
    assert!(["DEADLINE", "PLUGIN_TIMEOUT"].contains(&error.reason.as_str()), "{}", error.message);
    assert!(plugin.asked().len() > 2, "a call that ran out of time is made again: {:?}", plugin.asked());
}

#[tokio::test]
async fn a_plugin_that_is_killed_in_the_middle_is_asked_again_under_the_same_key() {
    let mut plugin = Plugin::new(Way::Hang);
    let site = with_plugin(plugin.address, "").await;
    let operation = site.submit("build").await;
    plugin.is_asked().await;
    plugin.kill();
    let again = Plugin::at(&plugin.address.to_string(), Way::Agree);
    let ended = site.end(&operation).await;
    assert_eq!(ended.state(), OperationState::Succeeded, "{:?}", ended.error);
    assert_eq!(plugin.asked(), again.asked());
}

#[tokio::test]
async fn a_plugin_that_was_killed_is_undone_when_it_is_back() {
    let mut plugin = Plugin::new(Way::Hang);
    let site = with_plugin(plugin.address, "").await;
    let operation = site.submit("build").await;
    plugin.is_asked().await;
    plugin.kill();
    site.until(&operation, OperationState::Undoing).await;
    let again = Plugin::at(&plugin.address.to_string(), Way::Agree);
    let ended = site.end(&operation).await;
    assert_eq!((ended.state(), reason(&ended)), (OperationState::Failed, "PLUGIN_UNREACHABLE"));
    assert_eq!(again.asked(), [("undo", format!("{}/licence", ended.uuid))]);
    assert_eq!(site.log(), ["dig", "measure", "wall", "unwall", "fill"]);
}

#[tokio::test]
async fn a_plugin_without_undo_is_not_waited_for() {
    let mut plugin = Plugin::new(Way::Hang);
    let site = with_plugin(plugin.address, "    no_undo: it only looks\n").await;
    let operation = site.submit("build").await;
    plugin.is_asked().await;
    plugin.kill();
    let ended = site.end(&operation).await;
    assert_eq!((ended.state(), reason(&ended)), (OperationState::Failed, "PLUGIN_UNREACHABLE"));
    assert_eq!(site.log(), ["dig", "measure", "wall", "unwall", "fill"]);
}
