//! Signing in: tokens, keys, and what those hear who cannot.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gyre_identity::Config;
use gyre_model::{Kind, time};
use gyre_proto::identity::v1::{
    CheckAccountRequest, CheckAccountResponse, CreateSessionRequest, DeleteAccountRequest, DisableAccountRequest,
    EnableAccountRequest, ListVerificationKeysRequest, VerificationKey,
};
use gyre_store::{Sql, Value};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value as Json;

use crate::support::{Env, PASSWORD, cheap};

struct Parts {
    header: Json,
    claims: Json,
    signed: String,
    signature: Vec<u8>,
}

fn parts(token: &str) -> Parts {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    Parts {
        header: json(header),
        claims: json(claims),
        signed: signed.to_owned(),
        signature: URL_SAFE_NO_PAD.decode(signature).unwrap(),
    }
}

impl Env {
    async fn verification_keys(&self) -> Vec<VerificationKey> {
        let listed = self.authentication().list_verification_keys(ListVerificationKeysRequest {}).await;
        listed.unwrap().into_inner().keys
    }

    /// The id of the key that signs now, after the signature was found good.
    async fn signed_with(&self) -> String {
        let parts = parts(&self.sign_in("root", PASSWORD).await.unwrap().token);
        let kid = parts.header["kid"].as_str().unwrap();
        let key = self.verification_keys().await.into_iter().find(|key| key.id == kid).unwrap();
        UnparsedPublicKey::new(&ED25519, &key.public_key).verify(parts.signed.as_bytes(), &parts.signature).unwrap();
        key.id
    }

    async fn check(&self, uuid: &str) -> (bool, bool) {
        let request = CheckAccountRequest { account_uuid: uuid.into() };
        let CheckAccountResponse { enabled, admin, .. } =
            self.authentication().check_account(request).await.unwrap().into_inner();
        (enabled, admin)
    }

    /// Makes every key older, as if so much time had passed.
    async fn age_keys(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap();
        let aged = self.store.write("age", move |conn| {
            let rows = conn.query(Sql::new("SELECT sequence, create_time FROM signing_key"))?;
            for row in rows {
                let sql = Sql::new("UPDATE signing_key SET create_time = ").bind(Value::time(row.int(1)? - by));
                conn.execute(sql.sql(" WHERE sequence = ").bind(row.int(0)?))?;
            }
            Ok(())
        });
        aged.await.unwrap();
    }

