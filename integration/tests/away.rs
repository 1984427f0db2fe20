//! A node whose PostgreSQL and etcd, real and of the test's own, are killed, frozen, cut off and started again: what a client of
//! the front door sees meanwhile, and that everything goes on by itself afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

#[path = "../../services/kit/store/tests/support/postgres.rs"]
mod postgres;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gyre_agent::{AgentConfig, Simulation};
use gyre_integration::Front;
use gyre_integration::front::Site;
use gyre_mesh::config::ProcessArgs;
use gyre_node::{Node, NodeConfig};
use http::{Method, StatusCode};
use postgres::{Postgres, Way};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How long an answer may take while something is away: two seconds are promised, and a machine that has much to do gets some more.
const PROMISED: Duration = Duration::from_millis(3_500);
/// How long it may take until everything goes on afterwards.
const BACK: Duration = Duration::from_secs(30);

struct Etcd {
    folder: tempfile::TempDir,
    ports: [u16; 2],
    child: Option<Child>,
}

impl Etcd {
    /// Starts one; none where it is not installed, which only a machine for tests may not forgive.
    fn start() -> Option<Self> {
        if Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            assert!(std::env::var("GYRE_TEST_REQUIRE").as_deref() != Ok("1"), "install etcd-server");
            eprintln!("skipped: install etcd-server");
            return None;
        }
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = ports.map(|port| port.local_addr().unwrap().port());
        let mut etcd = Self { folder: tempfile::tempdir().unwrap(), ports, child: None };
        etcd.run();
        Some(etcd)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    fn run(&mut self) {
        let [client, peer] = self.ports.map(|port| format!("http://127.0.0.1:{port}"));
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(self.folder.path().join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(60);
        while !self.healthy() {
            assert!(Instant::now() < until, "etcd does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn healthy(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.ports[0])) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut answer = [0; 512];
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: etcd\r\n\r\n").is_ok()
            && stream.read(&mut answer).is_ok_and(|count| answer[..count].starts_with(b"HTTP/1.1 200"))
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().unwrap().id();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Loses all that it knew.
    fn forget(&self) {
        std::fs::remove_dir_all(self.folder.path().join("etcd")).unwrap();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A node on both.
struct World {
    postgres: Postgres,
    way: Way,
    etcd: Etcd,
    node: Node,
    front: Front,
    site: Site,
    image: String,
    vm: String,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Result<Option<Self>> {
        let (Some(postgres), Some(etcd)) = (Postgres::start(), Etcd::start()) else { return Ok(None) };
        let way = Way::to(postgres.port);
        let folder = tempfile::tempdir()?;
        let admin = folder.path().join("admin.json");
        let mut config = NodeConfig::embedded(&folder.path().join("unused"), SocketAddr::from(([127, 0, 0, 1], 0)));
        config.process = ProcessArgs {
            database: Some(Postgres::url_at(way.port)),
            etcd: vec![etcd.url()],
            ..ProcessArgs::loopback()
        };
        config.admin_file = Some(admin.clone());
        config.agent = Some(AgentConfig::simulated(Simulation::default()));
        let node = Node::start(config).await?;
        let sign_in: Value = serde_json::from_str(&std::fs::read_to_string(admin)?)?;
        let text = |name: &str| sign_in[name].as_str().context("a sign-in");
        let front = Front::sign_in(&format!("http://{}", node.address()), text("account")?, text("password")?).await?;
        let site = front.site("away", &["local"], "/var/lib/gyre").await?;
        let image = front.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
        let vm = front.done(Method::POST, "/v1/vms", Some(Front::vm(&site, &image, "first"))).await?;
        Ok(Some(Self { postgres, way, etcd, node, front, site, image, vm, _folder: folder }))
    }

    fn machine(&self, name: &str) -> Value {
        Front::vm(&self.site, &self.image, name)
    }

    /// A read is answered.
    async fn reads(&self) {
        let began = Instant::now();
        self.front.get(&format!("/v1/vms/{}", self.vm)).await.unwrap().good().unwrap();
        assert!(began.elapsed() < PROMISED, "{:?}", began.elapsed());
    }

    /// A call is refused in time, in a way that a client can act on.
    async fn refused(&self, method: Method, path: &str, body: Option<Value>, reason: &str) {
        let began = Instant::now();
        let said = self.front.call(method, path, body).await.expect("an answer");
        let took = began.elapsed();
        assert_eq!((said.status, said.reason()), (StatusCode::SERVICE_UNAVAILABLE, reason), "{path}: {}", said.body);
        assert!(said.headers.contains_key("retry-after"), "{path}");
        assert!(took < PROMISED, "{path}: {took:?}");
    }

    /// Nothing that needs the database is answered; the members and the gateway's health are.
    async fn without_database(&self) {
        self.refused(Method::GET, &format!("/v1/vms/{}", self.vm), None, "DATABASE_AWAY").await;
        self.refused(Method::GET, "/v1/vms", None, "DATABASE_AWAY").await;
        self.refused(Method::POST, "/v1/vms", Some(self.machine("refused")), "DATABASE_AWAY").await;
        self.refused(Method::POST, &format!("/v1/vms/{}:stop", self.vm), Some(json!({})), "DATABASE_AWAY").await;
        self.front.get("/v1/members").await.unwrap().good().expect("members are known without it");
    }

    /// Everything goes on, by itself.
    async fn back(&self, name: &str) {
        let until = Instant::now() + BACK;
        loop {
            let said = self.front.call(Method::POST, "/v1/vms", Some(self.machine(name))).await.unwrap();
            if said.status.is_success() {
                let uuid = said.body["uuid"].as_str().unwrap().to_owned();
                return self.ends(&uuid).await;
            }
            assert!(said.status == StatusCode::SERVICE_UNAVAILABLE, "{}", said.body);
            assert!(Instant::now() < until, "it does not come back: {}", said.body);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// An operation comes to a good end.
    async fn ends(&self, operation: &str) {
        let until = Instant::now() + BACK * 2;
        loop {
            let said = self.front.get(&format!("/v1/operations/{operation}")).await.unwrap();
            match said.body["state"].as_str() {
                Some("OPERATION_STATE_SUCCEEDED") => return,
                Some("OPERATION_STATE_FAILED" | "OPERATION_STATE_CANCELLED") => panic!("{}", said.body),
                _ => assert!(Instant::now() < until, "it does not end: {}", said.body),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Machines that are begun; their operations.
    async fn begin(&self, name: &str, count: usize) -> Vec<String> {
        let mut begun = Vec::new();
        for at in 0..count {
            let said = self.front.post("/v1/vms", self.machine(&format!("{name}-{at}"))).await.unwrap();
            begun.push(said.good().unwrap()["uuid"].as_str().unwrap().to_owned());
        }
        begun
    }

    /// A door does everything again, after a moment.
    async fn goes_on(&self, front: &Front) {
        let until = Instant::now() + BACK;
        for _ in 0..4 {
            loop {
                let said = front.call(Method::POST, "/v1/zones", Some(json!({"name": "back"}))).await.unwrap();
                if said.status.is_success() {
                    break;
                }
                assert!(said.status == StatusCode::SERVICE_UNAVAILABLE, "{}", said.body);
                assert!(Instant::now() < until, "it does not come back: {}", said.body);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    async fn lease(&self, held: bool) {
        lease(&self.node, held).await;
    }

    /// Another node on the same database, whose way to etcd is its own; a client of its front door.
    async fn second(&self, etcd: u16) -> Result<(Node, Front)> {
        let mut config = NodeConfig::embedded(std::path::Path::new("unused"), SocketAddr::from(([127, 0, 0, 1], 0)));
        config.process = ProcessArgs {
            database: Some(Postgres::url_at(self.way.port)),
            etcd: vec![format!("http://127.0.0.1:{etcd}")],
            ..ProcessArgs::loopback()
        };
        config.migrate = false;
        let node = Node::start(config).await?;
        let front = Front::new(&format!("http://{}", node.address()), self.front.token());
        Ok((node, front))
    }

    /// Whatever is asked of a door is answered in time: it was done, or is refused in a way that a client can act on.
    async fn in_time(&self, front: &Front, at: &str) {
        let vm = format!("/v1/vms/{}", self.vm);
        let zone = || Some(json!({"name": "away"}));
        let calls = [
            (Method::GET, vm.clone(), None),
            (Method::GET, "/v1/vms".to_owned(), None),
            (Method::GET, "/v1/members".to_owned(), None),
            (Method::POST, "/v1/zones".to_owned(), zone()),
            (Method::POST, "/v1/zones".to_owned(), zone()),
            (Method::POST, "/v1/zones".to_owned(), zone()),
            (Method::POST, "/v1/zones".to_owned(), zone()),
            (Method::PATCH, format!("/v1/zones/{}", self.site.zone), Some(json!({"description": at}))),
        ];
        for (method, path, body) in calls {
            let began = Instant::now();
            let said = front.call(method.clone(), &path, body).await.expect("an answer");
            let took = began.elapsed();
            let refused = said.status == StatusCode::SERVICE_UNAVAILABLE && said.headers.contains_key("retry-after");
            assert!(said.status.is_success() || refused, "{at}: {method} {path}: {} {}", said.status, said.body);
            assert!(took < PROMISED, "{at}: {method} {path}: {took:?}: {}", said.body);
        }
    }
}

async fn lease(node: &Node, held: bool) {
    let until = Instant::now() + BACK;
    while node.mesh().may_work() != held {
        assert!(Instant::now() < until, "the lease is not {}", if held { "held" } else { "lost" });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_told_in_time_and_comes_back() -> Result<()> {
    let Some(mut world) = World::new().await? else { return Ok(()) };
    // killed, with work under way
    let begun = world.begin("killed", 5).await;
    world.postgres.kill();
    world.without_database().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.without_database().await;
    world.postgres.run();
    world.back("after-kill").await;
    for operation in &begun {
        world.ends(operation).await;
    }
    // frozen
    let begun = world.begin("frozen", 5).await;
    world.postgres.freeze();
    world.without_database().await;
    world.postgres.thaw();
    world.back("after-freeze").await;
    for operation in &begun {
        world.ends(operation).await;
    }
    // cut, and swallowed without a word
    let begun = world.begin("cut", 5).await;
    world.way.cut();
    world.back("after-cut").await;
    world.way.silent(true);
    world.without_database().await;
    world.way.silent(false);
    world.back("after-silence").await;
    for operation in &begun {
        world.ends(operation).await;
    }
    let machines = world.front.get("/v1/vms?pageSize=100").await?.good()?;
    assert_eq!(machines["vms"].as_array().map(Vec::len), Some(1 + 15 + 4), "each once: {machines}");
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_etcd_nothing_new_begins_and_reads_go_on() -> Result<()> {
    let Some(mut world) = World::new().await? else { return Ok(()) };
    for kind in ["killed", "frozen", "emptied"] {
        let begun = world.begin(kind, 3).await;
        match kind {
            "frozen" => world.etcd.signal(Signal::STOP),
            _ => world.etcd.kill(),
        }
        world.lease(false).await;
        world.reads().await;
        world.front.get("/v1/members").await?.good()?;
        world.refused(Method::POST, "/v1/vms", Some(world.machine("refused")), "NO_LEASE").await;
        world.refused(Method::POST, &format!("/v1/vms/{}:stop", world.vm), Some(json!({})), "NO_LEASE").await;
        match kind {
            "frozen" => world.etcd.signal(Signal::CONT),
            "emptied" => {
                world.etcd.forget();
                world.etcd.run();
            }
            _ => world.etcd.run(),
        }
        world.lease(true).await;
        world.back(&format!("after-{kind}")).await;
        for operation in &begun {
            world.ends(operation).await;
        }
        world.reads().await;
    }
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_database_and_etcd_away_at_once_every_answer_comes_in_time() -> Result<()> {
    let Some(mut world) = World::new().await? else { return Ok(()) };
    let (second, front) = world.second(world.etcd.ports[0]).await?;
    for kind in ["killed", "frozen"] {
        if kind == "frozen" {
            world.postgres.freeze();
            world.etcd.signal(Signal::STOP);
        } else {
            world.postgres.kill();
            world.etcd.kill();
        }
        for when in ["at once", "later"] {
            world.in_time(&world.front, &format!("{kind}, {when}, first")).await;
            world.in_time(&front, &format!("{kind}, {when}, second")).await;
        }
        world.lease(false).await;
        world.in_time(&world.front, &format!("{kind}, without a lease")).await;
        if kind == "frozen" {
            world.postgres.thaw();
            world.etcd.signal(Signal::CONT);
        } else {
            world.postgres.run();
            world.etcd.run();
        }
        world.lease(true).await;
        lease(&second, true).await;
        world.goes_on(&front).await;
    }
    second.shutdown().await;
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_cut_off_from_etcd_alone_answers_in_time_and_so_does_the_other() -> Result<()> {
    let Some(world) = World::new().await? else { return Ok(()) };
    let way = Way::to(world.etcd.ports[0]);
    let (second, front) = world.second(way.port).await?;
    world.in_time(&front, "together").await;
    way.silent(true);
    let cut = Instant::now();
    while cut.elapsed() < Duration::from_secs(12) {
        world.in_time(&front, "cut off").await;
        world.in_time(&world.front, "beside it").await;
    }
    lease(&second, false).await;
    let alone = world.front.call(Method::POST, "/v1/zones", Some(json!({"name": "alone"}))).await?;
    assert!(alone.status.is_success(), "the other has taken its place: {}", alone.body);
    way.silent(false);
    way.cut();
    lease(&second, true).await;
    world.goes_on(&front).await;
    second.shutdown().await;
    world.node.shutdown().await;
    Ok(())
}
