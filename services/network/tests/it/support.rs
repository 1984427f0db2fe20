//! The service in a mesh of its own.
//!
//! The database is a SQLite file; with `GYRE_TEST_POSTGRES` (the URL of a database whose user may make others) it is a new
//! PostgreSQL database for each test.

use gyre_flow::process::Service as _;
use gyre_mesh::{Mesh, MeshChannel};
use gyre_model::{Caller, Error, Uuid};
use gyre_network::{Config, Service};
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{Operation, OperationState, WaitOperationRequest};
use gyre_proto::host::v1::{Cluster, Zone};
use gyre_proto::identity::v1::{Account, AccountState, AccountType};
use gyre_proto::network::v1::address_service_client::AddressServiceClient;
use gyre_proto::network::v1::ip_range_service_client::IpRangeServiceClient;
use gyre_proto::network::v1::l2_network_service_client::L2NetworkServiceClient;
use gyre_proto::network::v1::l3_network_service_client::L3NetworkServiceClient;
use gyre_proto::network::v1::{
    AllocateAddressRequest, AllocateAddressResponse, CreateIpRangeRequest, CreateL2NetworkRequest,
    CreateL3NetworkRequest, GetIpRangeRequest, IpRange, L2Network, L2NetworkType, L3Network, ReleaseAddressRequest,
};
use gyre_query::Change;
use gyre_store::{Sql, Store};
use tempfile::TempDir;

pub struct Env {
    pub store: Store,
    pub mesh: Mesh,
    pub admin: Caller,
    pub user: Caller,
    pub cluster: String,
    _folder: TempDir,
}

pub fn uuid() -> String {
    Uuid::new_v4().to_string()
}

impl Env {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = gyre_store::testing::store(folder.path()).await.unwrap();
        let mesh = Mesh::local();
        let service = Service::start(mesh.clone(), store.clone(), Config::default()).await.unwrap();
        mesh.host("network", service.routes()).await.unwrap();
        let account = |name: &str, admin: bool| {
            let ty = if admin { AccountType::Admin } else { AccountType::Normal };
            let mut account = Account { uuid: uuid(), name: name.into(), r#type: ty.into(), ..Account::default() };
            account.set_state(AccountState::Enabled);
            let caller = Caller::of(account.uuid.parse().unwrap(), admin);
            (account, caller)
        };
        let ((root, admin), (alice, user)) = (account("root", true), account("alice", false));
        let zone = Zone { uuid: uuid(), name: "zone".into(), ..Zone::default() };
        let cluster = |name: &str| Cluster {
            uuid: uuid(),
            name: name.into(),
            zone_uuid: zone.uuid.clone(),
            ..Cluster::default()
        };
        let cluster = cluster("cluster");
        let made = cluster.uuid.clone();
        let rows = store.write("fixture", move |conn| {
            let change = Change::by(Caller::system());
            gyre_query::insert(conn, &change, &root)?;
            gyre_query::insert(conn, &change, &alice)?;
            gyre_query::insert(conn, &change, &zone)?;
            gyre_query::insert(conn, &change, &cluster)
        });
        rows.await.unwrap();
        Self { store, mesh, admin, user, cluster: made, _folder: folder }
    }

    fn channel(&self, caller: Caller) -> MeshChannel {
        self.mesh.channel("network").on_behalf_of(caller)
    }

    pub fn l2(&self, caller: Caller) -> L2NetworkServiceClient<MeshChannel> {
        L2NetworkServiceClient::new(self.channel(caller))
    }

    pub fn l3(&self, caller: Caller) -> L3NetworkServiceClient<MeshChannel> {
        L3NetworkServiceClient::new(self.channel(caller))
    }

    pub fn ranges(&self, caller: Caller) -> IpRangeServiceClient<MeshChannel> {
        IpRangeServiceClient::new(self.channel(caller))
    }

    pub fn addresses(&self, caller: Caller) -> AddressServiceClient<MeshChannel> {
        AddressServiceClient::new(self.channel(caller))
    }

    pub async fn make_l2(&self, bridge: &str) -> Result<L2Network, Error> {
        let network = L2Network {
            name: format!("l2 {bridge}"),
            r#type: L2NetworkType::Bridge.into(),
            cluster_uuid: self.cluster.clone(),
            bridge: bridge.into(),
            ..L2Network::default()
        };
        let request = CreateL2NetworkRequest { l2_network: Some(network), request_id: String::new() };
        Ok(self.l2(self.admin).create_l2_network(request).await?.into_inner())
    }

