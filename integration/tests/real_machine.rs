//! A real machine: made, greeting on its console, stopped, started, destroyed; over HTTP, over gRPC from Rust, over gRPC from
//! Python. It outlives the node that made it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gyre_integration::front::Site;
use gyre_integration::host::needs;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode, tools};
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{Operation, OperationState, WaitOperationRequest};
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use gyre_proto::vm::v1::{
    CreateVmRequest, DeleteVmRequest, ExpungeVmRequest, GetVmRequest, ReadVmConsoleRequest, StopVmRequest, Vm, VmState,
};
use http::Method;
use serde_json::json;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};

const GREETING: &str = "Hello from a machine made by Gyre";
const QEMU: &str = "qemu-system-x86 qemu-utils";

/// A node with this machine as its host, and an image of the wanted flavour.
async fn node(folder: &Path, want: gyre_demo_image::Want) -> Result<(TestNode, Front, Site, String)> {
    let node = TestNode::start(folder, Hosts::Real).await?;
    let front = node.front().await?;
    let site = front.site("real", &["local"], &folder.display().to_string()).await?;
    let disk = folder.join("demo.img");
    let mut options = gyre_demo_image::Options::new(GREETING);
    options.want = want;
    gyre_demo_image::build(&options, &disk)?;
    let image = front.upload(&site, "demo", "IMAGE_FORMAT_RAW", std::fs::read(&disk)?).await?;
    Ok((node, front, site, image))
}

fn vm(site: &Site, image: &str, name: &str) -> serde_json::Value {
    json!({
        "name": name, "cpuCount": 1, "memoryBytes": (192i64 << 20).to_string(), "imageUuid": image,
        "l3NetworkUuids": [site.network]
    })
}

/// Reads the console until the greeting stands there.
async fn greeting(channel: &Channel, token: &str, vm: &str, bound: Duration) -> Result<Duration> {
    printed(channel, token, vm, GREETING, bound).await
}

/// Reads the console until a text stands there.
async fn printed(channel: &Channel, token: &str, vm: &str, text: &str, bound: Duration) -> Result<Duration> {
    let begun = Instant::now();
    let authorization: AsciiMetadataValue = format!("Bearer {token}").parse()?;
    let mut request = tonic::Request::new(ReadVmConsoleRequest { uuid: vm.to_owned(), tail_bytes: 0, follow: true });
    request.metadata_mut().insert("authorization", authorization);
    let mut seen = Vec::new();
    let read = async {
        let mut output = VmServiceClient::new(channel.clone()).read_vm_console(request).await?.into_inner();
        while let Some(piece) = output.message().await? {
            seen.extend_from_slice(&piece.data);
            if String::from_utf8_lossy(&seen).contains(text) {
                return Ok(begun.elapsed());
            }
        }
        bail!("the console ended")
    };
    match tokio::time::timeout(bound, read).await {
        Ok(result) => result,
        Err(_) => bail!("no {text:?} within {bound:?}"),
    }
}

