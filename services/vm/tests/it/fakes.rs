//! A mesh with the vm service and a fake of the host service: it answers tasks at once, notes them, and gives room back.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use gyre_flow::process::Service as _;
use gyre_mesh::Mesh;
use gyre_model::{Caller, Uuid};
use gyre_proto::Resource;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{MachineFacts, MachineState, TaskOutcome};
use gyre_proto::host::v1::host_task_service_server::{HostTaskService, HostTaskServiceServer};
use gyre_proto::host::v1::placement_service_server::{PlacementService, PlacementServiceServer};
use gyre_proto::host::v1::run_task_response::Event;
use gyre_proto::host::v1::{
    CancelTaskRequest, CancelTaskResponse, Cluster, Host, HostState, HostStatus, ReadConsoleRequest,
    ReadConsoleResponse, ReleasePlacementRequest, ReleasePlacementResponse, ReservePlacementRequest,
    ReservePlacementResponse, RunTaskRequest, RunTaskResponse, WriteConsoleRequest, WriteConsoleResponse,
    WriteImageRequest, WriteImageResponse, Zone,
};
use gyre_proto::vm::v1::machine_report_service_client::MachineReportServiceClient;
use gyre_proto::vm::v1::{ReportMachinesRequest, ReportMachinesResponse, SeenMachine, Vm, VmState};
use gyre_query::Change;
use gyre_store::{Sql, Store, Value};
use gyre_vm::{Config, NAME, Service};
use parking_lot::Mutex;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

/// The host service, as far as machines know it.
#[derive(Clone, Default)]
pub struct FakeHost(Arc<Mutex<Vec<(String, Work)>>>);

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl HostTaskService for FakeHost {
    type RunTaskStream = Events<RunTaskResponse>;
    type ReadConsoleStream = Events<ReadConsoleResponse>;

    async fn run_task(&self, request: Request<RunTaskRequest>) -> Result<Response<Self::RunTaskStream>, Status> {
        let RunTaskRequest { host_uuid, task } = request.into_inner();
        let task = task.unwrap_or_default();
        if let Some(work) = task.work {
            self.0.lock().push((host_uuid, work));
        }
        let outcome = TaskOutcome { task_id: task.id, ..TaskOutcome::default() };
        let ended = RunTaskResponse { event: Some(Event::Outcome(outcome)) };
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(ended)]))))
    }

    async fn cancel_task(&self, _: Request<CancelTaskRequest>) -> Result<Response<CancelTaskResponse>, Status> {
        Ok(Response::new(CancelTaskResponse {}))
    }

    async fn read_console(&self, _: Request<ReadConsoleRequest>) -> Result<Response<Self::ReadConsoleStream>, Status> {
        Err(Status::unimplemented("no console here"))
    }

    async fn write_console(&self, _: Request<WriteConsoleRequest>) -> Result<Response<WriteConsoleResponse>, Status> {
        Err(Status::unimplemented("no console here"))
    }

    async fn write_image(
        &self,
        _: Request<Streaming<WriteImageRequest>>,
    ) -> Result<Response<WriteImageResponse>, Status> {
        Err(Status::unimplemented("no images here"))
    }
}

#[tonic::async_trait]
impl PlacementService for FakeHost {
    async fn reserve_placement(
        &self,
        request: Request<ReservePlacementRequest>,
    ) -> Result<Response<ReservePlacementResponse>, Status> {
        let host_uuid = request.into_inner().host_uuid;
        Ok(Response::new(ReservePlacementResponse { host_uuid, ..Default::default() }))
    }

    async fn release_placement(
        &self,
        _: Request<ReleasePlacementRequest>,
    ) -> Result<Response<ReleasePlacementResponse>, Status> {
        Ok(Response::new(ReleasePlacementResponse {}))
    }
}

