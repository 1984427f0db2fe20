//! Who calls.

use std::sync::atomic::Ordering;

use gyre_gateway::metrics::{Refused, metrics};
use gyre_model::Uuid;

use crate::fakes::{ADMIN, API_KEY, USER, VM};
use crate::fixture::{Fixture, Said};

async fn get(gateway: &Fixture, bearer: &str) -> Said {
    gateway.send("GET", &format!("/v1/vms/{VM}"), &[("authorization", bearer)], "").await
}

#[tokio::test]
async fn without_a_good_token_nothing_is_answered() {
    let gateway = Fixture::new().await;
    let said = get(&gateway, "").await;
    assert_eq!(
        (said.status.as_u16(), said.reason().as_str(), said.header("www-authenticate")),
        (401, "NO_TOKEN", "Bearer")
    );
    let before = metrics().refusals(Refused::BadToken);
    let expired = gateway.fakes.token(USER, false, "k1", -1);
    let unknown_key = gateway.fakes.token(USER, false, "k2", 60);
    let stranger = gateway.fakes.token(Uuid::new_v4(), false, "k1", 60);
    let mut forged = gateway.user();
    forged.truncate(forged.len() - 4);
    forged.push_str("AAAA");
    let wrong = ["Bearer x", "Basic YTpi", "Bearer gyre_wrong", &format!("Bearer {forged}"), "Bearer é"];
    for bearer in wrong {
        let said = get(&gateway, bearer).await;
        assert_eq!((said.status.as_u16(), said.reason().as_str()), (401, "INVALID_TOKEN"), "{bearer}");
    }
    for (token, reason) in [(expired, "TOKEN_EXPIRED"), (unknown_key, "INVALID_TOKEN"), (stranger, "ACCOUNT_DISABLED")]
    {
        assert_eq!(get(&gateway, &format!("Bearer {token}")).await.reason(), reason);
    }
    assert!(metrics().refusals(Refused::BadToken) >= before + 8);
    assert!(gateway.state.callers.lock().is_empty());
}

#[tokio::test]
async fn the_caller_reaches_the_service_and_nobody_can_pretend() {
    let gateway = Fixture::new().await;
    let forged = ADMIN.to_string();
    let headers = [("gyre-account", forged.as_str()), ("gyre-admin", "1"), ("gyre-route", forged.as_str())];
    gateway.send("GET", &format!("/v1/vms/{VM}"), &headers, "").await;
    get(&gateway, &format!("bearer {API_KEY}")).await;
    get(&gateway, &format!("Bearer {}", gateway.admin())).await;
    // A token that claims more than its account has is worth what the account has.
    get(&gateway, &format!("Bearer {}", gateway.fakes.token(USER, true, "k1", 60))).await;
    let callers: Vec<_> = gateway.state.callers.lock().iter().map(|caller| caller.unwrap()).collect();
    assert_eq!(callers.iter().map(|caller| caller.account_uuid).collect::<Vec<_>>(), [USER, USER, ADMIN, USER]);
    assert_eq!(callers.iter().map(|caller| caller.admin).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(callers[1].api_key_uuid.map(|key| key.to_string()).as_deref(), Some(VM));
}

#[tokio::test]
async fn answers_of_identity_are_remembered() {
    let gateway = Fixture::new().await;
    for _ in 0..20 {
        assert_eq!(get(&gateway, &format!("Bearer {API_KEY}")).await.status, 200);
        assert_eq!(get(&gateway, &format!("Bearer {}", gateway.user())).await.status, 200);
        let unknown_key = gateway.fakes.token(USER, false, "k9", 60);
        assert_eq!(get(&gateway, &format!("Bearer {unknown_key}")).await.status, 401);
    }
    assert_eq!(gateway.state.api_keys_asked.load(Ordering::Relaxed), 1);
    assert!(gateway.state.keys_asked.load(Ordering::Relaxed) <= 3);
}

#[tokio::test]
async fn a_disabled_account_is_out_once_what_is_believed_ends() {
    let gateway = Fixture::new().await;
    let bearer = format!("Bearer {}", gateway.user());
    assert_eq!(get(&gateway, &bearer).await.status, 200);
    gateway.state.standing.lock().insert(USER, (false, false));
    let began = std::time::Instant::now();
    loop {
        let said = get(&gateway, &bearer).await;
        if said.status == 401 {
            assert_eq!(said.reason(), "ACCOUNT_DISABLED");
            break;
        }
        assert!(began.elapsed().as_secs() < 6, "still believed");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn while_identitys_database_is_away_whoever_was_known_goes_on() {
    let gateway = Fixture::new().await;
    let (user, key) = (format!("Bearer {}", gateway.user()), format!("Bearer {API_KEY}"));
    for bearer in [&user, &key] {
        assert_eq!(get(&gateway, bearer).await.status, 200);
    }
    gateway.state.away.store(true, Ordering::Relaxed);
    tokio::time::sleep(std::time::Duration::from_millis(5_500)).await;
    for bearer in [&user, &key] {
        assert_eq!(get(&gateway, bearer).await.status, 200, "longer than an answer is believed");
    }
    let said = get(&gateway, &format!("Bearer {}", gateway.admin())).await;
    assert_eq!(
        (said.status.as_u16(), said.reason().as_str()),
        (503, "DATABASE_AWAY"),
        "who was not known is not let in"
    );
    assert_ne!(said.header("retry-after"), "");
    gateway.state.standing.lock().insert(USER, (false, false));
    gateway.state.away.store(false, Ordering::Relaxed);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(get(&gateway, &user).await.reason(), "ACCOUNT_DISABLED");
}

#[tokio::test]
async fn signing_in_answers_a_token_and_guessing_is_slowed_down() {
    let gateway = Fixture::new().await;
    let sign_in = async |password: &str| {
        let body = format!(r#"{{"account": "admin", "password": "{password}"}}"#);
        gateway.send("POST", "/v1/sessions", &[("authorization", "")], &body).await
    };
    for _ in 0..20 {
        assert_eq!(sign_in("right-password").await.status, 200);
    }
    let token = sign_in("right-password").await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(get(&gateway, &format!("Bearer {token}")).await.status, 200);
    for _ in 0..10 {
        let said = sign_in("wrong").await;
        assert_eq!((said.status.as_u16(), said.reason().as_str()), (401, "WRONG_PASSWORD"));
    }
    let asked = gateway.state.sign_ins.load(Ordering::Relaxed);
    let said = sign_in("right-password").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (429, "TOO_MANY_SIGN_INS"));
    assert_ne!(said.header("retry-after"), "");
    assert_eq!(gateway.state.sign_ins.load(Ordering::Relaxed), asked);
}