async fn channel(front: &Front) -> Result<Channel> {
    Ok(Endpoint::from_shared(front.endpoint().to_owned())?.connect().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_a_linux_guest_greets_shuts_down_and_outlives_the_node() -> Result<()> {
    let kernel = gyre_integration::host::linux_for_guests();
    if !needs(tools().qemu && kernel, "qemu-system-x86 qemu-utils linux-image-cloud-amd64 busybox-static") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (first, front, site, image) = node(folder.path(), gyre_demo_image::Want::Linux).await?;
    let mut wanted = vm(&site, &image, "linux");
    wanted["tags"] = json!(["gyre:hostname=named-by-tag", "gyre:static-ip=10.80.7.7"]);
    let uuid = front.done(Method::POST, "/v1/vms", Some(wanted)).await?;
    let took = greeting(&channel(&front).await?, front.token(), &uuid, Duration::from_secs(60)).await?;
    println!("greeting after {took:?}");
    // what its tags say has reached the guest
    for text in ["hostname: named-by-tag", "address: 10.80.7.7/16"] {
        printed(&channel(&front).await?, front.token(), &uuid, text, Duration::from_secs(30)).await?;
    }

    // the node ends; the machine goes on, and the next node finds it
    first.shutdown().await;
    let second = TestNode::start(folder.path(), Hosts::Real).await?;
    let front = second.front().await?;
    let running = wait_state(&front, &uuid, "VM_STATE_RUNNING", Duration::from_secs(20)).await?;
    assert_eq!(running["hostUuid"], site.hosts[0].as_str());

    // the guest hears the power button: far less than the grace
    let begun = Instant::now();
    front.done(Method::POST, &format!("/v1/vms/{uuid}:stop"), Some(json!({"graceSeconds": 60}))).await?;
    ensure!(begun.elapsed() < Duration::from_secs(50), "the plug was pulled");
    front.done(Method::POST, &format!("/v1/vms/{uuid}:start"), Some(json!({}))).await?;
    greeting(&channel(&front).await?, front.token(), &uuid, Duration::from_secs(60)).await?;
    front.done(Method::POST, &format!("/v1/vms/{uuid}:stop"), Some(json!({"force": true}))).await?;
    front.done(Method::DELETE, &format!("/v1/vms/{uuid}"), None).await?;
    front.done(Method::POST, &format!("/v1/vms/{uuid}:expunge"), Some(json!({}))).await?;
    no_disk_left(folder.path())?;
    second.shutdown().await;
    Ok(())
}

async fn wait_state(front: &Front, vm: &str, state: &str, bound: Duration) -> Result<serde_json::Value> {
    let begun = Instant::now();
    loop {
        let found = front.get(&format!("/v1/vms/{vm}")).await?.good()?;
        if found["state"] == state {
            return Ok(found);
        }
        ensure!(begun.elapsed() < bound, "{vm} is {} and not {state} after {bound:?}", found["state"]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// No file of a volume is left on the host.
fn no_disk_left(folder: &Path) -> Result<()> {
    let mut left: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.join("primary")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true if path.ends_with("cache") => {}
                true => folders.push(path),
                false => left.push(path),
            }
        }
    }
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_from_rust() -> Result<()> {
    if !needs(tools().qemu, QEMU) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (node, front, site, image) = node(folder.path(), gyre_demo_image::Want::BootSector).await?;
    let channel = channel(&front).await?;
    let authorization: AsciiMetadataValue = format!("Bearer {}", front.token()).parse()?;
    let sign = move |mut request: tonic::Request<()>| {
        request.metadata_mut().insert("authorization", authorization.clone());
        Ok(request)
    };
    let mut vms = VmServiceClient::with_interceptor(channel.clone(), sign.clone());
    let mut operations = OperationServiceClient::with_interceptor(channel.clone(), sign);
    let mut end = async |operation: Operation| -> Result<Operation> {
        let request = WaitOperationRequest {
            uuid: operation.uuid,
            timeout: Some(gyre_proto::Duration { seconds: 60, nanos: 0 }),
        };
        let ended = operations.wait_operation(request).await?.into_inner();
        ensure!(ended.state() == OperationState::Succeeded, "{ended:?}");
        Ok(ended)
    };
    let vm = Vm {
        name: "grpc".into(),
        cpu_count: 1,
        memory_bytes: 32 << 20,
        image_uuid: image,
        l3_network_uuids: vec![site.network],
        ..Vm::default()
    };
    let request = CreateVmRequest { vm: Some(vm), request_id: String::new() };
    let uuid = end(vms.create_vm(request).await?.into_inner()).await?.resource_uuid;
    greeting(&channel, front.token(), &uuid, Duration::from_secs(30)).await?;
    let request = StopVmRequest { uuid: uuid.clone(), force: true, ..StopVmRequest::default() };
    end(vms.stop_vm(request).await?.into_inner()).await?;
    let found = vms.get_vm(GetVmRequest { uuid: uuid.clone() }).await?.into_inner();
    assert_eq!(found.state(), VmState::Stopped);
    let request = DeleteVmRequest { uuid: uuid.clone(), ..Default::default() };
    end(vms.delete_vm(request).await?.into_inner()).await?;
    let request = ExpungeVmRequest { uuid: uuid.clone(), request_id: String::new() };
    end(vms.expunge_vm(request).await?.into_inner()).await?;
    assert_eq!(vms.get_vm(GetVmRequest { uuid }).await.map(|_| ()).unwrap_err().code(), tonic::Code::NotFound);
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_from_python_by_reflection() -> Result<()> {
    let python = gyre_integration::host::python_with_grpc();
    if !needs(tools().qemu && python.is_some(), "qemu-system-x86 qemu-utils, and grpcio grpcio-reflection for Python") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (node, front, site, image) = node(folder.path(), gyre_demo_image::Want::BootSector).await?;
    let output = tokio::process::Command::new(python.context("no Python")?)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/machine.py"))
        .arg(front.endpoint().trim_start_matches("http://"))
        .args([node.admin().0, node.admin().1, image.as_str(), site.network.as_str(), GREETING])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(90), output).await??;
    ensure!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("expunged"));
    node.shutdown().await;
    Ok(())
}
