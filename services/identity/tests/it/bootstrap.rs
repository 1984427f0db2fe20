//! The first administrator and its file.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use gyre_flow::process::Service as _;
use gyre_identity::{Config, Service};
use gyre_mesh::Mesh;
use gyre_model::{Caller, Error};
use gyre_proto::identity::v1::session_service_client::SessionServiceClient;
use gyre_proto::identity::v1::{Account, AccountType, CreateSessionRequest};
use gyre_store::{Sql, Store};
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::{cheap, database};

const ENDPOINT: &str = "http://127.0.0.1:7070";

/// An instance on a database that others may share.
struct Instance {
    service: Service,
    mesh: Mesh,
    store: Store,
}

impl Instance {
    async fn on(store: &Store, config: Config) -> Self {
        let mesh = Mesh::local();
        let service = Service::start(mesh.clone(), store.clone(), config).await.unwrap();
        mesh.host("identity", service.routes()).await.unwrap();
        Self { service, mesh, store: store.clone() }
    }

    async fn signs_in(&self, file: &Path) -> bool {
        let json = read(file);
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        let request = CreateSessionRequest { account: text("account"), password: text("password") };
        SessionServiceClient::new(self.mesh.channel("identity")).create_session(request).await.is_ok()
    }

    async fn accounts(&self) -> Vec<Account> {
        let read = self.store.read("accounts", |conn| gyre_query::select(conn, Sql::new("1 = 1")));
        read.await.unwrap()
    }
}

async fn instance() -> (TempDir, Instance, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = database(&folder).await;
    let file = folder.path().join("data/sign-in.json");
    (folder, Instance::on(&store, cheap()).await, file)
}

