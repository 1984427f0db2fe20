//! From the call to the receiver, through the database.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gyre_mesh::egress::Allow;
use gyre_mesh::{Mesh, context};
use gyre_model::{Caller, Error, Result, Uuid};
use gyre_proto::common::v1::callback_service_client::CallbackServiceClient;
use gyre_proto::common::v1::callback_service_server::CallbackServiceServer;
use gyre_proto::common::v1::{
    CallbackKey, CallbackState, GetCallbackKeyRequest, Operation, OperationEvent, OperationEventKind, OperationState,
    RotateCallbackKeyRequest,
};
use gyre_proto::host::v1::GetZoneRequest;
use gyre_store::{Sql, Store, StoreConfig, Value};
use ring::hmac;
use tempfile::TempDir;
use tonic::service::Routes;

use super::receiver::{Letter, Receiver};
use crate::callback::CallbackApi;
use crate::{Context, Flow, Steps, Submit, record, tidy};

const WORK: &str = "
name: work
resource: zone
steps:
  - step: work
    no_undo: nothing is changed
";

async fn work(_: Arc<()>, _: Context) -> Result<()> {
    Ok(())
}

struct Site {
    flow: Flow,
    mesh: Mesh,
    store: Store,
    caller: Caller,
}

/// A database with an account in it.
async fn database() -> (TempDir, Store, Uuid) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreConfig::new(gyre_store::testing::url(folder.path()).await.unwrap())).unwrap();
    store.migrate().await.unwrap();
    let account = Uuid::new_v4();
    let sql = Sql::new(
        "INSERT INTO account (uuid, name, description, create_time, update_time, generation, state, type) VALUES (",
    )
    .bind_all([
        Value::from(account),
        Value::from("a"),
        Value::from(""),
        Value::time(0),
        Value::time(0),
        Value::Int(1),
        Value::from("ENABLED"),
        Value::from("NORMAL"),
    ])
    .sql(")");
    store.write("account", move |conn| Ok(conn.execute(sql)?)).await.unwrap();
    (folder, store, account)
}

impl Site {
    /// An instance that does not send yet.
    async fn on(store: &Store, account: Uuid) -> Self {
        let mesh = Mesh::local();
        mesh.allow_callbacks(Allow::new(["127.0.0.0/8".parse().unwrap()]));
        let flow = Flow::new("host", mesh.clone(), store.clone());
        flow.register(Steps::new().without_undo("work", &Arc::new(()), work), &[WORK]).unwrap();
        mesh.host("host", Routes::new(CallbackServiceServer::new(CallbackApi { flow: flow.clone() }))).await.unwrap();
        Self { flow, mesh, store: store.clone(), caller: Caller::of(account, false) }
    }

    async fn submit(&self, request_id: &str, url: Option<&str>) -> Result<Operation> {
        let resource = Uuid::new_v4();
        let input = GetZoneRequest::default();
        let submit = Submit { caller: self.caller, workflow: "work", resource, request_id, input: &input };
        context::with_callback(url.map(Arc::from), self.flow.submit(submit, |_, _| Ok(()))).await
    }

    async fn now(&self, uuid: &str) -> Operation {
        let uuid = gyre_model::parse_uuid(uuid).unwrap();
        let read = move |conn: &mut gyre_store::Conn| gyre_query::get(conn, &Caller::system(), uuid);
        self.store.read("operation", read).await.unwrap()
    }

