//! Accounts: who may do what to them, and what must not happen.

use gyre_model::{Caller, Error, Kind, Uuid};
use gyre_proto::FieldMask;
use gyre_proto::identity::v1::{
    Account, AccountState, AccountType, ApiKey, CreateAccountRequest, DeleteAccountRequest, DisableAccountRequest,
    EnableAccountRequest, GetAccountRequest, ListAccountsRequest, UpdateAccountRequest,
};
use gyre_query::Change;

use crate::support::{Env, PASSWORD, account, caller, reason};

fn update(account: Account, paths: &[&str]) -> UpdateAccountRequest {
    let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
    let update_mask = (!paths.is_empty()).then_some(FieldMask { paths });
    UpdateAccountRequest { account: Some(account), update_mask, request_id: String::new() }
}

fn disable(uuid: &str) -> DisableAccountRequest {
    DisableAccountRequest { uuid: uuid.into(), request_id: String::new() }
}

fn delete(uuid: &str) -> DeleteAccountRequest {
    DeleteAccountRequest { uuid: uuid.into(), ..Default::default() }
}

#[tokio::test]
async fn an_account_is_made_read_and_listed_without_its_password() {
    let env = Env::new().await;
    let made = env.account("alice", AccountType::Unspecified).await;
    assert_eq!((made.state(), made.r#type()), (AccountState::Enabled, AccountType::Normal));
    assert_eq!((made.password.as_str(), made.generation), ("", 1));
    let get = GetAccountRequest { uuid: made.uuid.clone() };
    assert_eq!(env.accounts(env.admin).get_account(get.clone()).await.unwrap().into_inner(), made);
    let (bob, _) = env.user("bob").await;
    assert_eq!(reason(env.accounts(bob).get_account(get).await), "NOT_FOUND");
    let list = |caller| {
        let mut accounts = env.accounts(caller);
        async move { accounts.list_accounts(ListAccountsRequest::default()).await.unwrap().into_inner().accounts }
    };
    assert_eq!(list(env.admin).await.len(), 3);
    assert_eq!(list(bob).await.iter().map(|account| account.name.as_str()).collect::<Vec<_>>(), ["bob"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_new_account_is_said() {
    let env = Env::new().await;
    env.account("alice", AccountType::Normal).await;
    let error = env.create(account("alice", AccountType::Normal)).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::AlreadyExists, "ACCOUNT_NAME_TAKEN"));
    assert_eq!(error.violations()[0].field, "account.name");
    for (wrong, field) in [
        (Account { password: String::new(), ..account("x", AccountType::Normal) }, "account.password"),
        (Account { password: "7 chars".into(), ..account("x", AccountType::Normal) }, "account.password"),
        (Account { password: "x".repeat(257), ..account("x", AccountType::Normal) }, "account.password"),
        (account("Upper Case", AccountType::Normal), "account.name"),
        (account("", AccountType::Normal), "account.name"),
    ] {
        let error = env.create(wrong).await.unwrap_err();
        assert_eq!((error.kind(), error.violations()[0].field.as_str()), (Kind::InvalidArgument, field), "{error}");
        assert!(!error.to_string().contains("7 chars"), "{error}");
    }
    let (bob, _) = env.user("bob").await;
    let request = CreateAccountRequest { account: Some(account("eve", AccountType::Admin)), ..Default::default() };
    assert_eq!(reason(env.accounts(bob).create_account(request).await), "ADMIN_ONLY");
    assert_eq!(env.number("SELECT COUNT(*) FROM account").await, 3);
    assert_eq!(env.number("SELECT COUNT(*) FROM account_password").await, 3);
}

#[tokio::test]
async fn the_same_wish_twice_makes_one_account() {
    let env = Env::new().await;
    let request =
        CreateAccountRequest { account: Some(account("alice", AccountType::Normal)), request_id: "wish".into() };
    let one = env.accounts(env.admin).create_account(request.clone()).await.unwrap().into_inner();
    let two = env.accounts(env.admin).create_account(request).await.unwrap().into_inner();
    assert_eq!(one, two);
}

#[tokio::test]
async fn an_account_changes_its_own_description_and_password_and_nothing_else() {
    let env = Env::new().await;
    let (alice, account) = env.user("alice").await;
    let (bob, _) = env.user("bob").await;
    let uuid = account.uuid.clone();
    let patch = Account { uuid: uuid.clone(), description: "mine".into(), ..Account::default() };
    let changed = env.accounts(alice).update_account(update(patch.clone(), &[])).await.unwrap().into_inner();
    assert_eq!((changed.description.as_str(), changed.generation), ("mine", 2));

    let next = Account { password: "another password".into(), ..patch.clone() };
    let other = Account { description: "not named".into(), ..next.clone() };
    let changed = env.accounts(alice).update_account(update(other, &["password"])).await.unwrap().into_inner();
    assert_eq!((changed.description.as_str(), changed.generation, changed.password.as_str()), ("mine", 3, ""));
    env.sign_in("alice", "another password").await.unwrap();
    assert_eq!(env.sign_in("alice", PASSWORD).await.unwrap_err().reason(), "LOGIN_FAILED");

    // not named by the mask: not changed
    let ignored = Account { password: "yet another one".into(), ..patch.clone() };
    env.accounts(alice).update_account(update(ignored, &["description"])).await.unwrap();
    env.sign_in("alice", "another password").await.unwrap();

    assert_eq!(reason(env.accounts(bob).update_account(update(next.clone(), &["password"])).await), "NOT_FOUND");
    env.sign_in("alice", "another password").await.unwrap();
    let taken_over = Account { password: "set by an administrator".into(), ..patch.clone() };
    env.accounts(env.admin).update_account(update(taken_over, &[])).await.unwrap();
    env.sign_in("alice", "set by an administrator").await.unwrap();

    let stale = Account { generation: 1, password: "comes too late".into(), ..patch.clone() };
    assert_eq!(reason(env.accounts(alice).update_account(update(stale, &["password"])).await), "STALE_GENERATION");
    env.sign_in("alice", "set by an administrator").await.unwrap();

    for (wrong, paths) in [
        (Account { name: "root2".into(), ..patch.clone() }, &["name"][..]),
        (Account { r#type: AccountType::Admin.into(), ..patch.clone() }, &["type"]),
        (Account { state: AccountState::Disabled.into(), ..patch.clone() }, &["state"]),
        (patch.clone(), &["password"]),
        (patch.clone(), &["wings"]),
        (Account { password: "short".into(), ..patch.clone() }, &["password"]),
    ] {
        assert_eq!(
            reason(env.accounts(alice).update_account(update(wrong, paths)).await),
            "INVALID_FIELD",
            "{paths:?}"
        );
    }
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let env = Env::new().await;
    let root = env.admin.account_uuid.to_string();
    assert_eq!(reason(env.accounts(env.admin).disable_account(disable(&root)).await), "LAST_ADMIN");
    assert_eq!(reason(env.accounts(env.admin).delete_account(delete(&root)).await), "LAST_ADMIN");

    let second = env.account("second", AccountType::Admin).await;
    let disabled = env.accounts(env.admin).disable_account(disable(&second.uuid)).await.unwrap().into_inner();
    assert_eq!(disabled.state(), AccountState::Disabled);
    // one that is disabled does not count
    assert_eq!(reason(env.accounts(env.admin).disable_account(disable(&root)).await), "LAST_ADMIN");
    let again = env.accounts(env.admin).disable_account(disable(&second.uuid)).await.unwrap().into_inner();
    assert_eq!(again, disabled);
    let enable = EnableAccountRequest { uuid: second.uuid.clone(), request_id: String::new() };
    env.accounts(env.admin).enable_account(enable).await.unwrap();

    // each disables the other at once: one of them is refused
    let mut one = env.accounts(env.admin);
    let mut two = env.accounts(caller(&second, true));
    let (one, two) = tokio::join!(one.disable_account(disable(&second.uuid)), two.disable_account(disable(&root)));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let left = "SELECT COUNT(*) FROM account WHERE type = 'ADMIN' AND state = 'ENABLED'";
    assert_eq!(env.number(left).await, 1);
}

#[tokio::test]
async fn an_account_that_owns_something_is_not_deleted() {
    let env = Env::new().await;
    let (alice, account) = env.user("alice").await;
    for name in ["one", "two"] {
        env.key(alice, ApiKey { name: name.into(), ..ApiKey::default() }, "").await.unwrap();
    }
    let vm = gyre_proto::vm::v1::Vm {
        uuid: Uuid::new_v4().to_string(),
        name: "web-1".into(),
        account_uuid: account.uuid.clone(),
        ..Default::default()
    };
    let change = Change::by(Caller::system());
    env.store.write("vm", move |conn| gyre_query::insert(conn, &change, &vm)).await.unwrap();
    let refused = env.accounts(env.admin).delete_account(delete(&account.uuid)).await;
    let error = Error::from(refused.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::FailedPrecondition, "NEEDS_CASCADE"));
    let counts: Vec<_> = error.metadata().iter().map(|(kind, count)| (kind.as_str(), count.as_str())).collect();
    assert_eq!(counts, [("vms", "1")]);

    let (_, bob) = env.user("bob").await;
    env.done(env.accounts(env.admin).delete_account(delete(&bob.uuid)).await).await;
    assert_eq!(reason(env.accounts(env.admin).delete_account(delete(&bob.uuid)).await), "NOT_FOUND");
    assert_eq!(env.sign_in("bob", PASSWORD).await.unwrap_err().reason(), "LOGIN_FAILED");
    assert_eq!(env.number("SELECT COUNT(*) FROM account_password").await, 2);
    let name_is_free = env.account("bob", AccountType::Normal).await;
    assert_ne!(name_is_free.uuid, bob.uuid);
}
