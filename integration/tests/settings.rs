//! Settings through the front door: declared, set nearer and nearer, effective, taken away; who may; and what they change.

use anyhow::{Context as _, Result};
use gyre_agent::Simulation;
use gyre_integration::front::Answer;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use gyre_model::parse_uuid;
use gyre_store::Sql;
use http::{Method, StatusCode};
use serde_json::{Value, json};

async fn node(folder: &tempfile::TempDir) -> Result<TestNode> {
    TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await
}

const GRACE: &str = "vm.stop-grace";

/// What a value is for: nothing is the whole cloud.
type Target<'a> = Option<(&'a str, &'a str)>;

async fn set(front: &Front, name: &str, value: &str, on: Target<'_>) -> Result<Answer> {
    let mut body = json!({"value": value});
    if let Some((kind, uuid)) = on {
        body["resourceKind"] = json!(kind);
        body["resourceUuid"] = json!(uuid);
    }
    front.post(&format!("/v1/settings/{name}:set"), body).await
}

async fn unset(front: &Front, name: &str, on: Target<'_>) -> Result<Answer> {
    let body = on.map_or(json!({}), |(kind, uuid)| json!({"resourceKind": kind, "resourceUuid": uuid}));
    front.post(&format!("/v1/settings/{name}:unset"), body).await
}

/// The value that holds for something, and where it comes from.
async fn holds(front: &Front, name: &str, on: Target<'_>) -> Result<(String, String)> {
    let query = on.map_or(String::new(), |(kind, uuid)| format!("?resourceKind={kind}&resourceUuid={uuid}"));
    let found = front.get(&format!("/v1/settings/{name}:effective{query}")).await?.good()?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Ok((text("value"), text("scope").trim_start_matches("SETTING_SCOPE_").to_owned()))
}