    async fn until(&self, uuid: &str, what: &str, is: impl Fn(&Operation) -> bool) -> Operation {
        for _ in 0..1000 {
            let operation = self.now(uuid).await;
            if is(&operation) {
                return operation;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not {what}: {:?}", self.now(uuid).await);
    }

    /// Makes what waits for its next try due.
    async fn hurry(&self) {
        let sql = Sql::new("UPDATE operation SET callback_time = ").bind(Value::time(0));
        self.store.write("hurry", move |conn| Ok(conn.execute(sql)?)).await.unwrap();
    }

    fn keys(&self) -> CallbackServiceClient<gyre_mesh::MeshChannel> {
        CallbackServiceClient::new(self.mesh.channel("host"))
    }

    async fn key(&self) -> CallbackKey {
        let request = self.caller.request(GetCallbackKeyRequest {});
        self.keys().get_callback_key(request).await.unwrap().into_inner()
    }

    async fn rotate(&self, request_id: &str) -> CallbackKey {
        let request = RotateCallbackKeyRequest { request_id: request_id.to_owned() };
        self.keys().rotate_callback_key(self.caller.request(request)).await.unwrap().into_inner()
    }
}

/// Checks a letter as its receiver does. Answers how many of its signatures a key made.
fn verify(letter: &Letter, secret: &str) -> usize {
    let secret = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let signed = format!("{}.{}.", letter.header("webhook-id"), letter.header("webhook-timestamp"));
    let signed = [signed.as_bytes(), &letter.body].concat();
    let good = |signature: &&str| {
        let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&key, &signed, &tag).is_ok()
    };
    letter.header("webhook-signature").split(' ').filter(good).count()
}

fn delivered(operation: &Operation) -> bool {
    operation.callback_state() == CallbackState::Delivered
}

#[tokio::test]
async fn the_finished_operation_is_posted_once_and_signed() {
    let (_folder, store, account) = database().await;
    let site = Site::on(&store, account).await;
    site.flow.start();
    let receiver = Receiver::new(&["200 OK"]).await;
    let operation = site.submit("", Some(&receiver.url())).await.unwrap();
    assert_eq!(
        (operation.callback_url.as_str(), operation.callback_state()),
        (receiver.url().as_str(), CallbackState::Pending)
    );
    let letter = receiver.wait(1).await.remove(0);
    assert_eq!(letter.header("webhook-id"), operation.uuid);
    assert_eq!(verify(&letter, &site.key().await.secret), 1);
    let posted: serde_json::Value = serde_json::from_slice(&letter.body).unwrap();
    assert_eq!(
        (posted["uuid"].as_str(), posted["state"].as_str()),
        (Some(operation.uuid.as_str()), Some("OPERATION_STATE_SUCCEEDED"))
    );
    let ended = site.until(&operation.uuid, "delivered", delivered).await;
    assert_eq!((ended.callback_attempts, ended.callback_error.as_str()), (1, ""));
    assert!(ended.generation > operation.generation && ended.callback_time.is_some());
    site.hurry().await;
    site.flow.inner().callbacks.ended(&operation);
    site.submit("", None).await.unwrap();
    let second = site.submit("", Some(&receiver.url())).await.unwrap();
    site.until(&second.uuid, "delivered", delivered).await;
    assert_eq!(receiver.letters.lock().len(), 2);
}

#[tokio::test]
async fn a_failed_try_is_made_again() {
    let (_folder, store, account) = database().await;
    let site = Site::on(&store, account).await;
    site.flow.start();
    let receiver = Receiver::new(&["500 Internal Server Error"]).await;
    let (url, address) = (receiver.url(), receiver.address);
    let operation = site.submit("", Some(&url)).await.unwrap();
    let tries = |count: i32| move |operation: &Operation| operation.callback_attempts == count;
    let first = site.until(&operation.uuid, "tried", tries(1)).await;
    assert_eq!(first.callback_error, "the receiver answers 500 Internal Server Error");
    let waits = gyre_model::time::to_micros(&first.callback_time.unwrap())
        - gyre_model::time::to_micros(&first.update_time.unwrap());
    assert!((5_000_000..5_600_000).contains(&waits), "{waits}");
    drop(receiver);
    tokio::time::sleep(Duration::from_millis(50)).await;
    site.hurry().await;
    site.flow.inner().callbacks.ended(&operation);
    let second = site.until(&operation.uuid, "tried twice", tries(2)).await;
    assert!(second.callback_error.starts_with("cannot connect to 127.0.0.1:"), "{}", second.callback_error);
    assert_eq!(second.callback_state(), CallbackState::Pending);
    let receiver = Receiver::at(address, &["204 No Content"]).await;
    site.hurry().await;
    site.flow.inner().callbacks.ended(&operation);
    let last = site.until(&operation.uuid, "delivered", delivered).await;
    assert_eq!((last.callback_attempts, last.callback_error.as_str()), (3, ""));
    let uuid = gyre_model::parse_uuid(&operation.uuid).unwrap();
    let record = store.read("record", move |conn| record::load(conn, uuid)).await.unwrap().unwrap();
    let events = record.timeline.to_message(0).events;
    let kinds: Vec<_> =
        events.iter().map(OperationEvent::kind).skip_while(|kind| *kind != OperationEventKind::Ended).collect();
    let failed = OperationEventKind::CallbackFailed;
    assert_eq!(kinds, [OperationEventKind::Ended, failed, failed, OperationEventKind::CallbackDelivered]);
    assert_eq!(events[events.len() - 3].message, format!("{address}: the receiver answers 500 Internal Server Error"));
    assert_eq!(receiver.letters.lock().len(), 1);
}

#[tokio::test]
async fn a_callback_outlives_the_instance_that_ended_the_operation() {
    let (_folder, store, account) = database().await;
    let receiver = Receiver::new(&["200 OK"]).await;
    let first = Site::on(&store, account).await;
    // it ends the operation and dies before it sends: nothing here sends
    let operation = first.submit("", Some(&receiver.url())).await.unwrap();
    first.until(&operation.uuid, "ended", |operation| operation.state() == OperationState::Succeeded).await;
    first.flow.shutdown(Duration::from_secs(5)).await;
    // nobody forgets it meanwhile
    assert_eq!(tidy::tidy(&store, Duration::ZERO).await.unwrap(), 0);
    assert_eq!(*receiver.connections.lock(), 0);
    let second = Site::on(&store, account).await;
    second.flow.start();
    second.until(&operation.uuid, "delivered", delivered).await;
    let letter = receiver.letters.lock()[0].clone();
    assert_eq!(verify(&letter, &second.key().await.secret), 1);
    assert_eq!(tidy::tidy(&store, Duration::ZERO).await.unwrap(), 1);
}

#[tokio::test]
async fn it_is_given_up_after_a_day_or_when_the_receiver_is_gone() {
    let (_folder, store, account) = database().await;
    let site = Site::on(&store, account).await;
    let (gone, broken) = (Receiver::new(&["410 Gone"]).await, Receiver::new(&["500 Internal Server Error"]).await);
    let first = site.submit("", Some(&gone.url())).await.unwrap();
    let second = site.submit("", Some(&broken.url())).await.unwrap();
    for operation in [&first, &second] {
        site.until(&operation.uuid, "ended", |operation| operation.state() == OperationState::Succeeded).await;
    }
    let yesterday = gyre_model::time::now_micros() - 25 * 3600 * 1_000_000;
    let sql = Sql::new("UPDATE operation SET end_time = ").bind(Value::time(yesterday));
    store.write("age", move |conn| Ok(conn.execute(sql)?)).await.unwrap();
    site.flow.start();
    for (operation, error) in
        [(first, "the receiver answers 410 Gone"), (second, "the receiver answers 500 Internal Server Error")]
    {
        let given_up = |operation: &Operation| operation.callback_state() == CallbackState::GaveUp;
        let operation = site.until(&operation.uuid, "given up", given_up).await;
        assert_eq!((operation.callback_attempts, operation.callback_error.as_str()), (1, error));
    }
}

#[tokio::test]
async fn without_its_account_it_is_not_sent() {
    let (_folder, store, account) = database().await;
    let site = Site::on(&store, account).await;
    let receiver = Receiver::new(&["200 OK"]).await;
    let operation = site.submit("", Some(&receiver.url())).await.unwrap();
    let delete = |conn: &mut gyre_store::Conn| Ok(conn.execute(Sql::new("DELETE FROM account"))?);
    store.write("delete-account", delete).await.unwrap();
    site.flow.start();
    let tried = site.until(&operation.uuid, "tried", |operation| operation.callback_attempts == 1).await;
    assert_eq!(tried.callback_error, "the account has no key to sign with");
    assert_eq!(*receiver.connections.lock(), 0);
}

#[tokio::test]
async fn the_same_wish_keeps_its_first_callback() {
    let (_folder, store, account) = database().await;
    let site = Site::on(&store, account).await;
    let resource = Uuid::new_v4();
    let input = GetZoneRequest::default();
    let mut answers = Vec::new();
    for url in [Some("http://127.0.0.1:1/first"), Some("http://127.0.0.1:1/second"), None] {
        let submit = Submit { caller: site.caller, workflow: "work", resource, request_id: "wish", input: &input };
        let submit = site.flow.submit(submit, |_, _| Ok(()));
        let operation = context::with_callback(url.map(Arc::from), submit).await.unwrap();
        answers.push((operation.uuid, operation.callback_url));
    }
    assert_eq!(answers[0].1, "http://127.0.0.1:1/first");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn what_the_rules_refuse_becomes_no_operation() {
    let (_folder, store, account) = database().await;
    let site = Site::on(&store, account).await;
    let refused = site.submit("", Some("http://10.0.0.1/")).await.unwrap_err();
    assert_eq!(refused.reason(), "CALLBACK_NOT_ALLOWED");
    let count = |conn: &mut gyre_store::Conn| Ok(conn.query(Sql::new("SELECT 1 FROM operation"))?.len());
    assert_eq!(store.read("count", count).await.unwrap(), 0);
}

#[tokio::test]
async fn after_a_rotation_both_keys_sign() {
    let (_folder, store, account) = database().await;
    let site = Site::on(&store, account).await;
    site.flow.start();
    let first = site.key().await;
    assert_eq!((first.account_uuid.clone(), first.previous_secret.as_str()), (account.to_string(), ""));
    assert_eq!(site.key().await, first);
    let second = site.rotate("wish").await;
    assert_ne!(second.secret, first.secret);
    assert_eq!(second.previous_secret, first.secret);
    assert_eq!(site.rotate("wish").await, second);
    let receiver = Receiver::new(&["200 OK"]).await;
    site.submit("", Some(&receiver.url())).await.unwrap();
    let letter = receiver.wait(1).await.remove(0);
    assert_eq!((verify(&letter, &first.secret), verify(&letter, &second.secret)), (1, 1));
    assert_eq!(letter.header("webhook-signature").split(' ').count(), 2);
    let sql = Sql::new("UPDATE callback_key SET previous_expire_time = ").bind(Value::time(0));
    store.write("age", move |conn| Ok(conn.execute(sql)?)).await.unwrap();
    assert_eq!(site.key().await.previous_secret, "");
    site.submit("", Some(&receiver.url())).await.unwrap();
    let letter = receiver.wait(2).await.remove(1);
    assert_eq!((verify(&letter, &first.secret), verify(&letter, &second.secret)), (0, 1));
    // whose key it is, nobody else reads
    let other = Caller::of(Uuid::new_v4(), true).request(GetCallbackKeyRequest {});
    let answer = site.keys().get_callback_key(other).await.map(|key| key.into_inner().secret).map_err(Error::from);
    assert!(answer.as_ref().is_err() || answer.is_ok_and(|secret| secret != second.secret));
}

#[tokio::test]
async fn a_slow_receiver_keeps_nobody_else_waiting() {
    let (_folder, store, account) = database().await;
    let site = Site::on(&store, account).await;
    let (slow, quick) = (Receiver::new(&[]).await, Receiver::new(&["200 OK"]).await);
    for _ in 0..250 {
        site.submit("", Some(&slow.url())).await.unwrap();
    }
    let operation = site.submit("", Some(&quick.url())).await.unwrap();
    let unfinished = |conn: &mut gyre_store::Conn| {
        Ok(conn.query(Sql::new("SELECT 1 FROM operation WHERE state <> 'SUCCEEDED'"))?.len())
    };
    while store.read("count", unfinished).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    site.flow.start();
    site.until(&operation.uuid, "delivered", delivered).await;
    // the quick one need not wait until all places of the slow one are taken
    tokio::time::timeout(Duration::from_secs(10), async {
        while *slow.connections.lock() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(*slow.connections.lock(), 4);
}
