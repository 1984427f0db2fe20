//! What a plugin of the operator's keeps for machines: shown where somebody asks what a deletion would do, able to forbid it, and
//! taken away by the plugin's step in each machine's own deletion. The plugin is a process of its own at a unix socket. See
//! docs/deletion.md and docs/workflows.md.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::front::Site;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use gyre_proto::plugin::v1::step_service_server::{StepService, StepServiceServer};
use gyre_proto::plugin::v1::{
    Dependents, ListDependentsRequest, ListDependentsResponse, RunStepRequest, RunStepResponse, UndoStepRequest,
    UndoStepResponse,
};
use http::Method;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

/// Names the folder in which the plugin keeps names, when this test is the plugin.
const PLUGIN: &str = "GYRE_TEST_PLUGIN_FOLDER";
const SOON: Duration = Duration::from_secs(60);

/// Keeps names in DNS: for each machine a file of names. A name that begins with "held:" must not go.
struct Dns(PathBuf);

impl Dns {
    fn names(&self, uuid: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.join(uuid)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

#[tonic::async_trait]
impl StepService for Dns {
    async fn run_step(&self, request: Request<RunStepRequest>) -> Result<Response<RunStepResponse>, Status> {
        use std::io::Write as _;
        let step = request.into_inner().step.unwrap_or_default();
        if self.names(&step.resource_uuid).iter().any(|name| name.starts_with("held:")) {
            return Err(Status::failed_precondition("the name is held"));
        }
        let _ = std::fs::remove_file(self.0.join(&step.resource_uuid));
        let mut log = std::fs::OpenOptions::new().create(true).append(true).open(self.0.join("log"))?;
        writeln!(log, "{} {}", step.key, step.resource_uuid)?;
        Ok(Response::new(RunStepResponse { message: "forgotten".into(), ..RunStepResponse::default() }))
    }

    async fn undo_step(&self, _: Request<UndoStepRequest>) -> Result<Response<UndoStepResponse>, Status> {
        Ok(Response::new(UndoStepResponse::default()))
    }

    async fn list_dependents(
        &self,
        request: Request<ListDependentsRequest>,
    ) -> Result<Response<ListDependentsResponse>, Status> {
        let request = request.into_inner();
        if request.resource_uuids.len() > 500 || request.resource_kind != "vm" || request.step != "forget-name" {
            return Err(Status::invalid_argument(format!("asked for {} {}", request.step, request.resource_kind)));
        }
        let of = |uuid: String| {
            let names = self.names(&uuid);
            let held = names.iter().find_map(|name| name.strip_prefix("held:"));
            let forbids = held.map(|name| format!("{name} is held")).unwrap_or_default();
            Dependents { resource_uuid: uuid, count: names.len() as i64, names, forbids }
        };
        let dependents = request.resource_uuids.into_iter().map(of).filter(|found| found.count > 0).collect();
        Ok(Response::new(ListDependentsResponse { dependents }))
    }
}

/// The plugin: this test as a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn plugin_process() -> Result<()> {
    let Some(folder) = std::env::var_os(PLUGIN) else { return Ok(()) };
    let folder = PathBuf::from(folder);
    let socket = folder.join("dns.sock");
    let _ = std::fs::remove_file(&socket);
    let incoming = tokio_stream::wrappers::UnixListenerStream::new(tokio::net::UnixListener::bind(&socket)?);
    let service = StepServiceServer::new(Dns(folder));
    tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await?;
    Ok(())
}

struct Process(Child);

impl Process {
    async fn start(folder: &Path) -> Result<Self> {
        let socket = folder.join("dns.sock");
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", "plugin_process", "--nocapture"]).env(PLUGIN, folder);
        let child = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let began = Instant::now();
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            ensure!(began.elapsed() < SOON, "the plugin does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct World {
    node: TestNode,
    front: Front,
    site: Site,
    image: String,
    dns: PathBuf,
}

fn file(workflow: &str, before: &str, socket: &Path, on_delete: &str) -> String {
    format!(
        "extends: {workflow}
insert:
  - step: forget-name
    label: take the name out of DNS
    before: {before}
    no_undo: a machine that stays registers again when it starts
    retry: {{ attempts: 3, first_ms: 20 }}
    plugin: {{ address: 'unix://{}', timeout_seconds: 5 }}
    edge: {{ kind: name in DNS, plural: names in DNS, on_delete: {on_delete} }}
",
        socket.display()
    )
}

impl World {
    async fn new(folder: &Path, on_delete: &str) -> Result<Self> {
        let (dns, workflows) = (folder.join("dns"), folder.join("workflows"));
        std::fs::create_dir_all(&dns)?;
        std::fs::create_dir_all(workflows.join("vm"))?;
        for workflow in ["delete-vm", "expunge-vm"] {
            let text = file(workflow, "remove", &dns.join("dns.sock"), on_delete);
            std::fs::write(workflows.join("vm").join(format!("{workflow}.yaml")), text)?;
        }
        let change = |config: &mut gyre_node::NodeConfig| config.process.workflows = Some(workflows);
        let node = TestNode::start_with(folder, Hosts::Simulated(Simulation::default()), change).await?;
        let front = node.front().await?;
        let site = front.site("east", &["local"], "/var/lib/gyre").await?;
        let image = front.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
        Ok(Self { node, front, site, image, dns })
    }

    async fn vm(&self, front: &Front, name: &str, names: &[&str]) -> Result<String> {
        let vm = front.done(Method::POST, "/v1/vms", Some(Front::vm(&self.site, &self.image, name))).await?;
        std::fs::write(self.dns.join(&vm), names.join("\n"))?;
        Ok(vm)
    }

    async fn account(&self, name: &str) -> Result<(String, Front)> {
        let password = "Trubador-and-3-onions";
        let account = self.front.make("/v1/accounts", json!({"name": name, "password": password})).await?;
        Ok((account, Front::sign_in(&self.node.endpoint(), name, password).await?))
    }

    async fn plan(&self, path: &str) -> Result<Value> {
        Ok(self.front.delete(path).await?.good()?["deletion"].clone())
    }

    /// The nodes of a plan that the plugin keeps.
    fn kept(plan: &Value) -> Vec<Value> {
        let nodes = plan["nodes"].as_array().cloned().unwrap_or_default();
        nodes.into_iter().filter(|node| node["plugin"] == "forget-name").collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_keeps_is_shown_and_goes_with_each_machine_of_a_cascade() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path(), "DELETE").await?;
    let mut plugin = Process::start(&world.dns).await?;
    let (account, front) = world.account("ann").await?;
    let mut vms = Vec::new();
    for at in 0..6 {
        let names = [format!("web-{at}.example.org"), format!("www-{at}.example.org")];
        vms.push(world.vm(&front, &format!("web-{at}"), &[&names[0], &names[1]]).await?);
    }
    // somebody else's
    world.vm(&world.front, "other", &["other.example.org"]).await?;

    let cascade = format!("/v1/accounts/{account}?cascade=true");
    let plan = world.plan(&format!("{cascade}&validateOnly=true")).await?;
    let kept = World::kept(&plan);
    ensure!(plan["allowed"] == true && kept.len() == 1, "{plan:#}");
    let node = &kept[0];
    ensure!(node["effect"] == "DELETION_EFFECT_DELETE" && node["count"] == "12" && node["depth"] == 2, "{node}");
    ensure!(node["kind"] == "names in DNS" && node["items"].as_array().map(Vec::len) == Some(10), "{node}");
    let names: Vec<_> =
        node["items"].as_array().into_iter().flatten().filter_map(|item| item["name"].as_str()).collect();
    ensure!(names.iter().all(|name| name.ends_with(".example.org") && !name.starts_with("other")), "{names:?}");
    // into the bin is no deletion: nothing is asked
    let plan = world.plan(&format!("/v1/vms/{}?validateOnly=true", vms[0])).await?;
    ensure!(plan["allowed"] == true && World::kept(&plan).is_empty(), "{plan:#}");
    // what a plugin keeps needs no cascade: its step is a part of the deletion
    let plan = world.plan(&format!("/v1/vms/{}?validateOnly=true&expunge=true", vms[0])).await?;
    ensure!(plan["allowed"] == true && World::kept(&plan)[0]["count"] == "2", "{plan:#}");

    // one that is held forbids all of it, in the plugin's words
    std::fs::write(world.dns.join(&vms[3]), "held:pay.example.org")?;
    let plan = world.plan(&format!("{cascade}&validateOnly=true")).await?;
    let kept = World::kept(&plan);
    ensure!(plan["allowed"].is_null() && kept.len() == 2, "{plan:#}");
    ensure!(
        kept.iter().any(|node| node["effect"] == "DELETION_EFFECT_FORBID" && node["kind"] == "name in DNS"),
        "{plan:#}"
    );
    let refused = world.front.delete(&cascade).await?;
    ensure!((refused.status.as_u16(), refused.reason()) == (400, "IN_USE"), "{refused:?}");
    let text = refused.body["detail"].as_str().unwrap_or_default();
    ensure!(text.contains("1 name in DNS") && text.contains("pay.example.org is held"), "{text}");
    ensure!(front.get(&format!("/v1/vms/{}", vms[0])).await?.status.is_success(), "nothing has begun");

    // away: said plainly, and nothing is deleted
    std::fs::write(world.dns.join(&vms[3]), "web-3.example.org")?;
    drop(plugin);
    let plan = world.plan(&format!("{cascade}&validateOnly=true")).await?;
    let said = plan["refusal"].as_str().unwrap_or_default();
    ensure!(
        plan["allowed"].is_null() && said.contains("forget-name") && said.contains("start it, or take its edge"),
        "{plan:#}"
    );
    let refused = world.front.delete(&cascade).await?;
    ensure!((refused.status.as_u16(), refused.reason()) == (503, "PLUGIN_UNREACHABLE"), "{refused:?}");
    ensure!(refused.body["metadata"]["plugin"] == "forget-name", "{refused:?}");
    // putting a machine into the bin does not need it
    world.front.done(Method::DELETE, &format!("/v1/vms/{}", vms[5]), None).await?;

    plugin = Process::start(&world.dns).await?;
    let ended = world.front.operation(Method::DELETE, &cascade, None).await?;
    ensure!(ended["state"] == "OPERATION_STATE_SUCCEEDED", "{ended:#}");
    let log = std::fs::read_to_string(world.dns.join("log"))?;
    for vm in &vms {
        ensure!(!world.dns.join(vm).exists(), "the names of {vm} are there");
        let lines: Vec<_> = log.lines().filter(|line| line.ends_with(vm.as_str())).collect();
        ensure!(lines.len() == 1 && lines[0].contains("/forget-name "), "{vm}: {lines:?}");
    }
    ensure!(log.lines().count() == vms.len(), "{log}");
    drop(plugin);
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_keeps_can_be_in_the_way_and_a_late_refusal_leaves_the_machine() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path(), "RESTRICT").await?;
    let _plugin = Process::start(&world.dns).await?;
    let (account, front) = world.account("ann").await?;
    let kept = world.vm(&front, "kept", &["kept.example.org"]).await?;
    let path = format!("/v1/vms/{kept}?expunge=true");
    let refused = front.delete(&path).await?;
    ensure!((refused.status.as_u16(), refused.reason()) == (400, "IN_USE"), "{refused:?}");
    ensure!(refused.body["metadata"]["names_in_DNS"] == "1", "{refused:?}");
    std::fs::remove_file(world.dns.join(&kept))?;
    front.done(Method::DELETE, &path, None).await?;

    // between the look and the step something came: the step has the last word, and the machine stays as it was
    let late = world.vm(&front, "late", &[]).await?;
    let asked = world.front.delete(&format!("/v1/accounts/{account}?cascade=true&validateOnly=true")).await?.good()?;
    ensure!(asked["deletion"]["allowed"] == true, "{asked:#}");
    let binned = world.vm(&front, "binned", &[]).await?;
    front.done(Method::DELETE, &format!("/v1/vms/{binned}"), None).await?;
    std::fs::write(world.dns.join(&binned), "held:late.example.org")?;
    let expunged = front.operation(Method::POST, &format!("/v1/vms/{binned}:expunge"), Some(json!({}))).await?;
    ensure!(expunged["error"]["message"] == "the name is held", "{expunged:#}");
    let row = front.get(&format!("/v1/vms/{binned}")).await?.good()?;
    ensure!(row["state"] == "VM_STATE_DESTROYED", "{row}");
    ensure!(front.get(&format!("/v1/vms/{late}")).await?.status.is_success());
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_would_not_hold_is_refused_at_the_start() -> Result<()> {
    let wrong = [
        (
            vec![("delete-vm", "remove")],
            "expunge-vm deletes a vm, too: insert the step \"forget-name\" with its edge there",
        ),
        (vec![("stop-vm", "stop")], "stop-vm does not delete a vm: write it in delete-vm and expunge-vm"),
    ];
    for (workflows, expected) in wrong {
        let folder = tempfile::tempdir()?;
        let files = folder.path().join("workflows/vm");
        std::fs::create_dir_all(&files)?;
        for (workflow, before) in workflows {
            let text = file(workflow, before, &folder.path().join("a.sock"), "DELETE");
            std::fs::write(files.join(format!("{workflow}.yaml")), text)?;
        }
        let change =
            |config: &mut gyre_node::NodeConfig| config.process.workflows = Some(folder.path().join("workflows"));
        let started = TestNode::start_with(folder.path(), Hosts::Simulated(Simulation::default()), change).await;
        let error = started.err().context("it started")?;
        ensure!(format!("{error:#}").contains(expected), "{error:#}");
    }
    Ok(())
}