fn pair(value: &str, scope: &str) -> (String, String) {
    (value.to_owned(), scope.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_value_wins_and_every_change_is_logged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let admin = node.front().await?;
    let site = admin.site("settings", &["local"], "/var/lib/gyre").await?;
    let image = admin.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    let account = admin.make("/v1/accounts", json!({"name": "ann", "password": "correct horse"})).await?;
    let ann = Front::sign_in(&node.endpoint(), "ann", "correct horse").await?;
    let vm = ann.done(Method::POST, "/v1/vms", Some(Front::vm(&site, &image, "web-1"))).await?;
    let on = Some(("vm", vm.as_str()));

    assert_eq!(holds(&ann, GRACE, on).await?, pair("30s", "DEFAULT"));
    let steps: [(&str, Target<'_>, &str); 5] = [
        ("40s", None, "GLOBAL"),
        ("50s", Some(("zone", &site.zone)), "ZONE"),
        ("60s", Some(("cluster", &site.cluster)), "CLUSTER"),
        ("70s", Some(("account", &account)), "ACCOUNT"),
        ("80s", on, "RESOURCE"),
    ];
    let one_form = |value: &str| if value == "60s" { "1m".to_owned() } else { value.to_owned() };
    for (value, target, scope) in steps {
        let made = set(&admin, GRACE, value, target).await?.good()?;
        assert_eq!((made["name"].as_str(), made["value"].as_str()), (Some(GRACE), Some(one_form(value).as_str())));
        assert_eq!(holds(&ann, GRACE, on).await?, (one_form(value), scope.to_owned()));
    }
    // what holds elsewhere is another's
    assert_eq!(holds(&admin, GRACE, None).await?, pair("40s", "GLOBAL"));
    assert_eq!(holds(&admin, GRACE, Some(("cluster", &site.cluster))).await?, pair("1m", "CLUSTER"));
    assert_eq!(holds(&ann, GRACE, Some(("account", &account))).await?, pair("70s", "ACCOUNT"));
    // the same again changes nothing, another value takes its place
    let again = set(&admin, GRACE, "40s", None).await?.good()?;
    assert_eq!(again["generation"], "1");
    let other = set(&admin, GRACE, "45s", None).await?.good()?;
    assert_eq!((&other["generation"], &other["uuid"]), (&json!("2"), &again["uuid"]));

    let listed = admin.get("/v1/settings?filter=name%20=%20%22vm.*%22").await?.good()?;
    assert_eq!(listed["settings"].as_array().map(Vec::len), Some(5));
    let uuid = again["uuid"].as_str().context("a UUID")?.to_owned();
    assert_eq!(admin.get(&format!("/v1/settings/{uuid}")).await?.good()?, other);

    // away again, from near to far
    for ((_, target, _), (value, scope)) in steps.iter().rev().zip([
        ("70s", "ACCOUNT"),
        ("1m", "CLUSTER"),
        ("50s", "ZONE"),
        ("45s", "GLOBAL"),
        ("30s", "DEFAULT"),
    ]) {
        unset(&admin, GRACE, *target).await?.good()?;
        assert_eq!(holds(&ann, GRACE, on).await?, pair(value, scope));
        unset(&admin, GRACE, *target).await?.good()?;
    }
    let log = node.node().store().read("test-log", move |conn| {
        let sql = Sql::new("SELECT action, after FROM change_log WHERE kind = 'setting' AND resource_uuid = ");
        let rows = conn.query(sql.bind(parse_uuid(&uuid).unwrap_or_default()).sql(" ORDER BY position"))?;
        let texts = rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.opt_text(1)?.unwrap_or("{}").to_owned())));
        texts.collect::<gyre_model::Result<Vec<_>>>()
    });
    let mut told = Vec::new();
    for (action, after) in log.await? {
        let after: Value = serde_json::from_str(&after)?;
        told.push((action, after["value"].as_str().unwrap_or_default().to_owned()));
    }
    let expected = [("CREATE", "40s"), ("UPDATE", "45s"), ("DELETE", "")];
    assert_eq!(told, expected.map(|(action, value)| pair(action, value)));

    // what holds for a thing goes with it
    set(&ann, GRACE, "5s", on).await?.good()?;
    ann.done(Method::DELETE, &format!("/v1/vms/{vm}"), None).await?;
    ann.done(Method::POST, &format!("/v1/vms/{vm}:expunge"), Some(json!({}))).await?;
    assert!(admin.get("/v1/settings").await?.good()?["settings"].is_null());
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_not_do_is_refused_with_name_value_and_bounds() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let admin = node.front().await?;
    let zone = admin.make("/v1/zones", json!({"name": "east"})).await?;
    let account = admin.make("/v1/accounts", json!({"name": "ann", "password": "correct horse"})).await?;
    admin.make("/v1/accounts", json!({"name": "bob", "password": "correct horse"})).await?;
    let ann = Front::sign_in(&node.endpoint(), "ann", "correct horse").await?;
    let bob = Front::sign_in(&node.endpoint(), "bob", "correct horse").await?;
    let on = Some(("account", account.as_str()));

    let high = set(&admin, GRACE, "2h", None).await?;
    let told = high.body["detail"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains("vm.stop-grace: must be between 1s and 1h, got \"2h\""), "{told}");
    for (name, value, target, reason) in [
        (GRACE, "soon", None, "INVALID_FIELD"),
        ("vm.stop-grease", "1s", None, "UNKNOWN_SETTING"),
        ("vm.start-limit", "1m", on, "SETTING_NOT_HERE"),
        (GRACE, "1m", Some(("host", account.as_str())), "NOT_FOUND"),
        (GRACE, "1m", Some(("wing", account.as_str())), "INVALID_FIELD"),
    ] {
        let answer = set(&admin, name, value, target).await?;
        assert!(answer.status.is_client_error(), "{name} {value}: {}", answer.body);
        assert_eq!(answer.reason(), reason, "{name} {value}: {}", answer.body);
    }
    // accounts set for themselves what is theirs to set
    set(&ann, GRACE, "10s", on).await?.good()?;
    assert_eq!(set(&ann, GRACE, "10s", None).await?.reason(), "SETTING_NOT_YOURS");
    assert_eq!(set(&ann, GRACE, "10s", Some(("zone", &zone))).await?.reason(), "SETTING_NOT_YOURS");
    assert_eq!(set(&bob, GRACE, "10s", on).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(unset(&bob, GRACE, on).await?.status, StatusCode::NOT_FOUND);
    // and see their own, and what holds for all
    set(&admin, "operation.retention", "30d", None).await?.good()?;
    let seen = |page: Value| page["settings"].as_array().map(Vec::len).unwrap_or_default();
    assert_eq!(seen(ann.get("/v1/settings").await?.good()?), 2);
    assert_eq!(seen(bob.get("/v1/settings").await?.good()?), 1);

    let declared = bob.get("/v1/declaredSettings").await?.good()?;
    let names: Vec<_> = declared["declaredSettings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|setting| setting["name"].as_str())
        .collect();
    assert!(names.is_sorted() && names.contains(&GRACE) && names.contains(&"operation.retention"), "{names:?}");
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_change_what_gyre_does() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let front = node.front().await?;
    let zone = front.make("/v1/zones", json!({"name": "east"})).await?;
    let cluster = |name: &str| json!({"name": name, "zoneUuid": zone});
    let read = async |path: String| front.get(&path).await?.good();
    let before = front.make("/v1/clusters", cluster("before")).await?;
    assert_eq!(read(format!("/v1/clusters/{before}")).await?["cpuOvercommit"], 4);
    set(&front, "cluster.cpu-overcommit", "8", Some(("zone", &zone))).await?.good()?;
    set(&front, "cluster.memory-overcommit", "150", None).await?.good()?;
    let after = front.make("/v1/clusters", cluster("after")).await?;
    let made = read(format!("/v1/clusters/{after}")).await?;
    assert_eq!((&made["cpuOvercommit"], &made["memoryOvercommit"]), (&json!(8), &json!(150)));
    // what a creation says stands
    let said = front.make("/v1/clusters", json!({"name": "said", "zoneUuid": zone, "cpuOvercommit": 2})).await?;
    assert_eq!(read(format!("/v1/clusters/{said}")).await?["cpuOvercommit"], 2);

    set(&front, "host.reserved-memory", "2GiB", Some(("cluster", &after))).await?.good()?;
    for (cluster, reserved) in [(&after, json!((2_i64 << 30).to_string())), (&said, Value::Null)] {
        let host = json!({"name": "h", "clusterUuid": cluster, "address": "local"});
        let host = front.done(Method::POST, "/v1/hosts", Some(host)).await?;
        let made = read(format!("/v1/hosts/{host}")).await?;
        let found = if made["reservedMemoryBytes"] == "0" { &Value::Null } else { &made["reservedMemoryBytes"] };
        assert_eq!(found, &reserved);
    }
    node.shutdown().await;
    Ok(())
}

#[test]
fn every_setting_stands_in_the_manual_with_its_default() {
    let manual = include_str!("../../docs/settings.md");
    for setting in gyre_model::catalog().settings() {
        let rule = &setting.rule;
        let row = manual.lines().find(|line| line.starts_with(&format!("| `{}` |", rule.name)));
        let row = row.unwrap_or_else(|| panic!("{} is not in docs/settings.md", rule.name));
        assert!(
            row.contains(&format!("| {} |", rule.default_value)),
            "the default of {} in docs/settings.md",
            rule.name
        );
        assert!(!rule.help.is_empty() && !rule.scopes.is_empty(), "{}", rule.name);
        let read = gyre_query::settings::Value::read(rule, &rule.default_value);
        assert_eq!(read.map(|value| value.print()), Ok(rule.default_value.clone()), "{}", rule.name);
        let on_resources = rule.scopes.contains(&gyre_proto::common::v1::SettingScope::Resource.into());
        assert_eq!(on_resources, !rule.kinds.is_empty(), "{}", rule.name);
    }
}
