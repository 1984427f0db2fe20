//! A storage service with everything around it, and shorthands for what tests do all the time.
//!
//! The database is a SQLite file; with `GYRE_TEST_POSTGRES` (the URL of a database whose user may make others) it is a new
//! PostgreSQL database for each test.

use std::time::Duration;

use gyre_flow::process::Service as _;
use gyre_mesh::{Mesh, MeshChannel};
use gyre_model::{Caller, Error, Uuid};
use gyre_proto::Resource;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{Operation, OperationState, WaitOperationRequest};
use gyre_proto::host::v1::host_task_service_server::HostTaskServiceServer;
use gyre_proto::host::v1::{Cluster, Host, HostState, HostStatus, Zone};
use gyre_proto::identity::v1::{Account, AccountState, AccountType};
use gyre_proto::storage::v1::image_server_service_client::ImageServerServiceClient;
use gyre_proto::storage::v1::image_service_client::ImageServiceClient;
use gyre_proto::storage::v1::primary_storage_service_client::PrimaryStorageServiceClient;
use gyre_proto::storage::v1::volume_service_client::VolumeServiceClient;
use gyre_proto::storage::v1::{
    CreateImageRequest, CreateImageServerRequest, CreatePrimaryStorageRequest, CreateRootVolumeRequest,
    CreateVolumeRequest, DestroyVolumeRequest, Image, ImageFormat, ImageServer, PrimaryStorage, PrimaryStorageType,
    Volume,
};
use gyre_query::Change;
use gyre_storage::{Config, NAME, Service};
use gyre_store::{Conn, Sql, Store};
use tonic::service::Routes;
use tonic::{Response, Status};

use crate::fake_host::FakeHost;

pub const MIB: i64 = 1 << 20;
pub const GIB: i64 = 1 << 30;

pub struct World {
    pub mesh: Mesh,
    pub store: Store,
    pub host: FakeHost,
    pub service: Service,
    pub admin: Caller,
    pub user: Caller,
    pub other: Caller,
    pub zone: Uuid,
    pub cluster: Uuid,
    _folder: tempfile::TempDir,
}

/// What an operation or a refused call says.
pub fn reason(status: Status) -> String {
    Error::from(status).reason().to_owned()
}

impl World {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let store = gyre_store::testing::store(folder.path()).await.expect("a database");
        let (mesh, host) = (Mesh::local(), FakeHost::default());
        mesh.host("host", Routes::new(HostTaskServiceServer::new(host.clone()))).await.expect("host");
        let service = Service::start(mesh.clone(), store.clone(), config).await.expect("service");
        mesh.host(NAME, service.routes()).await.expect("storage");