    pub async fn make_l3(&self, l2: &str, shared: bool) -> Result<L3Network, Error> {
        let network = L3Network {
            name: "l3".into(),
            l2_network_uuid: l2.into(),
            dns: vec!["10.0.0.53".into(), "1.1.1.1".into()],
            shared,
            ..L3Network::default()
        };
        let request = CreateL3NetworkRequest { l3_network: Some(network), request_id: String::new() };
        Ok(self.l3(self.admin).create_l3_network(request).await?.into_inner())
    }

    pub async fn make_range(&self, l3: &str, start: &str, end: &str, gateway: &str) -> Result<IpRange, Error> {
        self.make(range(l3, start, end, gateway, 24)).await
    }

    pub async fn make(&self, range: IpRange) -> Result<IpRange, Error> {
        let request = CreateIpRangeRequest { ip_range: Some(range), request_id: String::new() };
        Ok(self.ranges(self.admin).create_ip_range(request).await?.into_inner())
    }

    pub async fn range(&self, uuid: &str) -> IpRange {
        let request = GetIpRangeRequest { uuid: uuid.into() };
        self.ranges(self.admin).get_ip_range(request).await.unwrap().into_inner()
    }

    /// Waits until an operation has ended well.
    pub async fn done(&self, operation: Result<tonic::Response<Operation>, tonic::Status>) -> Operation {
        let operation = self.end(operation).await;
        assert_eq!(operation.state(), OperationState::Succeeded, "{:?}", operation.error);
        operation
    }

    /// Waits until an operation has ended.
    pub async fn end(&self, operation: Result<tonic::Response<Operation>, tonic::Status>) -> Operation {
        let uuid = operation.unwrap().into_inner().uuid;
        let channel = self.mesh.channel("network").on_behalf_of(Caller::system());
        let request = WaitOperationRequest { uuid, timeout: None };
        OperationServiceClient::new(channel).wait_operation(request).await.unwrap().into_inner()
    }

    /// A shared network with one range.
    pub async fn network(&self, start: &str, end: &str) -> (L3Network, IpRange) {
        let l2 = self.make_l2("br0").await.unwrap();
        let l3 = self.make_l3(&l2.uuid, true).await.unwrap();
        let range = self.make(range(&l3.uuid, start, end, "10.0.0.1", 16)).await.unwrap();
        (l3, range)
    }

    pub async fn take(&self, l3: &str, nic: &str, address: &str) -> Result<AllocateAddressResponse, Error> {
        self.take_for(self.user, l3, nic, address).await
    }

    pub async fn take_for(
        &self,
        caller: Caller,
        l3: &str,
        nic: &str,
        address: &str,
    ) -> Result<AllocateAddressResponse, Error> {
        let request = AllocateAddressRequest {
            l3_network_uuid: l3.into(),
            nic_uuid: nic.into(),
            vm_uuid: VM.into(),
            address: address.into(),
        };
        Ok(self.addresses(caller).allocate_address(request).await?.into_inner())
    }

    pub async fn give_back(&self, l3: &str, nic: &str) {
        let request = ReleaseAddressRequest { l3_network_uuid: l3.into(), nic_uuid: nic.into() };
        self.addresses(self.user).release_address(request).await.unwrap();
    }

    /// The rows of addresses in use, and what the counters of ranges say; the two must be the same.
    pub async fn used(&self) -> i64 {
        let read = self.store.read("used", |conn| {
            let rows = conn.query(Sql::new("SELECT COUNT(*) FROM ip_address"))?[0].int(0)?;
            let counters = conn.query(Sql::new("SELECT used_count FROM ip_range"))?;
            let counters = counters.iter().map(|row| row.int(0)).sum::<gyre_model::Result<i64>>()?;
            Ok((rows, counters))
        });
        let (rows, counters) = read.await.unwrap();
        assert_eq!(rows, counters, "rows and counters");
        rows
    }

    /// A number that a statement answers.
    pub async fn number(&self, sql: &'static str) -> i64 {
        self.store.read("number", move |conn| conn.query(Sql::new(sql))?[0].int(0)).await.unwrap()
    }
}

/// The machine that all interfaces of a test belong to.
pub const VM: &str = "3f2b9c1e-7a54-4d0c-8b63-1f2e3d4c5b6a";

pub fn range(l3: &str, start: &str, end: &str, gateway: &str, prefix_length: i32) -> IpRange {
    IpRange {
        name: "range".into(),
        l3_network_uuid: l3.into(),
        start_address: start.into(),
        end_address: end.into(),
        gateway: gateway.into(),
        prefix_length,
        ..IpRange::default()
    }
}

pub fn reason<T: std::fmt::Debug>(result: Result<tonic::Response<T>, tonic::Status>) -> String {
    Error::from(result.unwrap_err()).reason().to_owned()
}
