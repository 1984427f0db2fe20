//! Workflows that an operator changed, in a whole node: what docs/workflows.md shows, and the plugin of deploy/examples.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::host::{needs, python_with_grpc};
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::create_dir_all(path.parent().context("a file in a folder")?)?;
    Ok(std::fs::write(path, text)?)
}

async fn node(folder: &Path) -> Result<TestNode> {
    let workflows = folder.join("workflows");
    let change = |config: &mut gyre_node::NodeConfig| config.process.workflows = Some(workflows);
    TestNode::start_with(folder, Hosts::Simulated(Simulation::default()), change).await
}

/// The YAML of the page, each with the file that its first line names.
fn examples() -> Result<Vec<(String, String)>> {
    let page = std::fs::read_to_string(repository().join("docs/workflows.md"))?;
    let mut found = Vec::new();
    for block in page.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let (first, text) = block.split_once('\n').context("an example of one line")?;
        found.push((first.trim_start_matches("# ").to_owned(), text.to_owned()));
    }
    Ok(found)
}

/// A file without its comments.
fn bare(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_is_what_gyre_has_and_what_it_takes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut own, mut operators) = (0, 0);
    for (name, text) in examples()? {
        if name.starts_with("services/") {
            own += 1;
            assert_eq!(bare(&std::fs::read_to_string(repository().join(&name))?), text, "{name}");
        } else {
            operators += 1;
            write(&folder.path().join(&name), &text)?;
        }
    }
    ensure!(own >= 2 && operators >= 3, "{own} of Gyre's own and {operators} of an operator's");
    node(folder.path()).await?.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_does_not_start_with_a_file_that_does_not_fit() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("workflows/vm/a.yaml");
    write(&file, "{extends: create-vm, insert: [{step: a, before: nowhere, plugin: {address: 'unix:///a'}}]}")?;
    let error = match node(folder.path()).await {
        Ok(node) => {
            node.shutdown().await;
            anyhow::bail!("it started");
        }
        Err(error) => format!("{error:#}"),
    };
    let expected = format!("{}: insert[0].before: create-vm has no step \"nowhere\": write one of", file.display());
    assert!(error.contains(&expected), "{error}");
    assert!(error.contains("record, addresses, place, start"), "{error}");
    Ok(())
}

/// The example, started.
async fn start_plugin(python: &Path, folder: &Path, socket: &Path) -> Result<tokio::process::Child> {
    let descriptors = folder.join("plugin.binpb");
    std::fs::write(&descriptors, gyre_proto::DESCRIPTORS)?;
    let mut child = tokio::process::Command::new(python)
        .arg(repository().join("deploy/examples/plugin/plugin.py"))
        .arg(&descriptors)
        .arg(format!("unix://{}", socket.display()))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let first = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await??;
    ensure!(first.as_deref().is_some_and(|line| line.starts_with("listening")), "the plugin says {first:?}");
    // what it says later must go somewhere
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(child)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_refuses_machines_that_are_too_large() -> Result<()> {
    let python = python_with_grpc();
    if !needs(python.is_some(), "grpcio grpcio-reflection for Python") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("p.sock");
    let file = std::fs::read_to_string(repository().join("deploy/examples/plugin/most-cpus.yaml"))?;
    let file = file.replace("/run/gyre/most-cpus.sock", &socket.display().to_string());
    ensure!(file.contains(&socket.display().to_string()), "the example has another address");
    write(&folder.path().join("workflows/vm/most-cpus.yaml"), &file)?;
    let mut plugin = start_plugin(&python.context("no Python")?, folder.path(), &socket).await?;
    let node = node(folder.path()).await?;
    let front = node.front().await?;
    let site = front.site("plugin", &["local"], "/var/lib/gyre").await?;
    let image = front.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;

    let small = front.operation(Method::POST, "/v1/vms", Some(Front::vm(&site, &image, "small"))).await?;
    assert_eq!(small["state"], "OPERATION_STATE_SUCCEEDED", "{small}");
    let step = |operation: &Value| -> Value {
        let steps = operation["steps"].as_array().cloned().unwrap_or_default();
        steps.into_iter().find(|step| step["name"] == "most-cpus").unwrap_or_default()
    };
    assert_eq!(step(&small)["message"], "1 of 4 CPUs; checked_by: plugin.py", "{small}");

    let mut large = Front::vm(&site, &image, "large");
    large["instanceOfferingUuid"] = Value::Null;
    large["cpuCount"] = json!(8);
    large["memoryBytes"] = json!((64i64 << 20).to_string());
    let refused = front.operation(Method::POST, "/v1/vms", Some(large.clone())).await?;
    assert_eq!(refused["state"], "OPERATION_STATE_FAILED", "{refused}");
    assert_eq!(refused["error"]["reason"], "PLUGIN_REFUSED", "{refused}");
    let said = "machines may have 4 CPUs here, and this one asks for 8: ask for fewer";
    assert_eq!(refused["error"]["message"], said, "{refused}");
    let gone = front.get(&format!("/v1/vms/{}", refused["resourceUuid"].as_str().unwrap_or_default())).await?;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);

    // away: tried again, then undone; it was never asked, so nobody waits for it
    plugin.kill().await?;
    let away = front.operation(Method::POST, "/v1/vms", Some(Front::vm(&site, &image, "away"))).await?;
    assert_eq!(away["error"]["reason"], "PLUGIN_UNREACHABLE", "{away}");
    assert_eq!((&away["state"], &step(&away)["attempts"]), (&json!("OPERATION_STATE_FAILED"), &json!(3)), "{away}");
    let vms = front.get("/v1/vms").await?.good()?;
    assert_eq!(vms["vms"].as_array().map(Vec::len), Some(1), "{vms}");
    node.shutdown().await;
    Ok(())
}
