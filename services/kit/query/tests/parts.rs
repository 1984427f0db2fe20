//! Fields inside of messages that a column holds: shown, sorted by and grouped by as the row's own are, on either database.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use gyre_model::{Caller, Uuid, time};
use gyre_proto::PageRequest;
use gyre_proto::common::v1::{Error, ListOperationsResponse, Operation, OperationStep};
use gyre_query::{Answer, Change, Question, ask, list};
use gyre_store::Store;
use serde_json::{Value as Json, json};

async fn operation(store: &Store, workflow: &str, reason: Option<&str>) {
    let error = reason.map(|reason| Error { code: "ABORTED".into(), reason: reason.into(), ..Error::default() });
    let now = Some(time::from_micros(time::now_micros()));
    let uuid = Uuid::new_v4().to_string();
    let operation = Operation {
        uuid: uuid.clone(),
        workflow: workflow.into(),
        resource_uuid: uuid,
        create_time: now,
        update_time: now,
        error,
        steps: [1, 7].map(|percent| OperationStep { percent, ..OperationStep::default() })[..workflow.len()].to_vec(),
        ..Operation::default()
    };
    let insert = move |conn: &mut _| gyre_query::insert(conn, &Change::by(Caller::system()), &operation);
    store.write("operation", insert).await.unwrap();
}

async fn asked(store: &Store, question: Question) -> gyre_model::Result<Answer> {
    let question = Question { kind: "operation".into(), ..question };
    store.search("ask", move |conn| ask(conn, &Caller::system(), &question)).await
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn fields_of_messages_are_like_fields_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    for (workflow, reason) in
        [("a", Some("NO_ROOM")), ("b", None), ("c", Some("AWAY")), ("d", Some("NO_ROOM")), ("e", Some(""))]
    {
        operation(&store, workflow, reason).await;
    }
    // page by page: what has no reason comes first
    for (order, expected) in [("error.reason,workflow", "becad"), ("error.reason desc, workflow", "adcbe")] {
        let (mut token, mut found, mut listed) = (String::new(), String::new(), String::new());
        loop {
            let (fields, order_by) = (texts(&["workflow", "error.reason"]), order.to_owned());
            let question = Question { fields, order_by, page_size: 2, page_token: token, ..Question::default() };
            let page = asked(&store, question).await.unwrap();
            for row in &page.rows {
                found.push_str(row["workflow"].as_str().unwrap());
                let reason = row["error"]["reason"].as_str();
                assert_eq!(reason.is_none(), "be".contains(row["workflow"].as_str().unwrap()), "{row:?}");
            }
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        loop {
            let asked = token.clone();
            let read = move |conn: &mut _| -> gyre_model::Result<ListOperationsResponse> {
                let page = PageRequest {
                    filter: "",
                    order_by: order,
                    page_size: 2,
                    page_token: &asked,
                    read_mask: &[],
                    count: false,
                };
                list(conn, &Caller::system(), page)
            };
            let page = store.search("list", read).await.unwrap();
            page.operations.iter().for_each(|row| listed.push_str(&row.workflow));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((found.as_str(), listed.as_str()), (expected, expected), "{order}");
    }
    let question = Question {
        group_by: texts(&["error.reason"]),
        max: texts(&["error.code"]),
        order_by: "error.reason".into(),
        count: true,
        ..Question::default()
    };
    let groups = asked(&store, question).await.unwrap();
    let rows: Vec<_> = groups.rows.into_iter().map(Json::Object).collect();
    assert_eq!(groups.total_size, Some(3));
    assert_eq!(rows[0]["count"], "2");
    assert_eq!(rows[0]["error"], json!({"reason": null}));
    assert_eq!(rows[1], json!({"count": "1", "error": {"reason": "AWAY"}, "max": {"error": {"code": "ABORTED"}}}));
    assert_eq!(rows[2]["error"], json!({"reason": "NO_ROOM"}));
    // what is counted and is nothing
    let question = Question { filter: "error.reason = NEVER".into(), count: true, ..Question::default() };
    assert_eq!(asked(&store, question).await.unwrap().total_size, Some(0));
    // of a list of messages one has to have more
    for (filter, expected) in [("steps.percent > 0", 5), ("steps.percent > 1", 0), ("NOT steps.percent <= 1", 0)] {
        let question = Question { filter: filter.into(), count: true, ..Question::default() };
        assert_eq!(asked(&store, question).await.unwrap().total_size, Some(expected), "{filter}");
    }
    for (wrong, told) in [
        ("error.metadata", "no plain value"),
        ("error.field_violations", "no plain value"),
        ("error.raeson", "did you mean \"reason\""),
        ("steps.name", "more than one value"),
        ("error.reason.x", "at most one field below error"),
    ] {
        let question = Question { order_by: wrong.into(), ..Question::default() };
        let error = asked(&store, question).await.unwrap_err();
        assert!(error.message().contains(told), "{wrong}: {error}");
    }
}
