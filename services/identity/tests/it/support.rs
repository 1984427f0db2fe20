//! The service in a mesh of its own.
//!
//! The database is a SQLite file; with `GYRE_TEST_POSTGRES` (the URL of a database whose user may make others) it is a new
//! PostgreSQL database for each test.

use std::path::PathBuf;

use gyre_flow::process::Service as _;
use gyre_identity::{Config, PasswordCost, Service};
use gyre_mesh::{Mesh, MeshChannel};
use gyre_model::{Caller, Error};
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{Operation, OperationState, WaitOperationRequest};
use gyre_proto::identity::v1::account_service_client::AccountServiceClient;
use gyre_proto::identity::v1::api_key_service_client::ApiKeyServiceClient;
use gyre_proto::identity::v1::authentication_service_client::AuthenticationServiceClient;
use gyre_proto::identity::v1::session_service_client::SessionServiceClient;
use gyre_proto::identity::v1::{
    Account, AccountType, ApiKey, CreateAccountRequest, CreateApiKeyRequest, CreateSessionRequest,
    CreateSessionResponse,
};
use gyre_store::{Sql, Store};
use tempfile::TempDir;

/// A password that is nowhere else.
pub const PASSWORD: &str = "Trubador-and-3-onions";

pub struct Env {
    pub folder: TempDir,
    pub store: Store,
    pub mesh: Mesh,
    pub service: Service,
    /// An administrator.
    pub admin: Caller,
}

/// What hashing costs in tests that do not look at it.
pub fn cheap() -> Config {
    Config { password_cost: PasswordCost { memory_kib: 64, passes: 1 }, ..Config::default() }
}

pub async fn database(folder: &TempDir) -> Store {
    gyre_store::testing::store(folder.path()).await.unwrap()
}

impl Env {
    pub async fn new() -> Self {
        Self::with(cheap()).await
    }

    pub async fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = database(&folder).await;
        let mesh = Mesh::local();
        let service = Service::start(mesh.clone(), store.clone(), config).await.unwrap();
        mesh.host("identity", service.routes()).await.unwrap();
        let mut env = Self { folder, store, mesh, service, admin: Caller::system() };
        let root = env.account("root", AccountType::Admin).await;
        env.admin = caller(&root, true);
        env
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn channel(&self, caller: Caller) -> MeshChannel {
        self.mesh.channel("identity").on_behalf_of(caller)
    }

    pub fn accounts(&self, caller: Caller) -> AccountServiceClient<MeshChannel> {
        AccountServiceClient::new(self.channel(caller))
    }

    pub fn keys(&self, caller: Caller) -> ApiKeyServiceClient<MeshChannel> {
        ApiKeyServiceClient::new(self.channel(caller))
    }

    pub fn sessions(&self) -> SessionServiceClient<MeshChannel> {
        SessionServiceClient::new(self.mesh.channel("identity"))
    }

    pub fn authentication(&self) -> AuthenticationServiceClient<MeshChannel> {
        AuthenticationServiceClient::new(self.channel(Caller::system()))
    }

    pub async fn create(&self, account: Account) -> Result<Account, Error> {
        let request = CreateAccountRequest { account: Some(account), request_id: String::new() };
        Ok(self.accounts(self.admin).create_account(request).await?.into_inner())
    }

    pub async fn account(&self, name: &str, ty: AccountType) -> Account {
        self.create(account(name, ty)).await.unwrap()
    }

    /// A user that is signed in, and the account.
    pub async fn user(&self, name: &str) -> (Caller, Account) {
        let account = self.account(name, AccountType::Normal).await;
        (caller(&account, false), account)
    }

    pub async fn sign_in(&self, account: &str, password: &str) -> Result<CreateSessionResponse, Error> {
        let request = CreateSessionRequest { account: account.into(), password: password.into() };
        Ok(self.sessions().create_session(request).await?.into_inner())
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
        let channel = self.mesh.channel("identity").on_behalf_of(Caller::system());
        let request = WaitOperationRequest { uuid, timeout: None };
        OperationServiceClient::new(channel).wait_operation(request).await.unwrap().into_inner()
    }

    pub async fn key(&self, caller: Caller, key: ApiKey, request_id: &str) -> Result<ApiKey, Error> {
        let request = CreateApiKeyRequest { api_key: Some(key), request_id: request_id.into() };
        Ok(self.keys(caller).create_api_key(request).await?.into_inner())
    }

    /// A number that a statement answers.
    pub async fn number(&self, sql: &'static str) -> i64 {
        self.store.read("number", move |conn| conn.query(Sql::new(sql))?[0].int(0)).await.unwrap()
    }
}

pub fn account(name: &str, ty: AccountType) -> Account {
    Account { name: name.into(), r#type: ty.into(), password: PASSWORD.into(), ..Account::default() }
}

pub fn caller(account: &Account, admin: bool) -> Caller {
    Caller::of(account.uuid.parse().unwrap(), admin)
}

pub fn reason<T: std::fmt::Debug>(result: Result<tonic::Response<T>, tonic::Status>) -> String {
    Error::from(result.unwrap_err()).reason().to_owned()
}
