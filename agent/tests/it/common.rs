//! Sessions as a controller has them, and what tests need of the machine that they run on.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use gyre_agent::Agent;
use gyre_model::{Error, Uuid};
use gyre_proto::agent::v1::agent_service_client::AgentServiceClient;
use gyre_proto::agent::v1::agent_service_server::AgentServiceServer;
use gyre_proto::agent::v1::session_request::Message as Down;
use gyre_proto::agent::v1::session_response::Message as Up;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{
    AcknowledgeOutcomes, AgentHello, AskMachines, ControllerHello, MachineFacts, MachineReport, SessionRequest,
    SessionResponse, Task, TaskBatch, TaskOutcome, TaskProgress, task_outcome,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// What must come, comes within this time.
pub const SOON: Duration = Duration::from_secs(60);

pub type Client = AgentServiceClient<AgentServiceServer<gyre_agent::Service>>;

pub fn client(agent: &Agent) -> Client {
    AgentServiceClient::new(agent.service()).max_decoding_message_size(8 << 20)
}

/// A controller's session.
pub struct Session {
    down: mpsc::Sender<SessionRequest>,
    up: BoxStream<'static, Result<SessionResponse, Status>>,
    pub hello: AgentHello,
    pub host: Uuid,
    pub fence: i64,
    pub progress: Vec<TaskProgress>,
    pub machines: Vec<MachineFacts>,
}

pub fn hello(host: Uuid, fence: i64) -> ControllerHello {
    ControllerHello { host_uuid: host.to_string(), fence, instance_uuid: Uuid::new_v4().to_string(), heartbeat_ms: 50 }
}

/// Starts a session by any client.
pub async fn open_with<T>(mut client: AgentServiceClient<T>, hello: ControllerHello) -> Result<Session, Error>
where
    T: tonic::client::GrpcService<tonic::body::Body> + Send,
    T::Error: Into<tonic::codegen::StdError>,
    T::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes> + Send + 'static,
    <T::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    let (down, requests) = mpsc::channel(1000);
    let host = gyre_model::parse_uuid(&hello.host_uuid).unwrap_or_default();
    let fence = hello.fence;
    down.send(SessionRequest { message: Some(Down::Hello(hello)) }).await.expect("room");
    let mut up = client.session(ReceiverStream::new(requests)).await?.into_inner().boxed();
    let first = tokio::time::timeout(SOON, up.next()).await.expect("a hello in time").expect("a hello")?;
    let Some(Up::Hello(hello)) = first.message else { panic!("the first message is the hello, got {first:?}") };
    Ok(Session { down, up, hello, host, fence, progress: Vec::new(), machines: Vec::new() })
}

pub async fn open(agent: &Agent, host: Uuid, fence: i64) -> Result<Session, Error> {
    open_with(client(agent), hello(host, fence)).await
}

impl Session {
    pub async fn send(&self, message: Down) {
        self.down.send(SessionRequest { message: Some(message) }).await.expect("the session is open");
    }

    pub fn task(&self, id: &str, work: Work) -> Task {
        let (host_uuid, fence) = (self.host.to_string(), self.fence);
        Task { id: id.into(), host_uuid, fence, work: Some(work), ..Task::default() }
    }

    pub async fn submit(&self, tasks: Vec<Task>) {
        self.send(Down::Tasks(TaskBatch { tasks })).await;
    }

    pub async fn acknowledge(&self, ids: &[&str]) {
        let task_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        self.send(Down::Acknowledge(AcknowledgeOutcomes { task_ids })).await;
    }

    /// The next message, or the end.
    pub async fn next(&mut self) -> Option<Result<Up, Error>> {
        let next = tokio::time::timeout(SOON, self.up.next()).await.expect("news in time")?;
        Some(next.map(|response| response.message.expect("a message")).map_err(Error::from))
    }

    /// The next outcome; progress and machines on the way are kept.
    pub async fn outcome(&mut self) -> TaskOutcome {
        loop {
            match self.next().await.expect("the session goes on").expect("the session goes on") {
                Up::Outcome(outcome) => return outcome,
                Up::Progress(progress) => self.progress.push(progress),
                Up::Machine(machine) => self.machines.push(machine),
                Up::Heartbeat(_) | Up::Report(_) => {}
                Up::Hello(_) => panic!("a second hello"),
            }
        }
    }

    /// The next change of a machine.
    pub async fn machine(&mut self) -> MachineFacts {
        loop {
            match self.next().await.expect("the session goes on").expect("the session goes on") {
                Up::Machine(machine) => return machine,
                Up::Heartbeat(_) | Up::Progress(_) => {}
                other => panic!("a machine's change is waited for, got {other:?}"),
            }
        }
    }

    /// Asks what machines there are (some, or all), and answers all parts of the answer.
    pub async fn ask(&mut self, ask: AskMachines) -> Vec<MachineReport> {
        self.send(Down::Ask(ask)).await;
        let mut parts: Vec<MachineReport> = Vec::new();
        while parts.last().is_none_or(|part| !part.last) {
            match self.next().await.expect("the session goes on").expect("the session goes on") {
                Up::Report(part) => parts.push(part),
                Up::Heartbeat(_) | Up::Progress(_) | Up::Machine(_) => {}
                other => panic!("an answer is waited for, got {other:?}"),
            }
        }
        parts
    }

    /// Runs one task to its end and acknowledges it.
    pub async fn run(&mut self, work: Work) -> Result<Option<task_outcome::Result>, Error> {
        let id = Uuid::new_v4().to_string();
        let task = self.task(&id, work);
        self.submit(vec![task]).await;
        let outcome = loop {
            let outcome = self.outcome().await;
            // outcomes of earlier sessions that were not acknowledged in time come again
            if outcome.task_id == id {
                break outcome;
            }
        };
        self.acknowledge(&[&id]).await;
        match outcome.error {
            None => Ok(outcome.result),
            Some(error) => Err(error.into()),
        }
    }

    /// Runs a task that must fail, and says why it did.
    pub async fn reason(&mut self, work: Work) -> String {
        self.run(work).await.expect_err("must fail").reason().to_owned()
    }
}

/// Whether a program is there; else says so, and fails where all must be there.
pub fn has(program: &str, package: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        assert!(std::env::var_os("GYRE_TEST_REQUIRE").is_none_or(|value| value != "1"), "install {package}");
        eprintln!("skipped: install {package}");
    }
    found
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: not within {} s", SOON.as_secs()));
}

/// Starts the agent as a process on a free port. Answers it and its address.
pub async fn process(args: &[&str]) -> (tokio::process::Child, String) {
    process_at("127.0.0.1:0", args).await.expect("an address")
}

/// Starts the agent as a process. Nothing where it cannot listen there.
pub async fn process_at(listen: &str, args: &[&str]) -> Option<(tokio::process::Child, String)> {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_gyre-agent"))
        .args(["--listen", listen])
        .args(args)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("output")).lines();
    let line = tokio::time::timeout(SOON, lines.next_line()).await.expect("in time").expect("a line")?;
    Some((child, line.rsplit(' ').next().expect("an address").to_owned()))
}