        let account = |admin| Caller::of(Uuid::new_v4(), admin);
        let (admin, user, other) = (account(true), account(false), account(false));
        let (zone, cluster) = (Uuid::new_v4(), Uuid::new_v4());
        let world = Self { mesh, store, host, service, admin, user, other, zone, cluster, _folder: folder };
        for (name, caller) in [("admin", admin), ("user", user), ("other", other)] {
            let mut row = Account { uuid: caller.account_uuid.to_string(), name: name.into(), ..Account::default() };
            row.set_state(AccountState::Enabled);
            row.set_type(if caller.admin { AccountType::Admin } else { AccountType::Normal });
            world.insert(row).await;
        }
        world.insert(Zone { uuid: zone.to_string(), name: "zone".into(), ..Zone::default() }).await;
        world.add_cluster(cluster).await;
        world
    }

    pub async fn insert<R: Resource + 'static>(&self, row: R) {
        let write = move |conn: &mut _| gyre_query::insert(conn, &Change::by(Caller::system()), &row);
        self.store.write("given", write).await.expect("row");
    }

    pub async fn add_cluster(&self, uuid: Uuid) {
        let cluster = Cluster {
            uuid: uuid.to_string(),
            name: "cluster".into(),
            zone_uuid: self.zone.to_string(),
            ..Cluster::default()
        };
        self.insert(cluster).await;
    }

    /// A connected host of the cluster.
    pub async fn add_host(&self, name: &str) -> Uuid {
        self.add_host_to(name, self.cluster, HostStatus::Connected).await
    }

    pub async fn add_host_to(&self, name: &str, cluster: Uuid, status: HostStatus) -> Uuid {
        let uuid = Uuid::new_v4();
        let mut host = Host {
            uuid: uuid.to_string(),
            name: name.into(),
            cluster_uuid: cluster.to_string(),
            zone_uuid: self.zone.to_string(),
            address: format!("{name}:7000"),
            ..Host::default()
        };
        host.set_state(HostState::Enabled);
        host.set_status(status);
        self.insert(host).await;
        uuid
    }

    /// Says in the database and on the host whether a host is connected.
    pub async fn set_connected(&self, host: Uuid, connected: bool) {
        self.set_status(host, connected).await;
        self.host.set_away(host, !connected);
    }

    pub async fn set_status(&self, host: Uuid, connected: bool) {
        let status = if connected { "CONNECTED" } else { "DISCONNECTED" };
        let sql = Sql::new("UPDATE host SET status = ").bind(status).sql(" WHERE uuid = ").bind(host);
        self.execute(sql).await;
    }

    pub async fn execute(&self, sql: Sql) {
        self.store.write("given", move |conn| Ok(conn.execute(sql)?)).await.expect("statement");
    }

    pub fn storages(&self) -> PrimaryStorageServiceClient<MeshChannel> {
        PrimaryStorageServiceClient::new(self.mesh.channel(NAME))
    }

    pub fn servers(&self) -> ImageServerServiceClient<MeshChannel> {
        ImageServerServiceClient::new(self.mesh.channel(NAME))
    }

    pub fn images(&self) -> ImageServiceClient<MeshChannel> {
        ImageServiceClient::new(self.mesh.channel(NAME))
    }

    pub fn volumes(&self) -> VolumeServiceClient<MeshChannel> {
        VolumeServiceClient::new(self.mesh.channel(NAME))
    }

    /// A row as it is, if it is there.
    pub async fn find<R: Resource + 'static>(&self, uuid: Uuid) -> Option<R> {
        let read = move |conn: &mut _| gyre_query::find(conn, &Caller::system(), uuid);
        self.store.read("look", read).await.expect("read")
    }

    pub async fn count(&self, text: &'static str) -> i64 {
        // a sum is a numeric in PostgreSQL
        let text = format!("SELECT CAST(({text}) AS BIGINT)");
        let read =
            move |conn: &mut Conn| conn.query_one(Sql::new(text))?.ok_or_else(|| Error::internal("no row"))?.int(0);
        self.store.read("count", read).await.expect("count")
    }

    /// Waits until a count is what it should be.
    pub async fn wait_for(&self, what: &str, text: &'static str, wanted: i64) {
        let begun = std::time::Instant::now();
        loop {
            let found = self.count(text).await;
            if found == wanted {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {found} instead of {wanted}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for an operation's end.
    pub async fn end(&self, answer: Result<Response<Operation>, Status>) -> Operation {
        let operation = answer.expect("an operation").into_inner();
        let timeout = Some(gyre_proto::Duration { seconds: 25, nanos: 0 });
        let request = WaitOperationRequest { uuid: operation.uuid, timeout };
        let mut client = OperationServiceClient::new(self.mesh.channel(NAME));
        client.wait_operation(Caller::system().request(request)).await.expect("wait").into_inner()
    }

    /// Waits for an operation that must succeed. Answers its resource.
    pub async fn done(&self, answer: Result<Response<Operation>, Status>) -> Uuid {
        let operation = self.end(answer).await;
        assert_eq!(operation.state(), OperationState::Succeeded, "{:?}", operation.error);
        gyre_model::parse_uuid(&operation.resource_uuid).expect("a resource")
    }

    /// Waits for an operation that must fail. Answers why.
    pub async fn failed(&self, answer: Result<Response<Operation>, Status>) -> Error {
        let operation = self.end(answer).await;
        assert_eq!(operation.state(), OperationState::Failed, "{operation:?}");
        operation.error.expect("an error").into()
    }

    pub fn storage(&self, path: &str) -> PrimaryStorage {
        let mut storage = PrimaryStorage {
            name: "local".into(),
            cluster_uuid: self.cluster.to_string(),
            path: path.into(),
            ..PrimaryStorage::default()
        };
        storage.set_type(PrimaryStorageType::Local);
        storage
    }

    pub async fn create_storage(&self, storage: PrimaryStorage) -> Result<Response<Operation>, Status> {
        let request = CreatePrimaryStorageRequest { primary_storage: Some(storage), request_id: String::new() };
        self.storages().create_primary_storage(self.admin.request(request)).await
    }

    pub async fn create_server(&self, host: Uuid, path: &str) -> Result<Response<Operation>, Status> {
        let server = ImageServer {
            name: "images".into(),
            host_uuid: host.to_string(),
            path: path.into(),
            ..ImageServer::default()
        };
        let request = CreateImageServerRequest { image_server: Some(server), request_id: String::new() };
        self.servers().create_image_server(self.admin.request(request)).await
    }

    pub fn image(&self, url: &str) -> Image {
        let mut image = Image { name: "image".into(), url: url.into(), ..Image::default() };
        image.set_format(ImageFormat::Qcow2);
        image
    }

    pub async fn create_image(&self, caller: Caller, image: Image) -> Result<Response<Operation>, Status> {
        let request = CreateImageRequest { image: Some(image), request_id: String::new() };
        self.images().create_image(caller.request(request)).await
    }

    pub async fn create_volume(&self, host: Uuid, size_bytes: i64) -> Result<Response<Operation>, Status> {
        let volume = Volume { name: "data".into(), host_uuid: host.to_string(), size_bytes, ..Volume::default() };
        let request = CreateVolumeRequest { volume: Some(volume), request_id: String::new() };
        self.volumes().create_volume(self.user.request(request)).await
    }

    pub fn root(&self, host: Uuid, image: Uuid, size_bytes: i64) -> CreateRootVolumeRequest {
        CreateRootVolumeRequest {
            volume_uuid: Uuid::new_v4().to_string(),
            name: "root of a machine".into(),
            vm_uuid: Uuid::new_v4().to_string(),
            host_uuid: host.to_string(),
            cluster_uuid: self.cluster.to_string(),
            image_uuid: image.to_string(),
            size_bytes,
            request_id: String::new(),
        }
    }

    pub async fn create_root(&self, request: CreateRootVolumeRequest) -> Result<Response<Operation>, Status> {
        self.volumes().create_root_volume(self.user.request(request)).await
    }

    pub async fn destroy(&self, volume: Uuid) -> Result<Response<Operation>, Status> {
        let request = DestroyVolumeRequest { volume_uuid: volume.to_string(), ..DestroyVolumeRequest::default() };
        self.volumes().destroy_volume(self.user.request(request)).await
    }

    /// A host with primary storage, an image server and an image of the user's.
    pub async fn furnished(&self) -> (Uuid, Uuid, Uuid) {
        let host = self.add_host("host-1").await;
        let storage = self.done(self.create_storage(self.storage("/storage")).await).await;
        self.done(self.create_server(host, "/images").await).await;
        let image = self.done(self.create_image(self.user, self.image("https://example.org/a.qcow2")).await).await;
        (host, storage, image)
    }

    /// The counters against the volumes: what is promised is what lies there, on each host and in the sum.
    pub async fn check_room(&self) {
        let sums = [
            (
                "room on a host that is not what its volumes have",
                "SELECT COUNT(*) FROM primary_storage_host room WHERE used_bytes <> (SELECT COALESCE(SUM(size_bytes), 0) \
                 FROM volume WHERE volume.primary_storage_uuid = room.primary_storage_uuid \
                 AND volume.host_uuid = room.host_uuid)",
            ),
            (
                "storage whose sums are not those of its hosts",
                "SELECT COUNT(*) FROM primary_storage WHERE used_bytes <> (SELECT COALESCE(SUM(room.used_bytes), 0) FROM \
                 primary_storage_host room WHERE room.primary_storage_uuid = primary_storage.uuid) OR total_bytes <> \
                 (SELECT COALESCE(SUM(room.total_bytes), 0) FROM primary_storage_host room \
                 WHERE room.primary_storage_uuid = primary_storage.uuid)",
            ),
        ];
        for (what, text) in sums {
            assert_eq!(self.count(text).await, 0, "{what}");
        }
    }
}
