//! The Python client as people get it: built into a wheel, installed into an environment of its own, and tested there by its own
//! tests against a node with a simulated host.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::TestNode;
use gyre_integration::host::{needs, python_with};
use gyre_integration::node::Hosts;
use tokio::process::Command;

const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/clients/python");

async fn run(command: &mut Command) -> Result<String> {
    let output = command.kill_on_drop(true).output();
    let Output { status, stdout, stderr } = tokio::time::timeout(Duration::from_secs(120), output).await??;
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    ensure!(status.success(), "{said}");
    Ok(said)
}

/// What is tracked of the project, beside the tree, so that building leaves nothing in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if !matches!(name.to_str(), Some("__pycache__" | "build")) {
                copy(&entry.path(), &to.join(&name))?;
            }
        } else {
            std::fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wheel_passes_its_tests_against_a_node() -> Result<()> {
    let python = python_with("setuptools, pip, venv");
    if !needs(python.is_some(), "setuptools for Python (.ci/install tools)") {
        return Ok(());
    }
    let python = python.context("no Python")?;
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    copy(Path::new(PROJECT), &project)?;
    let wheels = folder.path().join("wheels");
    let build = ["-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir"];
    run(Command::new(&python).args(build).arg(&wheels).arg(&project)).await?;
    let own = folder.path().join("venv");
    run(Command::new(&python).args(["-m", "venv"]).arg(&own)).await?;
    let install = ["-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", "--find-links"];
    run(Command::new(own.join("bin/python")).args(install).arg(&wheels).arg("gyre-client")).await?;

    let data = folder.path().join("node");
    std::fs::create_dir(&data)?;
    let node = TestNode::start(&data, Hosts::Simulated(Simulation::default())).await?;
    let said = run(Command::new(own.join("bin/python"))
        .args(["-W", "error::ResourceWarning", "-m", "unittest", "discover", "-s", "tests"])
        .current_dir(&project)
        .env("GYRE_TEST_ENDPOINT", node.endpoint())
        .env("GYRE_TEST_ACCOUNT", node.admin().0)
        .env("GYRE_TEST_PASSWORD", node.admin().1))
    .await?;
    ensure!(said.contains("\nOK\n"), "{said}");
    println!("{said}");
    node.shutdown().await;
    Ok(())
}
