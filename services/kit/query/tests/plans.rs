//! What a statement begins with, where few rows are in question: their list, whatever the database thinks of its tables. The tables are
//! such that its statistics mislead: nearly all machines are on one host and have one image, so that a host and an image seem to have
//! half of them, and the few of the others are quickly found, it seems, among all in the order of names.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;

use gyre_model::{Caller, Uuid, parse_uuid};
use gyre_proto::Resource;
use gyre_proto::host::v1::{Cluster, Host, Zone};
use gyre_proto::identity::v1::Account;
use gyre_proto::storage::v1::{Image, Volume};
use gyre_proto::vm::v1::Vm;
use gyre_query::table::by_kind;
use gyre_query::{Answer, Change, Question, ask};
use gyre_store::{Conn, Dialect, Sql, Store};

/// Machines on the host and with the image that most have.
const MANY: i64 = 20_000;
/// Machines on the other host, machines with the other image, and machines of the user's own.
const FEW: i64 = 20;

struct Cloud {
    store: Store,
    user: Uuid,
    _folder: tempfile::TempDir,
}

fn keep<R: Resource>(conn: &mut Conn, resource: &R) -> String {
    gyre_query::insert(conn, &Change::by(Caller::system()), resource).unwrap().uuid().to_owned()
}

/// More machines like one, with names in no order.
fn multiply(conn: &mut Conn, vm: &str, count: i64) {
    let columns: Vec<_> = by_kind("vm").columns.iter().map(|column| column.field.name).collect();
    let (uuid, name, numbers) = match conn.dialect() {
        Dialect::Postgres => {
            ("gen_random_uuid()", "md5(n::text || vm.uuid::text)", "SELECT generate_series(2, CAST(? AS bigint))")
        }
        Dialect::Sqlite => (
            "randomblob(16)",
            "lower(hex(randomblob(16)))",
            "WITH RECURSIVE s(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM s WHERE n < ?) SELECT n FROM s",
        ),
    };
    let (before, after) = numbers.split_once('?').unwrap();
    let values: Vec<_> = columns
        .iter()
        .map(|column| match *column {
            "uuid" => uuid.to_owned(),
            "name" => name.to_owned(),
            other => format!("vm.{other}"),
        })
        .collect();
    let sql = Sql::new(format!("INSERT INTO vm ({}) SELECT {} FROM vm, (", columns.join(", "), values.join(", ")))
        .sql(before)
        .bind(count)
        .sql(format!("{after}) numbers(n) WHERE vm.uuid = "))
        .bind(parse_uuid(vm).unwrap());
    let sql = match conn.dialect() {
        Dialect::Postgres => sql,
        // SQLite names no columns of what stands in FROM
        Dialect::Sqlite => {
            Sql::new(format!("INSERT INTO vm ({}) SELECT {} FROM vm, (", columns.join(", "), values.join(", ")))
                .sql(before)
                .bind(count)
                .sql(format!("{after}) WHERE vm.uuid = "))
                .bind(parse_uuid(vm).unwrap())
        }
    };
    conn.execute(sql).unwrap();
}

