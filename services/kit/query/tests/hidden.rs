//! What only administrators see (`admin_only`): others neither read it nor find out about it by asking, on either database.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use gyre_model::catalog::catalog;
use gyre_model::{Caller, Uuid, time};
use gyre_proto::host::v1::{Cluster, Host, ListHostsResponse, Zone};
use gyre_proto::{Message as _, PageRequest};
use gyre_query::filter::Predicate;
use gyre_query::table::{by_kind, table};
use gyre_query::{Change, Question, ask, get, list, stream};
use gyre_store::{Conn, Store};
use serde_json::Value as Json;

fn insert(conn: &mut Conn, host: &Host, cluster: &Cluster, zone: &Zone) -> gyre_model::Result<()> {
    let change = Change::by(Caller::system());
    gyre_query::insert(conn, &change, zone)?;
    gyre_query::insert(conn, &change, cluster)?;
    gyre_query::insert(conn, &change, host)?;
    Ok(())
}

/// A host on which others have taken room.
async fn host(store: &Store) -> Host {
    let now = Some(time::from_micros(time::now_micros()));
    let uuid = || Uuid::new_v4().to_string();
    let zone = Zone { uuid: uuid(), name: "z".into(), create_time: now, update_time: now, ..Zone::default() };
    let cluster = Cluster {
        uuid: uuid(),
        name: "c".into(),
        zone_uuid: zone.uuid.clone(),
        create_time: now,
        update_time: now,
        ..Cluster::default()
    };
    let host = Host {
        uuid: uuid(),
        name: "h".into(),
        cluster_uuid: cluster.uuid.clone(),
        zone_uuid: zone.uuid.clone(),
        address: "local".into(),
        create_time: now,
        update_time: now,
        cpu_capacity: 64,
        cpu_used: 17,
        memory_used_bytes: 1 << 30,
        unknown_vm_uuids: vec![uuid()],
        unknown_vm_count: 1,
        ..Host::default()
    };
    let written = host.clone();
    store.write("hosts", move |conn| insert(conn, &written, &cluster, &zone)).await.unwrap();
    host
}

fn page<'a>(filter: &'a str, order_by: &'a str, read_mask: &'a [String]) -> PageRequest<'a> {
    PageRequest { filter, order_by, page_size: 10, page_token: "", read_mask, count: true }
}

/// Whether nothing is left of what only administrators see, and all else is.
fn without(host: &Host) -> bool {
    (host.cpu_used, host.memory_used_bytes, host.unknown_vm_count) == (0, 0, 0) && host.unknown_vm_uuids.is_empty()
}

#[tokio::test]
async fn what_only_administrators_see_is_read_by_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let host = host(&store).await;
    let uuid = host.uuid.parse().unwrap();
    for caller in [Caller::of(Uuid::new_v4(), false), Caller::of(Uuid::new_v4(), true)] {
        let admin = caller.admin;
        let masks = [vec![], vec!["*".to_owned()], vec!["cpu_used".to_owned(), "cpu_capacity".to_owned()]];
        let mut all: Vec<Host> = Vec::new();
        for mask in masks {
            let read = move |conn: &mut Conn| list::<ListHostsResponse>(conn, &caller, page("", "", &mask));
            let mut found = store.search("list", read).await.unwrap();
            assert_eq!((found.hosts.len(), found.total_size), (1, Some(1)));
            all.append(&mut found.hosts);
        }
        all.push(store.read("get", move |conn| get(conn, &caller, uuid)).await.unwrap());
        let read = move |conn: &mut Conn| stream::page(conn, &caller, "host", "", None, 10);
        let streamed = store.search("stream", read).await.unwrap().remove(0).message;
        all.push(Host::decode(streamed.as_slice()).unwrap());
        // as the log has it
        let logged = host.encode_to_vec();
        let seen = table::<Host>().seen(&logged, admin).unwrap_or(logged);
        all.push(Host::decode(seen.as_slice()).unwrap());
        for found in &all {
            assert_eq!(found.cpu_capacity, 64);
            assert_eq!(without(found), !admin, "{found:?}");
        }
        // all fields, and by name: nothing is nothing
        for fields in [vec![], vec!["name", "cpu_used"]] {
            let fields = fields.into_iter().map(str::to_owned).collect();
            let question = Question { kind: "host".into(), fields, ..Question::default() };
            let found = store.search("ask", move |conn| ask(conn, &caller, &question)).await.unwrap();
            let used = found.rows[0].get("cpuUsed").unwrap_or(&Json::Null);
            assert_eq!(used.is_null(), !admin, "{:?}", found.rows);
            assert_eq!(found.rows[0]["name"], "h");
        }
    }
}

