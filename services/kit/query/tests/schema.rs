//! The tables that the migrations make are those that the .proto files speak of, and resources come back from them as they went in.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use gyre_model::{Caller, Kind, Uuid};
use gyre_proto::PageRequest;
use gyre_proto::host::v1::{ListZonesResponse, Zone};
use gyre_query::{Change, table};
use gyre_store::{Sql, Store, StoreConfig};

async fn store(folder: &tempfile::TempDir) -> Store {
    let store = Store::open(&StoreConfig::new(format!("sqlite://{}/gyre.db", folder.path().display()))).unwrap();
    store.migrate().await.unwrap();
    assert_eq!(store.migrate().await.unwrap(), Vec::<String>::new());
    store
}

#[tokio::test]
async fn every_stored_field_has_its_column_and_every_column_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    for kind in gyre_model::catalog().kinds() {
        let table = table::by_kind(kind.kind);
        let sql = Sql::new("SELECT name, \"notnull\" FROM pragma_table_info(").bind(kind.table).sql(")");
        let columns = store
            .read("columns", move |conn| {
                let rows = conn.query(sql)?;
                rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect::<gyre_model::Result<Vec<_>>>()
            })
            .await
            .unwrap();
        let mut expected: Vec<_> = table.columns.iter().map(|column| column.field.name.to_owned()).collect();
        expected.sort();
        let mut columns = columns;
        columns.sort();
        assert_eq!(columns, expected, "{}", kind.kind);
    }
}

#[tokio::test]
async fn resources_are_written_listed_changed_and_logged() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let change = Change::by(Caller::system());
    let zones: Vec<Zone> = (0..5)
        .map(|at| Zone { uuid: Uuid::new_v4().to_string(), name: format!("zone-{at}"), ..Zone::default() })
        .collect();
    for zone in zones.clone() {
        let stored = store.write("insert", move |conn| gyre_query::insert(conn, &change, &zone)).await.unwrap();
        assert_eq!(stored.generation, 1);
        assert!(stored.create_time.is_some());
    }
    let twice = zones[0].clone();
    let error = store.write("insert", move |conn| gyre_query::insert(conn, &change, &twice)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists);

    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let page_token = token.clone();
        let page: ListZonesResponse = store
            .search("list", move |conn| {
                let page = PageRequest {
                    filter: "name = \"zone-*\" AND NOT name = \"zone-3\"",
                    order_by: "name desc",
                    page_size: 2,
                    page_token: &page_token,
                    ..PageRequest::default()
                };
                gyre_query::list(conn, &Caller::system(), page)
            })
            .await
            .unwrap();
        names.extend(page.zones.into_iter().map(|zone| zone.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["zone-4", "zone-2", "zone-1", "zone-0"]);

    let uuid: Uuid = zones[1].uuid.parse().unwrap();
    let changed = store
        .write("update", move |conn| {
            let mut zone: Zone = gyre_query::get(conn, &Caller::system(), uuid)?;
            zone.description = "changed".into();
            gyre_query::update(conn, &change, &zone)
        })
        .await
        .unwrap();
    assert_eq!((changed.generation, changed.description.as_str()), (2, "changed"));
    let stale = Zone { generation: 1, ..changed };
    let error = store.write("update", move |conn| gyre_query::update(conn, &change, &stale)).await.unwrap_err();
    assert_eq!(error.reason(), "STALE_GENERATION");
    assert!(store.write("delete", move |conn| gyre_query::delete::<Zone>(conn, &change, uuid)).await.unwrap());
    let actions = store
        .read("log", move |conn| {
            let rows = conn.query(
                Sql::new("SELECT action FROM change_log WHERE resource_uuid = ").bind(uuid).sql(" ORDER BY position"),
            )?;
            rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect::<gyre_model::Result<Vec<_>>>()
        })
        .await
        .unwrap();
    assert_eq!(actions, ["CREATE", "UPDATE", "DELETE"]);
}