fn fill(conn: &mut Conn) -> Uuid {
    let id = || Uuid::new_v4().to_string();
    let account =
        |conn: &mut Conn, name: &str| keep(conn, &Account { uuid: id(), name: name.into(), ..Account::default() });
    let (others, user) = (account(conn, "others"), account(conn, "user"));
    let place = |conn: &mut Conn, name: &str| {
        let zone_uuid = keep(conn, &Zone { uuid: id(), name: name.into(), ..Zone::default() });
        let cluster = Cluster { uuid: id(), name: name.into(), zone_uuid: zone_uuid.clone(), ..Cluster::default() };
        let cluster_uuid = keep(conn, &cluster);
        let host =
            Host { uuid: id(), name: name.into(), zone_uuid, cluster_uuid: cluster_uuid.clone(), ..Host::default() };
        (keep(conn, &host), cluster_uuid)
    };
    let (east, edge) = (place(conn, "east"), place(conn, "edge"));
    let image = |conn: &mut Conn, name: &str| {
        keep(
            conn,
            &Image { uuid: id(), name: name.into(), shared: true, account_uuid: others.clone(), ..Image::default() },
        )
    };
    let (usual, rare) = (image(conn, "usual"), image(conn, "rare"));
    for (place, image, account, count) in [
        (&east, &usual, &others, MANY),
        (&edge, &usual, &others, FEW),
        (&east, &rare, &others, FEW),
        (&east, &usual, &user, FEW),
    ] {
        let vm = Vm {
            uuid: id(),
            name: id(),
            account_uuid: account.clone(),
            host_uuid: place.0.clone(),
            cluster_uuid: place.1.clone(),
            image_uuid: image.clone(),
            cpu_count: 1,
            ..Vm::default()
        };
        let vm = keep(conn, &vm);
        multiply(conn, &vm, count);
        for _ in 0..2 {
            let volume = Volume {
                uuid: id(),
                name: format!("of {}", account == &user),
                vm_uuid: vm.clone(),
                account_uuid: account.clone(),
                host_uuid: place.0.clone(),
                ..Volume::default()
            };
            keep(conn, &volume);
        }
    }
    parse_uuid(&user).unwrap()
}

async fn cloud() -> Cloud {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let user = store.write("cloud", |conn| Ok(fill(conn))).await.unwrap();
    if store.dialect() == Dialect::Postgres {
        store.read("analyze", |conn| Ok(conn.execute(Sql::new("VACUUM ANALYZE vm"))?)).await.unwrap();
    }
    Cloud { store, user, _folder: folder }
}

impl Cloud {
    async fn ask(&self, caller: Caller, question: Question) -> Answer {
        self.store.search("ask", move |conn| ask(conn, &caller, &question)).await.unwrap()
    }

    /// The statement, and the database's plan.
    async fn plan(&self, caller: Caller, question: &Question) -> (String, String) {
        let plan = self.ask(caller, Question { explain: true, ..question.clone() }).await.plan.unwrap();
        (plan.sql, plan.database.join("\n"))
    }

    /// The machines of all pages, which are as many as is said.
    async fn found(&self, caller: Caller, mut question: Question) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        question.count = true;
        let mut total = None;
        loop {
            let page = self.ask(caller, question.clone()).await;
            for row in &page.rows {
                assert!(found.insert(row["uuid"].as_str().unwrap().to_owned()), "twice: {row:?} by {question:?}");
            }
            total = total.or(page.total_size);
            question.page_token = page.next_page_token;
            if question.page_token.is_empty() {
                assert_eq!(total, Some(found.len() as i64), "{question:?}");
                return found;
            }
        }
    }
}

fn machines(filter: &str, order_by: &str) -> Question {
    Question {
        kind: "vm".into(),
        filter: filter.into(),
        order_by: order_by.into(),
        fields: vec!["uuid".into()],
        page_size: 7,
        ..Question::default()
    }
}

#[tokio::test]
async fn a_statement_begins_with_a_short_list() {
    let cloud = cloud().await;
    let admin = Caller::system();
    let postgres = cloud.store.dialect() == Dialect::Postgres;
    let uuid = if postgres { "vm_pkey" } else { "(uuid=?)" };
    for (filter, indexes, count) in [
        ("host.cluster.zone.name = edge", vec!["vm_by_host"], FEW),
        ("host.cluster.zone.name = nowhere", vec!["vm_by_host"], 0),
        ("image.name = rare", vec!["vm_by_image"], FEW),
        ("host.name = east AND cpu_count = 1 AND image.name = rare", vec!["vm_by_image"], FEW),
        ("cluster.zone.name = edge AND NOT image.name = rare", vec!["vm_by_cluster"], FEW),
        ("image.name = rare OR host.name = edge", vec!["vm_by_host", "vm_by_image"], 2 * FEW),
        ("cpu_count = 1 AND (image.name = rare OR host.name = edge)", vec!["vm_by_host", "vm_by_image"], 2 * FEW),
        ("volumes.name = \"of false\"", vec![uuid], 3),
        ("volumes.vm.host.name = edge", vec![uuid], 1),
    ] {
        for order in ["name", "name desc", "", "host.name, name"] {
            let question = machines(filter, order);
            let (statement, plan) = cloud.plan(admin, &question).await;
            let told = format!("{filter} by {order}: {statement}\n{plan}");
            assert!(indexes.iter().all(|index| plan.contains(index)), "{told}");
            for all in ["vm_by_name", "vm_by_time", "Seq Scan on vm", "SCAN r0"] {
                assert!(!plan.contains(all), "{told}");
            }
            assert_eq!(cloud.found(admin, question).await.len() as i64, count, "{told}");
        }
    }
}