#[tokio::test]
async fn what_only_administrators_see_is_asked_by_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    host(&store).await;
    let user = Caller::of(Uuid::new_v4(), false);
    let admin = Caller::of(Uuid::new_v4(), true);
    let text = |text: &str| text.to_owned();
    for hidden in ["cpu_used", "memoryUsedBytes", "unknown_vm_count", "unknown_vm_uuids"] {
        let own = |path: &str| path.replace('P', hidden);
        let mut questions = vec![
            Question { kind: text("host"), filter: own("P != null"), ..Question::default() },
            Question { kind: text("host"), filter: own("name = h OR NOT P:*"), ..Question::default() },
            Question { kind: text("cluster"), filter: own("hosts.P != null"), ..Question::default() },
            Question { kind: text("zone"), filter: own("clusters.hosts.P != null"), ..Question::default() },
        ];
        if hidden != "unknown_vm_uuids" {
            questions.extend([
                Question { kind: text("host"), order_by: own("P desc"), ..Question::default() },
                Question { kind: text("vm"), order_by: own("host.P"), ..Question::default() },
                Question { kind: text("host"), group_by: vec![own("P")], ..Question::default() },
                Question { kind: text("vm"), group_by: vec![own("host.P")], ..Question::default() },
                Question { kind: text("host"), sum: vec![own("P")], ..Question::default() },
                Question { kind: text("host"), max: vec![own("P")], ..Question::default() },
            ]);
        }
        for question in questions {
            let asked = question.clone();
            store
                .search("ask", move |conn| ask(conn, &admin, &asked))
                .await
                .unwrap_or_else(|error| panic!("{question:?}: {error}"));
            let asked = question.clone();
            let error = store.search("ask", move |conn| ask(conn, &user, &asked)).await.unwrap_err();
            assert!(error.message().contains("for administrators only"), "{question:?}: {error}");
            // lists and what watches them ask no less
            if question.kind == "host"
                && question.group_by.is_empty()
                && question.sum.is_empty()
                && question.max.is_empty()
            {
                let read = move |conn: &mut Conn| {
                    list::<ListHostsResponse>(conn, &user, page(&question.filter, &question.order_by, &[]))
                };
                assert!(store.search("list", read).await.is_err());
            }
        }
        let filter = own("P != null");
        assert!(Predicate::compile(by_kind("host"), &user, &filter).is_err());
        assert!(Predicate::compile(by_kind("host"), &admin, &filter).is_ok());
        let read = move |conn: &mut Conn| stream::keys(conn, &user, "host", &filter, 10);
        assert!(store.search("keys", read).await.is_err());
    }
}

/// It is honoured where fields are columns; elsewhere it would say what is not so.
#[test]
fn only_columns_of_resources_are_for_administrators_only() {
    let all = catalog().pool().all_messages();
    for message in all.filter_map(|message| catalog().message(message.full_name())) {
        for field in message.fields.iter().filter(|field| field.rule.admin_only) {
            assert!(message.kind.is_some() && !field.rule.not_stored, "{}.{}", message.name, field.name);
        }
    }
}