pub struct World {
    pub mesh: Mesh,
    pub store: Store,
    pub host: Uuid,
    pub other: Uuid,
    tasks: FakeHost,
    cluster: Uuid,
    account: Uuid,
    _service: Service,
    _folder: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let store = gyre_store::testing::store(folder.path()).await.expect("a database");
        let (mesh, tasks) = (Mesh::local(), FakeHost::default());
        let routes = Routes::new(HostTaskServiceServer::new(tasks.clone()))
            .add_service(PlacementServiceServer::new(tasks.clone()));
        mesh.host("host", routes).await.expect("host");
        let service = Service::start(mesh.clone(), store.clone(), Config::default()).await.expect("service");
        mesh.host(NAME, service.routes()).await.expect("vm");
        let ids: [Uuid; 5] = std::array::from_fn(|_| Uuid::new_v4());
        let [host, other, cluster, account, zone] = ids;
        let world = Self { mesh, store, host, other, tasks, cluster, account, _service: service, _folder: folder };
        world.given(zone).await;
        world
    }

    async fn given(&self, zone: Uuid) {
        use gyre_proto::identity::v1::{Account, AccountState, AccountType};
        let mut account = Account { uuid: self.account.to_string(), name: "user".into(), ..Account::default() };
        account.set_state(AccountState::Enabled);
        account.set_type(AccountType::Normal);
        self.insert(account).await;
        self.insert(Zone { uuid: zone.to_string(), name: "zone".into(), ..Zone::default() }).await;
        let (uuid, zone_uuid) = (self.cluster.to_string(), zone.to_string());
        self.insert(Cluster { uuid, name: "cluster".into(), zone_uuid: zone_uuid.clone(), ..Cluster::default() }).await;
        for uuid in [self.host, self.other] {
            let mut host = Host {
                uuid: uuid.to_string(),
                name: "host".into(),
                cluster_uuid: self.cluster.to_string(),
                zone_uuid: zone_uuid.clone(),
                address: format!("{uuid}:7000"),
                ..Host::default()
            };
            host.set_state(HostState::Enabled);
            host.set_status(HostStatus::Connected);
            self.insert(host).await;
        }
    }

    pub async fn insert<R: Resource + 'static>(&self, row: R) {
        let write = move |conn: &mut _| gyre_query::insert(conn, &Change::by(Caller::system()), &row);
        self.store.write("given", write).await.expect("row");
    }

    /// A machine on a host.
    pub async fn machine(&self, host: Uuid, state: VmState) -> Uuid {
        let uuid = Uuid::new_v4();
        let mut vm = Vm {
            uuid: uuid.to_string(),
            name: "vm".into(),
            account_uuid: self.account.to_string(),
            cpu_count: 1,
            memory_bytes: 1 << 30,
            image_uuid: Uuid::new_v4().to_string(),
            host_uuid: host.to_string(),
            cluster_uuid: self.cluster.to_string(),
            ..Vm::default()
        };
        vm.set_state(state);
        self.insert(vm).await;
        uuid
    }

    pub async fn vm(&self, uuid: Uuid) -> Vm {
        self.store.read("test", move |conn| gyre_query::get(conn, &Caller::system(), uuid)).await.expect("a machine")
    }

    pub async fn execute(&self, sql: Sql) {
        self.store.write("test", move |conn| Ok(conn.execute(sql)?)).await.expect("written");
    }

    /// An operation on a machine, as it stands in the database.
    pub async fn operation(&self, vm: Uuid, workflow: &str, state: &str, end_time: i64) {
        let sql = Sql::new(
            "INSERT INTO operation (uuid, create_time, update_time, generation, state, service, workflow, resource_kind, \
             resource_uuid, percent, steps, end_time, fence, instance_uuid, request_id, trace_parent) VALUES (",
        )
        .bind(Uuid::new_v4())
        .sql(", ")
        .bind(Value::time(1))
        .sql(", ")
        .bind(Value::time(1))
        .sql(", 1, ")
        .bind(state.to_owned())
        .sql(", 'elsewhere', ")
        .bind(workflow.to_owned())
        .sql(", 'vm', ")
        .bind(vm)
        .sql(", 0, '[]', ")
        .bind(Value::time(end_time))
        .sql(", 1, ")
        .bind(Uuid::new_v4())
        .sql(", '', '')");
        self.execute(sql).await;
    }

    pub async fn report(&self, request: ReportMachinesRequest) -> ReportMachinesResponse {
        let channel = self.mesh.channel(NAME).on_behalf_of(Caller::system());
        MachineReportServiceClient::new(channel).report_machines(request).await.expect("noted").into_inner()
    }

    /// All machines of the host.
    pub async fn whole(&self, machines: &[(Uuid, MachineState)]) -> ReportMachinesResponse {
        let (host_uuid, machines) = (self.host.to_string(), facts(machines));
        let request =
            ReportMachinesRequest { host_uuid, machines, complete: true, connected: true, ..Default::default() };
        self.report(request).await
    }

    /// What the host says of machines about which it was asked.
    pub async fn asked(&self, seen: Vec<SeenMachine>, machines: &[(Uuid, MachineState)]) -> ReportMachinesResponse {
        let (host_uuid, machines) = (self.host.to_string(), facts(machines));
        self.report(ReportMachinesRequest { host_uuid, machines, seen, connected: true, ..Default::default() }).await
    }

    /// A whole report, and the question that follows it, answered alike.
    pub async fn twice(&self, machines: &[(Uuid, MachineState)]) -> ReportMachinesResponse {
        let first = self.whole(machines).await;
        if first.ask.is_empty() {
            return first;
        }
        self.asked(first.ask, machines).await
    }

    /// The tasks that hosts were given.
    pub fn tasks(&self) -> Vec<(String, Work)> {
        self.tasks.0.lock().clone()
    }

    pub async fn until_tasks(&self, count: usize) -> Vec<(String, Work)> {
        for _ in 0..1000 {
            if self.tasks().len() >= count {
                return self.tasks();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} tasks did not come: {:?}", self.tasks());
    }
}

pub fn facts(machines: &[(Uuid, MachineState)]) -> Vec<MachineFacts> {
    let one = |(vm, state): &(Uuid, MachineState)| MachineFacts {
        vm_uuid: vm.to_string(),
        state: (*state).into(),
        at_work: false,
    };
    machines.iter().map(one).collect()
}
