//! What the machine says on its serial console.

use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use gyre_proto::vm::v1::{ReadVmConsoleRequest, ReadVmConsoleResponse};
use tokio::time::{Instant, timeout_at};
use tonic::Streaming;

use super::DemoSetup;
use crate::client::Client;
use crate::failure::Result;
use crate::ui::Ui;

/// How much of the console is kept.
const MOST: usize = 64 << 10;

async fn open(client: &Client, uuid: &str, follow: bool) -> Result<Streaming<ReadVmConsoleResponse>> {
    let request = client.open_request(ReadVmConsoleRequest { uuid: uuid.to_owned(), tail_bytes: 0, follow });
    Ok(VmServiceClient::new(client.channel()).read_vm_console(request).await?.into_inner())
}

/// What was printed so far.
pub async fn printed(client: &Client, uuid: &str) -> Result<String> {
    let mut stream = open(client, uuid, false).await?;
    let mut text = String::new();
    while let Some(piece) = stream.message().await? {
        text.push_str(&String::from_utf8_lossy(&piece.data));
    }
    Ok(text)
}

/// Follows the console until the greeting, or until the time is up. Answers whether it came, and what was printed.
pub async fn greeting(client: &Client, setup: &DemoSetup, uuid: &str, ui: &Ui) -> Result<(bool, String)> {
    let end = Instant::now() + setup.greeting_limit;
    let step = ui.step("first words");
    step.progress(0, "waiting for the machine's greeting on its console");
    let mut stream = open(client, uuid, true).await?;
    let mut seen = Vec::new();
    let greeting = setup.greeting.as_bytes();
    loop {
        // The line that holds the greeting is printed whole.
        if let Some(at) = seen.windows(greeting.len()).position(|window| window == greeting)
            && seen[at..].contains(&b'\n')
        {
            step.done("");
            return Ok((true, String::from_utf8_lossy(&seen).into_owned()));
        }
        let Ok(next) = timeout_at(end, stream.message()).await else { break };
        let Some(piece) = next? else { break };
        let room = MOST.saturating_sub(seen.len());
        seen.extend_from_slice(&piece.data[..piece.data.len().min(room)]);
        if let Some(line) = String::from_utf8_lossy(&seen).lines().rfind(|line| !line.trim().is_empty()) {
            step.progress(50, line);
        }
    }
    let greeted = seen.windows(greeting.len()).any(|window| window == greeting);
    if greeted {
        step.done("");
    } else {
        step.failed(&format!("none within {} s", setup.greeting_limit.as_secs()));
    }
    Ok((greeted, String::from_utf8_lossy(&seen).into_owned()))
}
