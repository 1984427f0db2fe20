//! What the database holds of secrets: nothing that anybody could use.

use gyre_proto::identity::v1::{Account, ApiKey, UpdateAccountRequest};
use gyre_store::Sql;

use crate::support::{Env, PASSWORD};

#[tokio::test]
async fn no_secret_is_in_the_database_in_clear() {
    if std::env::var_os("GYRE_TEST_POSTGRES").is_some() {
        return;
    }
    let env = Env::new().await;
    let (alice, account) = env.user("alice").await;
    let changed = "A-second-and-better-one";
    let patch = Account { uuid: account.uuid, password: changed.into(), ..Account::default() };
    let request = UpdateAccountRequest { account: Some(patch), request_id: "change".into(), ..Default::default() };
    env.accounts(alice).update_account(request).await.unwrap();
    let key = env.key(alice, ApiKey { name: "ci".into(), ..ApiKey::default() }, "wish").await.unwrap();
    let session = env.sign_in("alice", changed).await.unwrap();
    let file = env.path("admin.json");
    assert!(!env.service.bootstrap("http://127.0.0.1:7070", &file).await.unwrap());

    // what is in the log of changes reaches the file before the answer; the log is part of the file
    let mut found = 0;
    for entry in std::fs::read_dir(env.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        found += usize::from(has("alice"));
        for secret in [PASSWORD, changed, &key.secret, &key.secret[38..], &session.token] {
            assert!(!has(secret), "{secret}");
        }
    }
    assert!(found > 0, "the search finds what is there");
    let logged = env.store.read("log", |conn| {
        let rows = conn.query(Sql::new("SELECT after FROM change_log WHERE kind = 'account' ORDER BY position"))?;
        rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect::<gyre_model::Result<Vec<_>>>()
    });
    let logged = logged.await.unwrap();
    assert_eq!(logged.len(), 3, "root, alice, and her change");
    assert!(logged.iter().all(|after| !after.contains("password") && !after.contains("argon2")), "{logged:?}");
}
