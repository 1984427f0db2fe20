//! Tags against a model of them: random changes of some resources by several accounts, on either database. What is read, page by page
//! and one by one, is what the model says, and no row is left of what is gone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::{BTreeMap, BTreeSet};

use gyre_model::{Caller, Uuid, parse_uuid};
use gyre_proto::PageRequest;
use gyre_proto::common::v1::{ListTagsResponse, Tag};
use gyre_proto::identity::v1::{ApiKey, ListApiKeysResponse};
use gyre_query::{Change, Question, tags};
use gyre_store::{Sql, Store};

/// Numbers without a pattern that a seed decides (splitmix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((u128::from(mixed ^ (mixed >> 31)) * below as u128) >> 64).unwrap()
    }

    fn text(&mut self) -> String {
        ["env=prod", "env=test", "canary", "rack=7", "é=ü%_!", "a=b=c"][self.below(6)].to_owned()
    }

    fn texts(&mut self) -> Vec<String> {
        let count = self.below(4);
        (0..count).map(|_| self.text()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// A resource as the model has it.
#[derive(Clone)]
struct Known {
    account: Uuid,
    generation: i64,
    tags: BTreeSet<String>,
}

async fn account(store: &Store, at: usize) -> Uuid {
    use gyre_proto::identity::v1::Account;
    let uuid = Uuid::new_v4();
    let account = Account {
        uuid: uuid.to_string(),
        name: format!("user-{at}"),
        tags: vec!["class=user".into()],
        ..Account::default()
    };
    let insert = move |conn: &mut _| gyre_query::insert(conn, &Change::by(Caller::system()), &account);
    store.write("account", insert).await.unwrap();
    uuid
}

fn all() -> PageRequest<'static> {
    PageRequest { filter: "", order_by: "uuid", page_size: 1000, page_token: "", read_mask: &[], count: false }
}

#[tokio::test]
async fn whatever_changes_tags_are_what_the_model_says() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let accounts = [account(&store, 0).await, account(&store, 1).await];
    let seed = Uuid::new_v4().as_u64_pair().0;
    println!("seed {seed}");
    let mut draw = Draw(seed);
    let mut model: BTreeMap<Uuid, Known> = BTreeMap::new();
    for _ in 0..300 {
        let caller = Caller::of(accounts[draw.below(2)], false);
        let change = Change::by(caller);
        let picked = model.keys().nth(draw.below(model.len().max(1))).copied();
        let known = picked.and_then(|uuid| model.get(&uuid).cloned());
        let (Some(uuid), Some(mut known)) = (picked, known) else {
            made(&store, &mut model, &mut draw, change).await;
            continue;
        };
        let own = known.account == caller.account_uuid;
        match draw.below(5) {
            0 if model.len() < 12 => made(&store, &mut model, &mut draw, change).await,
            0 | 1 => {
                let texts = draw.texts();
                let wanted: BTreeSet<_> = texts.iter().cloned().collect();
                let write = move |conn: &mut _| {
                    let mut key: ApiKey = gyre_query::get(conn, &caller, uuid)?;
                    key.tags = texts;
                    gyre_query::update(conn, &change, &key)
                };
                let changed = store.write("update", write).await;
                assert_eq!(changed.is_ok(), own);
                if let Ok(key) = changed {
                    known.tags = wanted;
                    known.generation += 1;
                    assert_eq!(key.tags.iter().cloned().collect::<BTreeSet<_>>(), known.tags);
                    model.insert(uuid, known);
                }
            }
            2 => {
                let text = draw.text();
                let tag = Tag {
                    resource_kind: "api-key".into(),
                    resource_uuid: uuid.to_string(),
                    text: text.clone(),
                    ..Tag::default()
                };
                let added = store.write("add", move |conn| tags::add(conn, &change, tag)).await;
                assert_eq!(added.is_ok(), own && !known.tags.contains(&text), "{added:?}");
                if added.is_ok() {
                    known.tags.insert(text);
                    known.generation += 1;
                    model.insert(uuid, known);
                }
            }
            3 => {
                let rows = store.read("rows", move |conn| {
                    gyre_query::select::<Tag>(conn, Sql::new("resource_uuid = ").bind(uuid).sql(" ORDER BY text"))
                });
                let rows = rows.await.unwrap();
                let Some(tag) = rows.get(draw.below(rows.len().max(1))).cloned() else { continue };
                let named = parse_uuid(&tag.uuid).unwrap();
                let gone = store.write("remove", move |conn| tags::remove(conn, &change, named)).await;
                assert_eq!(gone.is_ok(), own);
                if own {
                    known.tags.remove(&tag.text);
                    known.generation += 1;
                    model.insert(uuid, known);
                }
            }
            _ => {
                let gone = store.write("delete", move |conn| gyre_query::delete::<ApiKey>(conn, &change, uuid));
                assert!(gone.await.unwrap());
                model.remove(&uuid);
            }
        }
    }
    for account in accounts {
        compare(&store, &model, account).await;
    }
}