    /// Another instance starts, which looks after the keys.
    async fn tend(&self) {
        let mesh = gyre_mesh::Mesh::local();
        gyre_identity::Service::start(mesh, self.store.clone(), cheap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_token_says_who_and_is_signed() {
    let env = Env::new().await;
    let before = time::now_micros() / 1_000_000;
    let session = env.sign_in("root", PASSWORD).await.unwrap();
    let token = parts(&session.token);
    assert_eq!((token.header["alg"].as_str(), token.header["typ"].as_str()), (Some("EdDSA"), Some("JWT")));
    let keys = env.verification_keys().await;
    assert_eq!(keys.len(), 1);
    assert_eq!(token.header["kid"].as_str(), Some(keys[0].id.as_str()));
    let key = UnparsedPublicKey::new(&ED25519, &keys[0].public_key);
    key.verify(token.signed.as_bytes(), &token.signature).unwrap();
    assert!(key.verify(&token.signed.as_bytes()[1..], &token.signature).is_err());

    let claims = &token.claims;
    assert_eq!((claims["iss"].as_str(), claims["adm"].as_bool()), (Some("gyre"), Some(true)));
    assert_eq!(claims["sub"].as_str(), Some(env.admin.account_uuid.to_string().as_str()));
    assert_eq!(claims["sub"].as_str(), Some(session.account_uuid.as_str()));
    let (iat, exp) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert!((before..before + 60).contains(&iat));
    assert_eq!((exp - iat, session.expire_time.unwrap().seconds), (3600, exp));
    gyre_model::parse_uuid(claims["jti"].as_str().unwrap()).unwrap();

    env.user("alice").await;
    let alices = env.sign_in("alice", PASSWORD).await.unwrap().token;
    assert_eq!(parts(&alices).claims["adm"].as_bool(), Some(false));
}

#[tokio::test]
async fn who_cannot_sign_in_hears_the_same_whatever_was_wrong() {
    let env = Env::new().await;
    let (_, alice) = env.user("alice").await;
    let wrong = env.sign_in("alice", "not her password").await.unwrap_err();
    let unknown = env.sign_in("nobody", PASSWORD).await.unwrap_err();
    let disable = DisableAccountRequest { uuid: alice.uuid.clone(), request_id: String::new() };
    env.accounts(env.admin).disable_account(disable).await.unwrap();
    let disabled = env.sign_in("alice", PASSWORD).await.unwrap_err();
    for error in [&wrong, &unknown, &disabled] {
        assert_eq!((error.kind(), error.reason()), (Kind::Unauthenticated, "LOGIN_FAILED"));
        assert_eq!((error.message(), error.metadata()), (wrong.message(), wrong.metadata()));
    }
    let enable = EnableAccountRequest { uuid: alice.uuid, request_id: String::new() };
    env.accounts(env.admin).enable_account(enable).await.unwrap();
    env.sign_in("alice", PASSWORD).await.unwrap();

    let empty = env.sessions().create_session(CreateSessionRequest::default()).await.unwrap_err();
    let fields = gyre_model::Error::from(empty);
    let fields: Vec<_> = fields.violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["account", "password"]);
}

#[tokio::test]
async fn an_accounts_standing_is_told_as_it_is() {
    let env = Env::new().await;
    let (_, alice) = env.user("alice").await;
    assert_eq!(env.check(&env.admin.account_uuid.to_string()).await, (true, true));
    assert_eq!(env.check(&alice.uuid).await, (true, false));
    let disable = DisableAccountRequest { uuid: alice.uuid.clone(), request_id: String::new() };
    env.accounts(env.admin).disable_account(disable).await.unwrap();
    assert_eq!(env.check(&alice.uuid).await, (false, false));
    let delete = DeleteAccountRequest { uuid: alice.uuid.clone(), ..Default::default() };
    env.done(env.accounts(env.admin).delete_account(delete).await).await;
    assert_eq!(env.check(&alice.uuid).await, (false, false));
}

#[tokio::test]
async fn keys_take_turns_and_stay_as_long_as_their_tokens() {
    let env = Env::new().await;
    let first = env.signed_with().await;
    env.tend().await;
    assert_eq!(env.verification_keys().await.len(), 1);

    // old enough for the next, which is listed before it signs
    env.age_keys(Duration::from_secs(31 * 24 * 3600)).await;
    env.tend().await;
    assert_eq!(env.verification_keys().await.len(), 2);
    assert_eq!(env.signed_with().await, first);
    env.tend().await;
    assert_eq!(env.verification_keys().await.len(), 2);

    env.age_keys(Duration::from_secs(180)).await;
    let second = env.signed_with().await;
    assert_ne!(second, first);
    env.age_keys(Duration::from_secs(3600)).await;
    env.tend().await;
    assert_eq!(env.verification_keys().await.len(), 2, "a token of the first key may still be good");
    env.age_keys(Duration::from_secs(3700)).await;
    env.tend().await;
    let keys = env.verification_keys().await;
    assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), [second.as_str()]);
}

#[tokio::test]
async fn instances_that_start_together_make_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::support::database(&folder).await;
    let starts = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { gyre_identity::Service::start(gyre_mesh::Mesh::local(), store, cheap()).await })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap().unwrap();
    }
    let count =
        store.read("count", |conn| conn.query(Sql::new("SELECT COUNT(*) FROM signing_key"))?[0].int(0)).await.unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_token_lives_as_long_as_configured() {
    let env = Env::with(Config { token_ttl: Duration::from_secs(60), ..cheap() }).await;
    let claims = parts(&env.sign_in("root", PASSWORD).await.unwrap().token).claims;
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
}
