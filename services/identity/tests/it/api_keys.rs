//! API keys, from their making to their end.

use gyre_model::{Error, Kind, Uuid, time};
use gyre_proto::identity::v1::{
    ApiKey, AuthenticateApiKeyRequest, AuthenticateApiKeyResponse, DeleteApiKeyRequest, DisableAccountRequest,
    GetApiKeyRequest, ListApiKeysRequest,
};
use gyre_store::{Sql, Value};

use crate::support::{Env, reason};

fn named(name: &str) -> ApiKey {
    ApiKey { name: name.into(), ..ApiKey::default() }
}

impl Env {
    async fn authenticate(&self, key: &str) -> Result<AuthenticateApiKeyResponse, Error> {
        let request = AuthenticateApiKeyRequest { key: key.into() };
        Ok(self.authentication().authenticate_api_key(request).await?.into_inner())
    }

    async fn refused(&self, key: &str) -> bool {
        let error = self.authenticate(key).await.unwrap_err();
        (error.kind(), error.reason()) == (Kind::Unauthenticated, "API_KEY_REFUSED")
    }
}

#[tokio::test]
async fn a_key_says_who_until_it_is_deleted() {
    let env = Env::new().await;
    let (alice, account) = env.user("alice").await;
    let key = env.key(alice, named("ci"), "").await.unwrap();
    assert_eq!(key.account_uuid, account.uuid);
    let uuid = Uuid::parse_str(&key.uuid).unwrap();
    let random = key.secret.strip_prefix(&format!("gyre_{}_", uuid.simple())).unwrap();
    assert_eq!(random.len(), 43);

    let known = env.authenticate(&key.secret).await.unwrap();
    assert_eq!((known.account_uuid, known.admin), (account.uuid, false));
    assert_eq!((known.api_key_uuid, known.expire_time), (key.uuid.clone(), None));
    assert!(env.authenticate(&env.key(env.admin, named("root's"), "").await.unwrap().secret).await.unwrap().admin);

    let get = GetApiKeyRequest { uuid: key.uuid.clone() };
    let read = env.keys(alice).get_api_key(get.clone()).await.unwrap().into_inner();
    assert_eq!((read.name.as_str(), read.secret.as_str()), ("ci", ""));
    let delete = DeleteApiKeyRequest { uuid: key.uuid.clone(), ..Default::default() };
    env.done(env.keys(alice).delete_api_key(delete.clone()).await).await;
    assert!(env.refused(&key.secret).await);
    assert_eq!(reason(env.keys(alice).get_api_key(get).await), "NOT_FOUND");
    assert_eq!(reason(env.keys(alice).delete_api_key(delete).await), "NOT_FOUND");
    assert_eq!(env.number("SELECT COUNT(*) FROM api_key_secret").await, 1);
}

#[tokio::test]
async fn keys_of_others_are_not_there() {
    let env = Env::new().await;
    let (alice, _) = env.user("alice").await;
    let (bob, bobs) = env.user("bob").await;
    // what a caller says of the owner is not believed
    let claimed = ApiKey { account_uuid: bobs.uuid.clone(), ..named("hers") };
    let key = env.key(alice, claimed, "").await.unwrap();
    assert_eq!(key.account_uuid, alice.account_uuid.to_string());
    let get = GetApiKeyRequest { uuid: key.uuid.clone() };
    assert_eq!(reason(env.keys(bob).get_api_key(get).await), "NOT_FOUND");
    let delete = DeleteApiKeyRequest { uuid: key.uuid.clone(), ..Default::default() };
    assert_eq!(reason(env.keys(bob).delete_api_key(delete).await), "NOT_FOUND");
    let listed = env.keys(bob).list_api_keys(ListApiKeysRequest::default()).await.unwrap().into_inner();
    assert!(listed.api_keys.is_empty());
    assert!(env.authenticate(&key.secret).await.is_ok());
}

#[tokio::test]
async fn the_secret_is_answered_once() {
    let env = Env::new().await;
    let (alice, _) = env.user("alice").await;
    let one = env.key(alice, named("ci"), "wish").await.unwrap();
    let two = env.key(alice, named("ci"), "wish").await.unwrap();
    assert!(!one.secret.is_empty());
    assert_eq!(two, ApiKey { secret: String::new(), ..one.clone() });
    assert!(env.authenticate(&one.secret).await.is_ok());
    assert_eq!(env.number("SELECT COUNT(*) FROM api_key").await, 1);
}

#[tokio::test]
async fn a_key_ends_at_its_time_and_with_its_account() {
    let env = Env::new().await;
    let (alice, account) = env.user("alice").await;
    let end = time::from_micros(time::now_micros() + 3_600_000_000);
    let key = env.key(alice, ApiKey { expire_time: Some(end), ..named("ci") }, "").await.unwrap();
    let forever = env.key(alice, named("forever"), "").await.unwrap();
    assert_eq!(env.authenticate(&key.secret).await.unwrap().expire_time, Some(end));
    let expire = env.store.write("expire", |conn| {
        let past = Value::time(time::now_micros() - 1);
        conn.execute(Sql::new("UPDATE api_key SET expire_time = ").bind(past).sql(" WHERE expire_time IS NOT NULL"))?;
        Ok(())
    });
    expire.await.unwrap();
    assert!(env.refused(&key.secret).await);

    let disable = DisableAccountRequest { uuid: account.uuid, request_id: String::new() };
    env.accounts(env.admin).disable_account(disable).await.unwrap();
    assert!(env.refused(&forever.secret).await);

    let past = time::from_micros(time::now_micros() - 1_000_000);
    let error = env.key(alice, ApiKey { expire_time: Some(past), ..named("late") }, "").await.unwrap_err();
    assert_eq!(error.violations()[0].field, "api_key.expire_time");
}

#[tokio::test]
async fn what_is_no_key_is_refused_alike() {
    let env = Env::new().await;
    let (alice, _) = env.user("alice").await;
    let key = env.key(alice, named("ci"), "").await.unwrap().secret;
    let last = if key.ends_with('A') { 'B' } else { 'A' };
    let unknown = key.replace(&key[5..37], &Uuid::new_v4().simple().to_string());
    let wrong = format!("{}{last}", &key[..key.len() - 1]);
    for key in ["gyre_", "x", "gyre_0000_1111", &key[..key.len() - 1], &wrong, &unknown, &key.to_uppercase()] {
        assert!(env.refused(key).await, "{key}");
    }
}
