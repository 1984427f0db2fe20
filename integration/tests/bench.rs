//! The benchmark driver's scenarios in their short forms: each answers what was asked for, with the figures that all share, and with what
//! it tells besides. What they take says nothing here; what they count does.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use gyre_integration::host;
use serde_json::Value;

/// What every scenario of calls tells.
const KEYS: [&str; 20] = [
    "scenario",
    "count",
    "ok",
    "failed",
    "wall_s",
    "rate_per_s",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "max_ms",
    "cpu_ms_per_call",
    "cpu_ms_per_call_by_process",
    "commits_per_call",
    "statements_per_call",
    "agent_trips_per_call",
    "rss_mb",
    "rss_mb_by_process",
    "database",
    "machines",
    "concurrency",
];

/// Runs the driver. Answers the objects that it prints.
async fn bench(args: &[&str]) -> Result<Vec<Value>> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_gyre-bench"));
    let ended = command.arg("--json").args(args).stderr(Stdio::piped()).kill_on_drop(true).output().await?;
    let told = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{args:?}: {told}");
    let lines = String::from_utf8(ended.stdout)?;
    lines.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// The same, of scenarios of calls that are all answered well.
async fn figures(args: &[&str]) -> Result<Vec<Value>> {
    let all = bench(args).await?;
    for one in &all {
        for key in KEYS {
            ensure!(one.get(key).is_some(), "{args:?} says nothing of {key}: {one}");
        }
        ensure!(one["failed"] == 0 && one["ok"] == one["count"], "{one}");
        ensure!(one["rss_mb"].as_f64() > Some(1.0), "{one}");
        ensure!(one["cpu_ms_per_call_by_process"].get("driver and node").is_some(), "{one}");
    }
    Ok(all)
}

fn number(figures: &Value, key: &str) -> f64 {
    figures[key].as_f64().unwrap_or(f64::NAN)
}

fn names(all: &[Value]) -> Vec<&str> {
    all.iter().filter_map(|one| one["scenario"].as_str()).collect()
}

#[tokio::test]
async fn machines_are_made_over_many_hosts_and_deleted() -> Result<()> {
    let common =
        ["--embedded", "--count", "40", "--warm-up", "5", "--concurrency", "8", "--hosts", "12", "--ranges", "2"];
    let made = figures(&[&["create-vms"], common.as_slice()].concat()).await?;
    let [made] = made.as_slice() else { anyhow::bail!("{made:?}") };
    assert_eq!((made["scenario"].as_str(), made["count"].as_u64()), (Some("create-vms"), Some(40)));
    assert_eq!((made["hosts"].as_u64(), made["concurrency"].as_u64()), (Some(12), Some(8)));
    assert!(number(made, "rate_start_per_s") > 0.0 && number(made, "rate_end_per_s") > 0.0, "{made}");
    assert_eq!(made["rates_per_s"].as_array().map(Vec::len), Some(10));
    // a volume and a start
    assert_eq!(number(made, "agent_trips_per_call"), 2.0, "{made}");
    assert!(number(made, "p50_ms") <= number(made, "p99_ms") && number(made, "p99_ms") <= number(made, "max_ms"));

    let deleted = figures(&[&["delete-vms"], common.as_slice()].concat()).await?;
    assert_eq!(names(&deleted), ["delete-vms"]);
    assert_eq!(number(&deleted[0], "agent_trips_per_call"), 2.0, "{deleted:?}");
    Ok(())
}

