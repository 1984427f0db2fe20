//! A callback from the front door to a receiver, across a restart of the node, checked as docs/callbacks.md says.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use gyre_mesh::egress::Allow;
use http::{Method, Request, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What came: headers (names in lower case) and body.
type Letters = Arc<Mutex<Vec<(Value, String)>>>;

async fn receive(listener: TcpListener, letters: Letters) {
    while let Ok((stream, _)) = listener.accept().await {
        // what is no request is no letter
        let _ = take(stream, &letters).await;
    }
}

async fn take(mut stream: TcpStream, letters: &Letters) -> Result<()> {
    let mut read = Vec::new();
    let (head, body) = loop {
        ensure!(stream.read_buf(&mut read).await? > 0, "broke off");
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let headers: serde_json::Map<_, _> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), json!(value)))
            .collect();
        let length: usize = headers.get("content-length").and_then(Value::as_str).unwrap_or("0").parse()?;
        if body.len() >= length {
            break (Value::Object(headers), body.to_owned());
        }
    };
    letters.lock().push((head, body));
    Ok(stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?)
}

async fn start(folder: &Path) -> Result<(TestNode, Front)> {
    let node = TestNode::start(folder, Hosts::Simulated(Simulation::default())).await?;
    let front = node.front().await?;
    Ok((node, front))
}

fn allow_loopback(node: &TestNode) -> Result<()> {
    let rule = "127.0.0.0/8".parse().map_err(anyhow::Error::msg)?;
    node.node().mesh().allow_callbacks(Allow::new([rule]));
    Ok(())
}

async fn call(
    front: &Front,
    method: Method,
    path: &str,
    url: &str,
    body: Value,
) -> Result<gyre_integration::front::Answer> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", front.endpoint()))
        .header("content-type", "application/json")
        .header("X-Gyre-Callback", url);
    front.send(request, body.to_string()).await
}

async fn until(front: &Front, operation: &str, state: &str) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let now = front.get(&format!("/v1/operations/{operation}")).await?.good()?;
        if now["callbackState"] == state {
            return Ok(now);
        }
        ensure!(begun.elapsed() < Duration::from_secs(30), "not {state}: {now}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs the example of the document on a letter.
fn verify(secret: &str, letter: &(Value, String)) -> Result<bool> {
    let document = include_str!("../../docs/callbacks.md");
    let code = document.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).context("no example")?;
    let code = format!(
        "{code}\nimport json, sys\nargs = json.loads(sys.argv[1])\nprint(verify(args[0], args[1], args[2].encode()))\n"
    );
    let args = json!([secret, letter.0, letter.1]).to_string();
    let ran = std::process::Command::new("python3").args(["-c", &code, &args]).output().context("install python3")?;
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Ok(String::from_utf8_lossy(&ran.stdout).trim() == "True")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_operation_is_posted_also_after_a_restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (node, front) = start(folder.path()).await?;
    let zone = front.make("/v1/zones", json!({"name": "z"})).await?;
    let cluster = front.make("/v1/clusters", json!({"name": "c", "zoneUuid": zone})).await?;
    let host = |name: &str| json!({"name": name, "clusterUuid": cluster, "address": "local"});

    // nobody listens yet
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let url = format!("http://{address}/gyre");
    let refused = call(&front, Method::POST, "/v1/hosts", &url, host("a")).await?;
    ensure!(
        (refused.status, refused.reason()) == (StatusCode::FORBIDDEN, "CALLBACK_NOT_ALLOWED"),
        "{:?}",
        refused.body
    );
    ensure!(
        refused.body["detail"].as_str().unwrap_or_default().contains("--callback-allow 127.0.0.1:"),
        "{}",
        refused.body
    );

    allow_loopback(&node)?;
    let operation = call(&front, Method::POST, "/v1/hosts", &url, host("a")).await?.good()?;
    let operation = operation["uuid"].as_str().context("no uuid")?.to_owned();
    let begun = Instant::now();
    let failed = loop {
        let now = until(&front, &operation, "CALLBACK_STATE_PENDING").await?;
        if !now["callbackAttempts"].is_null() {
            break now;
        }
        ensure!(begun.elapsed() < Duration::from_secs(30), "{now}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    ensure!(
        failed["callbackError"].as_str().unwrap_or_default().starts_with("cannot connect to 127.0.0.1:"),
        "{failed}"
    );
    let secret = front.get("/v1/callbackKey").await?.good()?["secret"].as_str().context("no secret")?.to_owned();
    node.shutdown().await;

    let letters = Letters::default();
    let receiving = tokio::spawn(receive(TcpListener::bind(address).await?, Arc::clone(&letters)));
    let (node, front) = start(folder.path()).await?;
    allow_loopback(&node)?;
    let delivered = until(&front, &operation, "CALLBACK_STATE_DELIVERED").await?;
    ensure!(delivered["callbackUrl"] == url.as_str() && delivered["callbackError"].is_null(), "{delivered}");
    let letter = letters.lock().first().cloned().context("no letter")?;
    let posted: Value = serde_json::from_str(&letter.1)?;
    ensure!(posted["uuid"] == operation.as_str() && posted["state"] == "OPERATION_STATE_SUCCEEDED", "{posted}");
    ensure!(verify(&secret, &letter)?, "the signature of {letter:?}");
    ensure!(!verify("whsec_AAAA", &letter)?, "a wrong key");

    // A machine's operation makes children of its own, which nobody asked to hear of.
    let rotated = front.post("/v1/callbackKey:rotate", json!({})).await?.good()?;
    ensure!(rotated["previousSecret"] == secret.as_str(), "{rotated}");
    let site = front.site("s", &["local"], "/var/lib/gyre").await?;
    let image = front.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    let made = call(&front, Method::POST, "/v1/vms", &url, Front::vm(&site, &image, "web-1")).await?.good()?;
    until(&front, made["uuid"].as_str().context("no uuid")?, "CALLBACK_STATE_DELIVERED").await?;
    let listed = front.get("/v1/operations?filter=callback_state%20%3D%20DELIVERED").await?.good()?;
    ensure!(listed["operations"].as_array().map(Vec::len) == Some(2), "{listed}");
    let all = letters.lock().clone();
    ensure!(all.len() == 2, "{all:?}");
    for key in [&rotated["secret"], &rotated["previousSecret"]] {
        ensure!(verify(key.as_str().context("no key")?, &all[1])?, "{key}");
    }
    receiving.abort();
    node.shutdown().await;
    Ok(())
}
