//! `gyre vm console`: a machine's serial console in this terminal.

use clap::ArgMatches;
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use gyre_proto::vm::v1::{ReadVmConsoleRequest, WriteVmConsoleRequest};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::resolve::resolve;
use super::terminal::{Changed, keys};
use super::wait::interrupts;
use crate::args::Globals;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::output;

/// Ctrl-], as telnet and virsh have it.
const LEAVE: u8 = 0x1d;
/// The most that is typed in one call.
const MOST_KEYS: usize = 4096;

/// Opens it.
pub async fn run(client: &Client, globals: &Globals, matches: &ArgMatches) -> Result<()> {
    let name = matches.get_one::<String>("uuid").ok_or_else(|| Failure::usage("which machine?"))?;
    let uuid = resolve(client, "vm", name).await?;
    let (mut interrupted, mut stopped) = (interrupts()?, signal(SignalKind::terminate())?);
    let follow = !matches.get_flag("no-follow");
    let tail_bytes = matches.get_one::<i32>("tail").copied().unwrap_or(0);
    client.tell("/gyre.vm.v1.VmService/ReadVmConsole");
    let request = client.open_request(ReadVmConsoleRequest { uuid: uuid.clone(), tail_bytes, follow });
    let mut stream = VmServiceClient::new(client.channel()).read_vm_console(request).await?.into_inner();
    let raw = if follow { Changed::raw()? } else { None };
    if raw.is_some() && !globals.quiet {
        eprint!("console of {name}; Ctrl-] leaves\r\n");
    }
    let typing = async {
        match &raw {
            Some(_) => type_keys(client, &uuid, keys()).await,
            None => std::future::pending().await,
        }
    };
    let printing = async {
        while let Some(piece) = stream.message().await? {
            output::print_piece(&piece.data)?;
        }
        Ok(())
    };
    let outcome = tokio::select! {
        outcome = printing => outcome,
        outcome = typing => outcome,
        _ = interrupted.recv() => Err(Failure::interrupted("interrupted")),
        _ = stopped.recv() => Err(Failure::interrupted("stopped")),
    };
    // Before anything else is printed the terminal is what it was.
    if raw.is_some() {
        drop(raw);
        eprintln!();
    }
    outcome
}

/// Sends keys in the order in which they were typed, until Ctrl-].
async fn type_keys(client: &Client, uuid: &str, mut keys: mpsc::Receiver<Vec<u8>>) -> Result<()> {
    let mut vms = VmServiceClient::new(client.channel());
    while let Some(mut typed) = keys.recv().await {
        // What was typed while the last call was under way goes with one call.
        while typed.len() < MOST_KEYS / 2
            && let Ok(more) = keys.try_recv()
        {
            typed.extend(more);
        }
        let leave = typed.iter().position(|key| *key == LEAVE);
        typed.truncate(leave.unwrap_or(typed.len()));
        for piece in typed.chunks(MOST_KEYS) {
            let data = piece.to_vec().into();
            vms.write_vm_console(client.request(WriteVmConsoleRequest { uuid: uuid.to_owned(), data })).await?;
        }
        if leave.is_some() {
            return Ok(());
        }
    }
    // The keyboard is gone, the console is not.
    std::future::pending().await
}