#[tokio::test]
async fn delays_and_faults_follow_from_a_seed_that_is_told() -> Result<()> {
    let cloud = ["--delay", "lognormal:2ms:0.5", "--fail-rate", "0.3", "--seed", "5", "--hosts", "3"];
    let args =
        [&["create-vms", "--embedded", "--count", "20", "--warm-up", "0", "--concurrency", "1"], cloud.as_slice()];
    let ran = bench(&args.concat()).await?;
    assert_eq!((ran[0]["seed"].as_u64(), ran[0]["delay"].as_str()), (Some(5), Some("lognormal:2ms:0.5")));
    assert_eq!(number(&ran[0], "ok") + number(&ran[0], "failed"), 20.0);
    assert!(ran[0]["failed"].as_u64() > Some(0), "three in ten tasks fail: {ran:?}");
    assert!(ran[0]["problem"].as_str().is_some_and(|problem| problem.contains("SIMULATED_FAULT")), "{ran:?}");
    for (wrong, why) in [
        (["--delay", "soon"], "is no delay"),
        (["--fail-rate", "2"], "the chance must be 0 to 1"),
        (["--addresses", "2"], "--tls"),
    ] {
        let refused = bench(&[&["create-vms", "--embedded"], wrong.as_slice()].concat()).await;
        let text = format!("{:#}", refused.err().context("refused")?);
        assert!(text.contains(why), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn machines_are_read_over_http_and_grpc() -> Result<()> {
    let args = ["read", "--embedded", "--machines", "3", "--count", "50", "--warm-up", "4", "--callers", "4"];
    let read = figures(&args).await?;
    assert_eq!(names(&read), ["read-http", "read-grpc"]);
    assert!(read.iter().all(|one| number(one, "statements_per_call") < 2.0 && number(one, "commits_per_call") < 0.1));
    Ok(())
}

#[tokio::test]
async fn lists_and_questions_are_asked_with_few_machines_and_with_all() -> Result<()> {
    let common = ["--machines", "300", "--count", "4", "--warm-up", "1"];
    let listed = figures(&[&["list"], common.as_slice()].concat()).await?;
    let pages = ["list by create time", "list by name", "list filtered by state"];
    let few = pages.map(|page| format!("{page}, few machines"));
    assert_eq!(names(&listed), few.iter().map(String::as_str).chain(pages).collect::<Vec<_>>());
    assert_eq!(
        listed.iter().filter_map(|one| one["machines"].as_u64()).collect::<Vec<_>>(),
        [100, 100, 100, 300, 300, 300]
    );
    let asked = figures(&[&["query", "--embedded", "--only", "zone east by name"], common.as_slice()].concat()).await?;
    assert!(names(&asked).contains(&"zone east by name"), "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn hosts_connect_come_back_and_go() -> Result<()> {
    for tls in [&[][..], &["--tls", "--addresses", "3"]] {
        let args =
            [&["hosts", "--embedded", "--count", "12", "--concurrency", "4", "--quiet-seconds", "1"], tls].concat();
        let hosts = figures(&args).await?;
        assert_eq!(names(&hosts), ["hosts-connect", "hosts-quiet", "hosts-reconnect", "hosts-remove"]);
        let [connect, quiet, again, _] = hosts.as_slice() else { anyhow::bail!("{hosts:?}") };
        assert_eq!(connect["tls"].as_bool(), Some(!tls.is_empty()));
        assert_eq!(connect["addresses"].as_u64(), Some(if tls.is_empty() { 1 } else { 3 }));
        assert!(number(connect, "connected_s") > 0.0 && number(quiet, "cpu_share") < 4.0, "{hosts:?}");
        assert!(number(again, "answering_s") <= number(again, "wall_s"), "{again}");
    }
    Ok(())
}

#[tokio::test]
async fn a_busy_day_adds_up() -> Result<()> {
    let args = [
        "mixed",
        "--embedded",
        "--seconds",
        "60",
        "--count",
        "80",
        "--warm-up",
        "20",
        "--concurrency",
        "8",
        "--seed",
        "3",
    ];
    let mixed = figures(&[args.as_slice(), &["--watchers", "10"]].concat()).await?;
    let [mixed] = mixed.as_slice() else { anyhow::bail!("{mixed:?}") };
    assert_eq!((mixed["count"].as_u64(), mixed["seed"].as_u64()), (Some(80), Some(3)));
    let acts = mixed["by_act"].as_object().context("no acts")?;
    assert_eq!(acts.values().map(|act| number(act, "count")).sum::<f64>(), 80.0, "{mixed}");
    assert!(acts.contains_key("create") && acts.contains_key("stop or start"), "{mixed}");
    assert!(number(mixed, "events") > 0.0 && number(mixed, "machines_at_the_end") > 0.0, "{mixed}");
    Ok(())
}

#[tokio::test]
async fn operations_are_watched() -> Result<()> {
    let watched = figures(&["watch", "--operations", "10", "--delay-seconds", "30", "--events"]).await?;
    assert_eq!((watched[0]["operations"].as_u64(), watched[0]["way"].as_str()), (Some(10), Some("events")));
    assert!(number(&watched[0], "kib_per_watcher").is_finite(), "{watched:?}");
    Ok(())
}

#[tokio::test]
async fn a_flood_is_answered_or_told_to_come_again() -> Result<()> {
    let args = ["flood", "--embedded", "--what", "reads", "--seconds", "1", "--callers", "2", "--times", "4"];
    let told = bench(&args).await?;
    assert_eq!(
        (names(&told), number(&told[0], "failed"), number(&told[0], "flood_callers")),
        (vec!["flood"], 0.0, 8.0)
    );
    assert!(number(&told[0], "flood_rate_per_s") > 0.0 && number(&told[0], "p99_ratio").is_finite(), "{told:?}");
    Ok(())
}

/// Runs the script that keeps figures, on a folder of documents. Answers what it says where it fails.
async fn script(docs: &std::path::Path, args: &[&str]) -> Result<Result<String, String>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/performance.py");
    let mut command = tokio::process::Command::new("python3");
    let ended = command.arg(script).arg("--docs").arg(docs).args(args).output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(if ended.status.success() { Ok(text(ended.stdout)) } else { Err(text(ended.stderr)) })
}

#[tokio::test]
async fn figures_are_kept_and_their_tables_made_anew() -> Result<()> {
    if !host::needs(host::program("python3").is_some(), "python3") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (docs, page) = (folder.path(), folder.path().join("performance.md"));
    std::fs::write(&page, "before\n<!-- figures short -->\nold\n<!-- end short -->\nbehind\n")?;
    let missing = script(docs, &["check"]).await?.err().context("nothing is kept yet")?;
    assert!(missing.contains("figures short") && missing.contains("is not there"), "{missing}");
    let measured = ["create-vms", "--embedded", "--count", "20", "--warm-up", "0", "--hosts", "2"];
    let record = ["record", "short", "--note", "a test", "--", env!("CARGO_BIN_EXE_gyre-bench")];
    script(docs, &[record.as_slice(), &measured].concat()).await?.map_err(anyhow::Error::msg)?;
    let stale = script(docs, &["check"]).await?.err().context("the table is old")?;
    assert!(stale.contains("performance.md") && stale.contains("short.svg"), "{stale}");
    script(docs, &["write"]).await?.map_err(anyhow::Error::msg)?;
    script(docs, &["check"]).await?.map_err(anyhow::Error::msg)?;
    let text = std::fs::read_to_string(&page)?;
    assert!(text.starts_with("before\n") && text.ends_with("behind\n") && !text.contains("old"), "{text}");
    assert!(
        text.contains("| 1 | create-vms | 20 |") && text.contains("1. `gyre-bench create-vms --embedded"),
        "{text}"
    );
    assert!(text.contains("a test") && text.contains("](performance/short.svg)"), "{text}");
    let svg = std::fs::read_to_string(docs.join("performance/short.svg"))?;
    assert!(svg.contains("<polyline") && svg.contains("create-vms 20"), "{svg}");
    let refused = script(docs, &["record", "short", "--", "false"]).await?.err().context("a command that fails")?;
    assert!(refused.contains("nothing is kept"), "{refused}");
    script(docs, &["check"]).await?.map_err(anyhow::Error::msg)?;
    Ok(())
}
