//! Webhooks from the change to a real receiver.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gyre_flow::process::Service as _;
use gyre_identity::Service;
use gyre_mesh::egress::Allow;
use gyre_model::{Caller, Error, Kind, Uuid};
use gyre_proto::FieldMask;
use gyre_proto::common::v1::{ListSettingsRequest, SetSettingRequest};
use gyre_proto::identity::v1::dead_letter_service_client::DeadLetterServiceClient;
use gyre_proto::identity::v1::webhook_service_client::WebhookServiceClient;
use gyre_proto::identity::v1::{
    ApiKey, CreateWebhookRequest, DeadLetter, DeleteDeadLetterRequest, DeleteWebhookRequest, GetWebhookRequest,
    ListDeadLettersRequest, RedeliverDeadLetterRequest, RedeliverDeadLettersRequest, RotateWebhookSecretRequest,
    TestWebhookRequest, TestWebhookResponse, UpdateWebhookRequest, Webhook, WebhookState,
};
use gyre_query::Change;
use gyre_store::{Sql, Value};
use ring::hmac;

use crate::receiver::{Letter, Receiver};
use crate::support::{Env, cheap, reason};

async fn env() -> Env {
    let env = Env::new().await;
    env.mesh.allow_callbacks(Allow::new(["127.0.0.0/8".parse().unwrap()]));
    env
}

impl Env {
    fn hooks(&self, caller: Caller) -> WebhookServiceClient<gyre_mesh::MeshChannel> {
        WebhookServiceClient::new(self.mesh.channel("identity").on_behalf_of(caller))
    }

    fn dead(&self, caller: Caller) -> DeadLetterServiceClient<gyre_mesh::MeshChannel> {
        DeadLetterServiceClient::new(self.mesh.channel("identity").on_behalf_of(caller))
    }

    async fn hook(&self, caller: Caller, webhook: Webhook) -> Webhook {
        let request = CreateWebhookRequest { webhook: Some(webhook), request_id: String::new() };
        self.hooks(caller).create_webhook(request).await.unwrap().into_inner()
    }

    async fn hook_refused(&self, caller: Caller, webhook: Webhook) -> Error {
        let request = CreateWebhookRequest { webhook: Some(webhook), request_id: String::new() };
        Error::from(self.hooks(caller).create_webhook(request).await.unwrap_err())
    }

    async fn update(&self, caller: Caller, webhook: Webhook, paths: &[&str]) -> Webhook {
        let mask = FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
        let request = UpdateWebhookRequest { webhook: Some(webhook), update_mask: Some(mask), ..Default::default() };
        self.hooks(caller).update_webhook(request).await.unwrap().into_inner()
    }

    async fn webhook(&self, caller: Caller, uuid: &str) -> Webhook {
        self.hooks(caller).get_webhook(GetWebhookRequest { uuid: uuid.into() }).await.unwrap().into_inner()
    }