fn read(file: &Path) -> Json {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[tokio::test]
async fn the_first_start_makes_an_administrator_and_later_ones_nothing() {
    let (_folder, instance, file) = instance().await;
    assert!(instance.service.bootstrap(ENDPOINT, &file).await.unwrap());
    let facts = std::fs::metadata(&file).unwrap();
    assert_eq!((facts.mode() & 0o7777, facts.nlink()), (0o600, 1));
    assert_eq!(std::fs::metadata(file.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing beside it");
    let json = read(&file);
    let mut names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["account", "endpoint", "password"]);
    assert_eq!((json["endpoint"].as_str(), json["account"].as_str()), (Some(ENDPOINT), Some("admin")));
    assert_eq!(json["password"].as_str().unwrap().len(), 24);
    assert!(instance.signs_in(&file).await);
    let accounts = instance.accounts().await;
    assert_eq!((accounts.len(), accounts[0].r#type()), (1, AccountType::Admin));

    assert!(!instance.service.bootstrap(ENDPOINT, &file).await.unwrap());
    assert_eq!(read(&file), json);
    assert!(!gyre_identity::bootstrap(&instance.store, "http://127.0.0.1:9090", &file).await.unwrap());
    assert_eq!(read(&file)["endpoint"].as_str(), Some("http://127.0.0.1:9090"));
    assert!(instance.signs_in(&file).await);
    assert_eq!(instance.accounts().await, accounts);
}

#[tokio::test]
async fn a_start_that_died_before_its_account_is_taken_up_again() {
    let (_folder, instance, file) = instance().await;
    // what a start leaves that dies between the file and the account
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let left = r#"{"endpoint":"http://127.0.0.1:1","account":"admin","password":"left by a start that died"}"#;
    std::fs::write(&file, left).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(instance.service.bootstrap(ENDPOINT, &file).await.unwrap());
    let json = read(&file);
    assert_eq!(json["password"].as_str(), Some("left by a start that died"));
    assert_eq!(json["endpoint"].as_str(), Some(ENDPOINT));
    assert!(instance.signs_in(&file).await);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_leaves_no_account() {
    let (_folder, instance, file) = instance().await;
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    for (text, mode) in [
        (r#"{"endpoint":"e","account":"admin","password":"seen by everybody"}"#, 0o644),
        (r#"{"endpoint":"e","account":"alice","password":"somebody else's"}"#, 0o600),
        ("not what Gyre wrote", 0o600),
    ] {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = instance.service.bootstrap(ENDPOINT, &file).await.unwrap_err();
        assert_eq!(error.reason(), "SIGN_IN_FILE", "{text}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        assert!(instance.accounts().await.is_empty());
    }
    let error = instance.service.bootstrap(ENDPOINT, Path::new("/proc/no/such/folder/file")).await.unwrap_err();
    assert_eq!(error.reason(), "SIGN_IN_FILE");
    assert!(instance.accounts().await.is_empty());
}

#[tokio::test]
async fn instances_that_share_a_file_make_one_administrator() {
    let (_folder, one, file) = instance().await;
    let mut starts = Vec::new();
    for _ in 0..6 {
        let (instance, file) = (Instance::on(&one.store, cheap()).await, file.clone());
        starts.push(tokio::spawn(async move { instance.service.bootstrap(ENDPOINT, &file).await.unwrap() }));
    }
    let mut made = 0;
    for start in starts {
        made += usize::from(start.await.unwrap());
    }
    assert_eq!((made, one.accounts().await.len()), (1, 1));
    assert!(one.signs_in(&file).await);
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing beside it");
}

#[tokio::test]
async fn instances_with_files_of_their_own_make_one_administrator_and_keep_one_file() {
    let (folder, one, _) = instance().await;
    let files: Vec<_> = (0..6).map(|at| folder.path().join(format!("node-{at}/sign-in.json"))).collect();
    let mut starts = Vec::new();
    for file in files.clone() {
        let instance = Instance::on(&one.store, cheap()).await;
        starts.push(tokio::spawn(async move { instance.service.bootstrap(ENDPOINT, &file).await.unwrap() }));
    }
    let mut made = Vec::new();
    for start in starts {
        made.push(start.await.unwrap());
    }
    assert_eq!((made.iter().filter(|made| **made).count(), one.accounts().await.len()), (1, 1));
    for (file, made) in files.iter().zip(made) {
        assert_eq!(file.exists(), made, "{}", file.display());
        assert!(!made || one.signs_in(file).await);
    }
}

#[tokio::test]
async fn an_operator_may_choose_the_password() {
    let (folder, one, file) = instance().await;
    let short = Config { admin_password: Some("short".into()), ..cheap() };
    let refused = Instance::on(&one.store, short).await.service.bootstrap(ENDPOINT, &file).await;
    assert_eq!(refused.map_err(|error: Error| error.reason().to_owned()), Err("ADMIN_PASSWORD_TOO_SHORT".to_owned()));
    assert!(!file.exists());
    let chosen = Config { admin_password: Some("chosen by the operator".into()), ..cheap() };
    let instance = Instance::on(&one.store, chosen).await;
    assert!(instance.service.bootstrap(ENDPOINT, &file).await.unwrap());
    assert_eq!(read(&file)["password"].as_str(), Some("chosen by the operator"));
    assert!(instance.signs_in(&file).await);
    drop(folder);
}

#[tokio::test]
async fn where_accounts_are_nothing_is_made() {
    let (_folder, instance, file) = instance().await;
    let account = crate::support::account("root", AccountType::Admin);
    let request = gyre_proto::identity::v1::CreateAccountRequest { account: Some(account), ..Default::default() };
    let channel = instance.mesh.channel("identity").on_behalf_of(Caller::system());
    let mut accounts = gyre_proto::identity::v1::account_service_client::AccountServiceClient::new(channel);
    accounts.create_account(request).await.unwrap();
    assert!(!instance.service.bootstrap(ENDPOINT, &file).await.unwrap());
    assert!(!file.exists());
    assert_eq!(instance.accounts().await.len(), 1);
}