async fn made(store: &Store, model: &mut BTreeMap<Uuid, Known>, draw: &mut Draw, change: Change) {
    let uuid = Uuid::new_v4();
    let account = change.caller.account_uuid;
    let tags = draw.texts();
    let key = ApiKey {
        uuid: uuid.to_string(),
        name: "key".into(),
        account_uuid: account.to_string(),
        tags: tags.clone(),
        ..ApiKey::default()
    };
    store.write("insert", move |conn| gyre_query::insert(conn, &change, &key)).await.unwrap();
    model.insert(uuid, Known { account, generation: 1, tags: tags.into_iter().collect() });
}

/// What an account sees is what the model says.
async fn compare(store: &Store, model: &BTreeMap<Uuid, Known>, account: Uuid) {
    let caller = Caller::of(account, false);
    let own: BTreeMap<_, _> = model.iter().filter(|(_, known)| known.account == account).collect();
    let page: ListApiKeysResponse =
        store.search("list", move |conn| gyre_query::list(conn, &caller, all())).await.unwrap();
    assert_eq!(page.api_keys.len(), own.len());
    for key in page.api_keys {
        let known = own[&parse_uuid(&key.uuid).unwrap()];
        assert_eq!(key.tags, known.tags.iter().cloned().collect::<Vec<_>>(), "in order");
        assert_eq!(key.generation, known.generation);
        let uuid = parse_uuid(&key.uuid).unwrap();
        let one: ApiKey = store.read("get", move |conn| gyre_query::get(conn, &caller, uuid)).await.unwrap();
        assert_eq!(one, key);
    }
    shown(store, &own, account).await;
    let page: ListTagsResponse =
        store.search("tags", move |conn| gyre_query::list(conn, &caller, all())).await.unwrap();
    let found: BTreeSet<_> = page.tags.iter().map(|tag| (tag.resource_uuid.clone(), tag.text.clone())).collect();
    let expected: BTreeSet<_> = own
        .iter()
        .flat_map(|(uuid, known)| known.tags.iter().map(move |text| (uuid.to_string(), text.clone())))
        .chain([(account.to_string(), "class=user".to_owned())])
        .collect();
    assert_eq!(found, expected);
    assert_eq!(page.tags.len(), expected.len());
}

/// `Query` shows tags beside fields and paths, of the rows and of what they refer to; nobody sorts or groups by them.
async fn shown(store: &Store, own: &BTreeMap<&Uuid, &Known>, account: Uuid) {
    let caller = Caller::of(account, false);
    let ask = |fields: &[&str], order_by: &str, group_by: &[&str]| {
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        let question = Question {
            kind: "api-key".into(),
            order_by: order_by.into(),
            page_size: 1000,
            fields: texts(fields),
            group_by: texts(group_by),
            ..Question::default()
        };
        store.search("query", move |conn| gyre_query::ask(conn, &caller, &question))
    };
    for fields in [&["uuid", "tags", "account.name", "account.tags"][..], &[]] {
        let answer = ask(fields, "uuid", &[]).await.unwrap();
        assert_eq!(answer.rows.len(), own.len());
        for row in answer.rows {
            let known = own[&parse_uuid(row["uuid"].as_str().unwrap()).unwrap()];
            assert_eq!(row["tags"], serde_json::json!(known.tags), "in order");
            if !fields.is_empty() {
                assert_eq!(row["account"]["tags"], serde_json::json!(["class=user"]));
            }
        }
    }
    for (fields, order_by, group_by) in
        [(&["uuid"][..], "tags", &[][..]), (&[], "", &["tags"]), (&["account.api_keys.tags"], "", &[])]
    {
        let refused = ask(fields, order_by, group_by).await.unwrap_err();
        assert!(refused.message().contains("more than one value, at character 1"), "{refused}");
    }
}