    async fn until(&self, caller: Caller, uuid: &str, what: &str, is: impl Fn(&Webhook) -> bool) -> Webhook {
        for _ in 0..2000 {
            let now = self.webhook(caller, uuid).await;
            if is(&now) {
                return now;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("not {what}: {:?}", self.webhook(caller, uuid).await);
    }

    /// Waits until no delivery is left to do: a row goes after the receiver's answer has come.
    async fn until_nothing_waits(&self) {
        let left = async || self.number("SELECT COUNT(*) FROM webhook_delivery").await;
        for _ in 0..2000 {
            if left().await == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{} deliveries still wait", left().await);
    }

    async fn dead_letters(&self, caller: Caller) -> Vec<DeadLetter> {
        let request = ListDeadLettersRequest { order_by: "position".into(), ..Default::default() };
        self.dead(caller).list_dead_letters(request).await.unwrap().into_inner().dead_letters
    }

    async fn until_dead(&self, caller: Caller, count: usize) -> Vec<DeadLetter> {
        for _ in 0..2000 {
            let now = self.dead_letters(caller).await;
            if now.len() == count {
                return now;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("not {count} dead letters: {:?}", self.dead_letters(caller).await);
    }

    /// An API key of a caller's: something to change.
    async fn thing(&self, caller: Caller, name: &str) -> Uuid {
        let key = self.key(caller, ApiKey { name: name.into(), ..ApiKey::default() }, "").await.unwrap();
        key.uuid.parse().unwrap()
    }

    /// Changes something so many times, each in its own commit.
    async fn change(&self, caller: Caller, uuid: Uuid, times: usize) {
        for _ in 0..times {
            let change = move |conn: &mut gyre_store::Conn| {
                let mut key: ApiKey = gyre_query::get(conn, &caller, uuid)?;
                key.description.push('.');
                gyre_query::update(conn, &Change::by(caller), &key)
            };
            self.store.write("change", change).await.unwrap();
        }
    }

    /// Makes what waits for its next try due.
    async fn hurry(&self, caller: Caller, webhook: &str) {
        let sql = Sql::new("UPDATE webhook_delivery SET next_time = ").bind(Value::time(0));
        self.store.write("hurry", move |conn| Ok(conn.execute(sql)?)).await.unwrap();
        // its courier looks at it when it is changed
        let description = Uuid::new_v4().to_string();
        let webhook = Webhook { uuid: webhook.into(), description, ..Webhook::default() };
        self.update(caller, webhook, &["description"]).await;
    }

    async fn give_up_after(&self, value: &str) {
        use gyre_proto::common::v1::setting_service_client::SettingServiceClient;
        let mut settings = SettingServiceClient::new(self.mesh.channel("identity").on_behalf_of(self.admin));
        let request =
            SetSettingRequest { name: "webhook.give-up-after".into(), value: value.into(), ..Default::default() };
        settings.set_setting(request).await.unwrap();
        let all = settings.list_settings(ListSettingsRequest::default()).await.unwrap().into_inner();
        assert_eq!(all.settings.len(), 1);
    }
}

fn to(receiver: &Receiver) -> Webhook {
    Webhook { name: "hook".into(), url: receiver.url(), ..Webhook::default() }
}

/// How many of the signatures are good for a key.
fn good(letter: &Letter, secret: &str) -> usize {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let head = format!("{}.{}.", letter.headers["webhook-id"], letter.headers["webhook-timestamp"]);
    let signed = [head.as_bytes(), &letter.body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signatures = letter.headers["webhook-signature"].split(' ');
    let signatures = signatures.map(|signature| STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap());
    signatures.filter(|signature| hmac::verify(&key, &signed, signature).is_ok()).count()
}

/// The generations of each resource as they were taken, the first time each.
fn by_resource(letters: &[Letter]) -> BTreeMap<String, Vec<i64>> {
    let mut seen = HashSet::new();
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for letter in letters {
        if seen.insert(letter.headers["webhook-id"].clone()) {
            found.entry(letter.resource()).or_default().push(letter.generation());
        }
    }
    found
}

#[tokio::test]
async fn what_an_account_may_see_is_posted_signed_as_the_filters_say() {
    let env = env().await;
    let (alice, account) = env.user("alice").await;
    let (bob, _) = env.user("bob").await;
    let (own, all) = (Receiver::new().await, Receiver::new().await);
    let wanted = Webhook { kinds: vec!["api-key".into()], filter: "action = CREATE".into(), ..to(&own) };
    let made = env.hook(alice, wanted.clone()).await;
    assert_eq!((made.state(), made.account_uuid.as_str()), (WebhookState::Active, account.uuid.as_str()));
    assert!(made.secret.starts_with("whsec_"), "{made:?}");
    assert_eq!(env.webhook(alice, &made.uuid).await.secret, "");
    let whole = env.hook(env.admin, to(&all)).await;

    let key = env.thing(alice, "hers").await;
    env.change(alice, key, 1).await;
    let other = env.thing(bob, "his").await;
    let second = env.thing(alice, "another").await;
    // letters about different resources may pass each other
    let letters = own.until_taken(2).await;
    let about = |key: Uuid| letters.iter().find(|letter| letter.resource() == key.to_string()).unwrap();
    let (first, _) = (about(key), about(second));
    let body = first.json();
    assert_eq!(body["type"], "api-key.create");
    assert_eq!(body["data"]["after"]["name"], "hers");
    assert_eq!(body["data"]["uuid"].as_str(), Some(&*first.headers["webhook-id"]));
    assert_eq!((good(first, &made.secret), good(first, &whole.secret)), (1, 0));
    assert_eq!(first.headers["content-type"], "application/json");

    // the administrator is told of all: of both accounts' keys, the change among them
    let told = all.until("all four", |all| {
        let keys = all.iter().filter(|letter| letter.json()["data"]["kind"] == "api-key");
        keys.count() == 4
    });
    assert!(told.await.iter().any(|letter| letter.resource() == other.to_string()));
    assert_eq!(own.all().len(), 2, "neither the update nor bob's key");
    // nor do webhooks tell of themselves
    assert!(all.all().iter().all(|letter| letter.json()["data"]["kind"] != "webhook"));

    // both keys sign after a rotation, and the secret is told once
    let rotate = RotateWebhookSecretRequest { uuid: made.uuid.clone(), request_id: "r".into() };
    let rotated = env.hooks(alice).rotate_webhook_secret(rotate.clone()).await.unwrap().into_inner();
    assert!(env.hooks(alice).rotate_webhook_secret(rotate).await.unwrap().into_inner().secret.is_empty());
    let ping = env.hooks(alice).test_webhook(TestWebhookRequest { uuid: made.uuid.clone() }).await.unwrap();
    assert_eq!(ping.into_inner(), TestWebhookResponse { delivered: true, error: String::new() });
    let ping = own.until_taken(3).await[2].clone();
    assert_eq!((good(&ping, &rotated.secret), good(&ping, &made.secret)), (1, 1));
    assert_eq!(ping.json()["type"], "ping");
    own.answers(|_| 500);
    let ping = env.hooks(alice).test_webhook(TestWebhookRequest { uuid: made.uuid.clone() }).await.unwrap();
    assert!(ping.into_inner().error.contains("500"));

    // what is whose
    let get = GetWebhookRequest { uuid: made.uuid.clone() };
    assert_eq!(reason(env.hooks(bob).get_webhook(get).await), "NOT_FOUND");
    assert_eq!(reason(env.hooks(bob).test_webhook(TestWebhookRequest { uuid: made.uuid.clone() }).await), "NOT_FOUND");
    let delete = DeleteWebhookRequest { uuid: made.uuid.clone(), ..Default::default() };
    env.done(env.hooks(alice).delete_webhook(delete).await).await;
    assert_eq!(env.number("SELECT COUNT(*) FROM webhook_work").await, 1);
}

#[tokio::test]
async fn a_resource_filter_tells_of_what_comes_and_of_what_leaves() {
    let env = env().await;
    let (alice, _) = env.user("alice").await;
    let receiver = Receiver::new().await;
    let filter = "description = \".\"".to_owned();
    let wanted = Webhook { kinds: vec!["api-key".into()], resource_filter: filter, ..to(&receiver) };
    env.hook(alice, wanted).await;
    let key = env.thing(alice, "key").await;
    env.change(alice, key, 3).await;
    let end = env.thing(alice, "end").await;
    env.change(alice, end, 1).await;
    let letters = receiver.until_taken(3).await;
    let told: Vec<_> = letters.iter().filter(|letter| letter.resource() == key.to_string()).collect();
    // into the list and out of it; neither its making nor what came afterwards
    assert_eq!(told.iter().map(|letter| letter.generation()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(letters.len(), 3);
}

#[tokio::test]
async fn what_fails_holds_back_its_own_resource_and_no_other() {
    let env = env().await;
    let (alice, _) = env.user("alice").await;
    let receiver = Receiver::new().await;
    let hook = env.hook(alice, Webhook { kinds: vec!["api-key".into()], ..to(&receiver) }).await;
    let (poor, rich) = (env.thing(alice, "poor").await, env.thing(alice, "rich").await);
    receiver.until_taken(2).await;
    let away = Arc::new(AtomicBool::new(true));
    let (refused, down) = (poor.to_string(), Arc::clone(&away));
    receiver.answers(move |letter| if down.load(Ordering::SeqCst) && letter.resource() == refused { 503 } else { 200 });
    for _ in 0..5 {
        env.change(alice, poor, 2).await;
        env.change(alice, rich, 2).await;
    }
    let letters = receiver.until_taken(12).await;
    assert_eq!(by_resource(&letters)[&rich.to_string()], (1..=11).collect::<Vec<_>>());
    assert_eq!(by_resource(&letters)[&poor.to_string()], [1]);
    // only the first of the lane is tried, as often as it may be
    env.hurry(alice, &hook.uuid).await;
    receiver.until("tried again", |all| all.iter().filter(|letter| letter.status == 503).count() >= 2).await;
    assert!(receiver.all().iter().filter(|letter| letter.status == 503).all(|letter| letter.generation() == 2));
    away.store(false, Ordering::SeqCst);
    env.hurry(alice, &hook.uuid).await;
    let letters = receiver.until_taken(22).await;
    assert_eq!(by_resource(&letters)[&poor.to_string()], (1..=11).collect::<Vec<_>>());
    assert_eq!(letters.len(), 22, "nothing twice where nobody died");
    env.until_nothing_waits().await;
}

/// Two calls that are one wish may both have run before one of them is undone.
#[tokio::test]
async fn a_secret_is_told_once_and_is_the_one_that_is_kept() {
    let env = env().await;
    let (alice, _) = env.user("alice").await;
    let receiver = Receiver::new().await;
    let hook = env.hook(alice, to(&receiver)).await;
    for round in 0..10 {
        let rotate = RotateWebhookSecretRequest { uuid: hook.uuid.clone(), request_id: format!("r{round}") };
        let (mut one, mut other) = (env.hooks(alice), env.hooks(alice));
        let (one, other) =
            tokio::join!(one.rotate_webhook_secret(rotate.clone()), other.rotate_webhook_secret(rotate.clone()));
        let mut told = [one, other].map(|answer| answer.unwrap().into_inner().secret);
        told.sort();
        assert!(told[0].is_empty() && !told[1].is_empty(), "{told:?}");
        env.hooks(alice).test_webhook(TestWebhookRequest { uuid: hook.uuid.clone() }).await.unwrap();
        let letters = receiver.until_taken(round + 1).await;
        assert_eq!(good(&letters[round], &told[1]), 1);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_away_is_said_to_fail_until_it_is_back() {
    let env = env().await;
    let (alice, _) = env.user("alice").await;
    let receiver = Receiver::new().await;
    receiver.answers(|_| 500);
    let hook = env.hook(alice, Webhook { kinds: vec!["api-key".into()], ..to(&receiver) }).await;
    for at in 0..6 {
        env.thing(alice, &format!("key-{at}")).await;
    }
    let failing = env.until(alice, &hook.uuid, "failing", |hook| hook.state() == WebhookState::Failing).await;
    assert!(failing.last_error.contains("500") && failing.failing_since.is_some(), "{failing:?}");
    receiver.answers(|_| 200);
    // one try that succeeds brings all the others
    env.hurry(alice, &hook.uuid).await;
    receiver.until_taken(6).await;
    let back = env.until(alice, &hook.uuid, "active", |hook| hook.state() == WebhookState::Active).await;
    assert!(back.last_error.is_empty() && back.failing_since.is_none(), "{back:?}");
}

#[tokio::test]
async fn what_is_given_up_is_a_dead_letter_until_it_is_delivered_again() {
    let env = env().await;
    let (alice, account) = env.user("alice").await;
    let (bob, _) = env.user("bob").await;
    let receiver = Receiver::new().await;
    env.give_up_after("0s").await;
    let hook = env.hook(alice, Webhook { kinds: vec!["api-key".into()], ..to(&receiver) }).await;
    let key = env.thing(alice, "key").await;
    receiver.until_taken(1).await;
    receiver.answers(|letter| if matches!(letter.generation(), 2 | 3) { 500 } else { 200 });
    env.change(alice, key, 4).await;
    // the lane goes on behind what was given up
    let letters = receiver.until_taken(3).await;
    assert_eq!(by_resource(&letters)[&key.to_string()], [1, 4, 5]);
    let dead = env.until_dead(alice, 2).await;
    assert_eq!((dead[0].resource_kind.as_str(), dead[0].resource_uuid.as_str()), ("api-key", key.to_string().as_str()));
    assert_eq!((dead[0].webhook_uuid.as_str(), dead[0].attempts), (hook.uuid.as_str(), 1));
    assert!(dead[0].error.contains("500") && dead[0].account_uuid == account.uuid, "{dead:?}");
    assert!(env.dead_letters(bob).await.is_empty());
    let again = RedeliverDeadLetterRequest { uuid: dead[0].uuid.clone(), request_id: String::new() };
    assert_eq!(reason(env.dead(bob).redeliver_dead_letter(again.clone()).await), "NOT_FOUND");

    // delivered again while the receiver still refuses it: it is a dead letter anew
    env.dead(alice).redeliver_dead_letter(again).await.unwrap();
    receiver.until("three refusals", |all| all.iter().filter(|letter| letter.status == 500).count() == 3).await;
    let dead = env.until_dead(alice, 2).await;
    receiver.answers(|_| 200);
    let again = RedeliverDeadLetterRequest { uuid: dead[0].uuid.clone(), request_id: "again".into() };
    env.dead(alice).redeliver_dead_letter(again.clone()).await.unwrap();
    env.dead(alice).redeliver_dead_letter(again).await.unwrap();
    let letters = receiver.until_taken(4).await;
    assert_eq!(letters[3].generation(), 2);
    let left = env.until_dead(alice, 1).await;
    let all = RedeliverDeadLettersRequest {
        uuid: hook.uuid.clone(),
        filter: "resource_kind = vm".into(),
        ..Default::default()
    };
    assert_eq!(env.hooks(alice).redeliver_dead_letters(all.clone()).await.unwrap().into_inner().count, 0);
    let all = RedeliverDeadLettersRequest { filter: "resource_kind = \"api-key\"".into(), ..all };
    assert_eq!(env.hooks(alice).redeliver_dead_letters(all).await.unwrap().into_inner().count, 1);
    assert_eq!(receiver.until_taken(5).await[4].headers["webhook-id"], left[0].change_uuid);

    // deleted, it is not delivered any more; and the webhook takes its dead letters along
    receiver.answers(|_| 500);
    env.change(alice, key, 2).await;
    let dead = env.until_dead(alice, 2).await;
    let delete = DeleteDeadLetterRequest { uuid: dead[0].uuid.clone(), ..Default::default() };
    env.done(env.dead(alice).delete_dead_letter(delete).await).await;
    assert_eq!(env.dead_letters(alice).await, dead[1..]);
    let delete = DeleteWebhookRequest { uuid: hook.uuid.clone(), ..Default::default() };
    env.done(env.hooks(alice).delete_webhook(delete).await).await;
    assert_eq!(env.number("SELECT COUNT(*) FROM dead_letter").await, 0);
}

#[tokio::test]
async fn a_disabled_webhook_sends_nothing_until_it_is_enabled() {
    let env = env().await;
    let (alice, _) = env.user("alice").await;
    let (receiver, other) = (Receiver::new().await, Receiver::new().await);
    let hook = env.hook(alice, Webhook { kinds: vec!["api-key".into()], disabled: true, ..to(&receiver) }).await;
    assert_eq!(hook.state(), WebhookState::Disabled);
    env.hook(alice, Webhook { kinds: vec!["api-key".into()], ..to(&other) }).await;
    env.thing(alice, "meanwhile").await;
    other.until_taken(1).await;
    assert!(receiver.all().is_empty());
    let on = Webhook { uuid: hook.uuid.clone(), ..Webhook::default() };
    assert_eq!(env.update(alice, on.clone(), &["disabled"]).await.state(), WebhookState::Active);
    receiver.until_taken(1).await;
    // a receiver that wants nothing more
    receiver.answers(|_| 410);
    env.thing(alice, "gone").await;
    let gone = env.until(alice, &hook.uuid, "disabled", |hook| hook.state() == WebhookState::Disabled).await;
    assert!(gone.disabled && gone.last_error.contains("410"), "{gone:?}");
    receiver.answers(|_| 200);
    env.update(alice, on, &["disabled"]).await;
    assert_eq!(receiver.until_taken(2).await.len(), 2);
}

#[tokio::test]
async fn the_next_instance_goes_on_where_the_last_one_was() {
    let env = env().await;
    let (alice, _) = env.user("alice").await;
    let receiver = Receiver::new().await;
    let hook = env.hook(alice, Webhook { kinds: vec!["api-key".into()], ..to(&receiver) }).await;
    let key = env.thing(alice, "key").await;
    receiver.until_taken(1).await;
    receiver.answers(|letter| if letter.generation() >= 4 { 503 } else { 200 });
    env.change(alice, key, 5).await;
    receiver.until_taken(3).await;
    env.service.shutdown(std::time::Duration::from_secs(5)).await;
    // nobody is there, and things change
    env.change(alice, key, 5).await;
    receiver.answers(|_| 200);
    let next = Service::start(env.mesh.clone(), env.store.clone(), cheap()).await.unwrap();
    env.mesh.host("identity", next.routes()).await.unwrap();
    env.hurry(alice, &hook.uuid).await;
    let letters = receiver.until_taken(11).await;
    assert_eq!(by_resource(&letters)[&key.to_string()], (1..=11).collect::<Vec<_>>());
    next.shutdown(std::time::Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_makes_no_sense_or_may_not_be_is_refused() {
    let env = env().await;
    let (alice, _) = env.user("alice").await;
    let receiver = Receiver::new().await;
    let field = |error: &Error| error.violations().first().map(|violation| violation.field.clone()).unwrap_or_default();
    let refused = async |webhook: Webhook| {
        let error = env.hook_refused(alice, webhook).await;
        assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
        field(&error)
    };
    let good = to(&receiver);
    assert_eq!(refused(Webhook { url: "ftp://127.0.0.1/".into(), ..good.clone() }).await, "webhook.url");
    assert_eq!(refused(Webhook { kinds: vec!["cow".into()], ..good.clone() }).await, "webhook.kinds");
    assert_eq!(refused(Webhook { kinds: vec!["dead-letter".into()], ..good.clone() }).await, "webhook.kinds");
    assert_eq!(refused(Webhook { filter: "wings = 2".into(), ..good.clone() }).await, "webhook.filter");
    assert_eq!(refused(Webhook { filter: "account.name = x".into(), ..good.clone() }).await, "webhook.filter");
    let filter = "state = RUNNING".to_owned();
    assert_eq!(refused(Webhook { resource_filter: filter.clone(), ..good.clone() }).await, "webhook.resource_filter");
    let vms = Webhook { kinds: vec!["vm".into()], resource_filter: "tags:x".into(), ..good.clone() };
    assert_eq!(refused(vms.clone()).await, "webhook.resource_filter");
    assert_eq!(refused(Webhook { secret: "whsec_AAAA".into(), ..good.clone() }).await, "webhook.secret");
    // where the operator lets nothing go
    let inside = env.hook_refused(alice, Webhook { url: "http://169.254.169.254/latest".into(), ..good.clone() }).await;
    assert_eq!((inside.kind(), inside.reason()), (Kind::PermissionDenied, "WEBHOOK_NOT_ALLOWED"));
    assert_eq!(env.number("SELECT COUNT(*) FROM webhook").await, 0);

    let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let hook = env.hook(alice, Webhook { resource_filter: filter, secret: own.into(), ..vms }).await;
    assert_eq!(hook.secret, own);
    // an operator who forbids it afterwards stops it at the next try
    env.mesh.allow_callbacks(Allow::default());
    let ping =
        env.hooks(alice).test_webhook(TestWebhookRequest { uuid: hook.uuid.clone() }).await.unwrap().into_inner();
    assert!(!ping.delivered && ping.error.contains("--callback-allow"), "{ping:?}");
    assert!(receiver.all().is_empty());
    let log = env.number("SELECT COUNT(*) FROM change_log WHERE kind = 'webhook' AND after LIKE '%whsec%'");
    if env.store.dialect() == gyre_store::Dialect::Sqlite {
        assert_eq!(log.await, 0);
    }
}