#[tokio::test]
async fn a_long_list_is_looked_into_in_the_order_of_the_page() {
    let cloud = cloud().await;
    let admin = Caller::system();
    // what hardly any row is passed over for is read as it comes
    let (sql, plan) = cloud.plan(admin, &machines("host.cluster.zone.name = east", "name")).await;
    assert!(plan.contains("vm_by_name") && !sql.contains("r0.uuid = ANY"), "{sql}\n{plan}");
    // else the page's machines are found first; on PostgreSQL, too, without a look at those that are passed over
    let filter = "host.cluster.zone.name = east AND NOT state = RUNNING";
    let (sql, plan) = cloud.plan(admin, &machines(filter, "name")).await;
    let walk =
        if cloud.store.dialect() == Dialect::Postgres { "Index Only Scan using vm_by_name" } else { "vm_by_name" };
    assert!(plan.contains(walk), "{sql}\n{plan}");
    // pages follow each other either way
    for filter in ["host.cluster.zone.name = east", filter] {
        let mut question = machines(filter, "name desc");
        question.page_size = 1_000;
        assert_eq!(cloud.found(admin, question).await.len() as i64, MANY + 2 * FEW, "{filter}");
    }
    let user = Caller::of(cloud.user, false);
    // what others have on a host makes its list long: the account's own few are looked through
    let east = machines("host.cluster.zone.name = east", "name");
    let (sql, _) = cloud.plan(user, &east).await;
    assert!(!sql.contains("(SELECT * FROM vm "), "{sql}");
    assert_eq!(cloud.found(user, east).await.len() as i64, FEW);
    // a short one is begun with, and what is found by it is still only what is the account's own
    let edge = machines("host.cluster.zone.name = edge OR image.name = rare", "name");
    let (sql, _) = cloud.plan(user, &edge).await;
    assert_eq!(sql.contains("(SELECT * FROM vm "), cloud.store.dialect() == Dialect::Postgres, "{sql}");
    assert!(cloud.found(user, edge).await.is_empty());
}

#[tokio::test]
async fn resources_that_are_named_are_what_a_statement_begins_with() {
    let cloud = cloud().await;
    let admin = Caller::system();
    let edge: Vec<_> = cloud.found(admin, machines("host.name = edge", "")).await.into_iter().collect();
    let east = cloud.ask(admin, machines("host.name = east", "")).await;
    let mut uuids: Vec<_> = edge.iter().take(3).map(|text| parse_uuid(text).unwrap()).collect();
    let expected: BTreeSet<_> = uuids.iter().copied().collect();
    uuids.push(parse_uuid(east.rows[0]["uuid"].as_str().unwrap()).unwrap());
    let found = cloud
        .store
        .search("matching", move |conn| {
            let matching = gyre_query::matching(conn, &admin, "vm", "host.name = edge", &uuids)?;
            let among = gyre_query::stream::among(conn, &admin, "vm", "host.name = edge", &uuids)?;
            assert_eq!(among.iter().map(|one| one.uuid).collect::<BTreeSet<_>>(), matching.iter().copied().collect());
            Ok(matching)
        })
        .await
        .unwrap();
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
}
