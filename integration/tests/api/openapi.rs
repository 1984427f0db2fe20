//! The OpenAPI document of a node against the node: every example is sent, every answer checked (`python/openapi.py` does both).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::TestNode;
use gyre_integration::host::{needs, python_with};
use gyre_integration::node::Hosts;
use gyre_mesh::egress::Allow;

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_answered_as_the_document_says() -> Result<()> {
    let python = python_with("jsonschema, openapi_spec_validator, rfc3339_validator");
    if !needs(python.is_some(), "jsonschema openapi-spec-validator rfc3339-validator for Python (.ci/install tools)") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    node.node().mesh().allow_callbacks(Allow::new(["127.0.0.1:9".parse().map_err(anyhow::Error::msg)?]));
    let output = tokio::process::Command::new(python.context("no Python")?)
        .arg("-B")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/openapi.py"))
        .args([node.endpoint().as_str(), node.admin().0, node.admin().1])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), output).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    node.shutdown().await;
    Ok(())
}
