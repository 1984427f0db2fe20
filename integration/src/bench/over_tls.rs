//! Simulated hosts that are called as real ones are: over mutual TLS, with an agent's certificate, at as many addresses as are
//! asked for. The driver makes an authority for the run, with a certificate for the agent and one for the node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use gyre_agent::{Agent, AgentConfig, PeerTls, Simulation};
use gyre_mesh::config::ProcessArgs;
use gyre_mesh::serve::{Limits, Process, Running};
use gyre_mesh::tls::{AGENT_NAME, Identity};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tonic::service::Routes;

/// The host in all addresses.
const HOST: &str = "127.0.0.1";
/// Ports that may be listened on, below those from which connections come.
const FIRST_PORT: usize = 10_240;
const LAST_PORT: usize = 32_767;
/// Places that are tried before it is given up.
const PLACES: usize = 20;
/// File handles of an address: its port, and both ends of the connections that a node keeps with it.
const HANDLES: u64 = 5;
/// Those of everything else.
const OTHER_HANDLES: u64 = 1000;

/// A simulator that listens.
pub struct Simulator {
    agent: Agent,
    running: Running,
    addresses: usize,
    files: PathBuf,
}

/// Writes a certificate of an authority, and its key.
fn certify(issuer: &Issuer<'_, KeyPair>, folder: &Path, name: &str, names: &[&str]) -> Result<()> {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    params.extended_key_usages = vec![Usage::ServerAuth, Usage::ClientAuth];
    let key = KeyPair::generate()?;
    std::fs::write(folder.join(format!("{name}.pem")), params.signed_by(&key, issuer)?.pem())?;
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
    Ok(())
}

fn authority(folder: &Path) -> Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    std::fs::write(folder.join("ca.pem"), params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    certify(&issuer, folder, "agent", &[HOST, AGENT_NAME])?;
    certify(&issuer, folder, "node", &[HOST])
}

/// Takes as many file handles as this process may have, and sees that they are enough.
fn handles(addresses: usize) -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let needed = addresses as u64 * HANDLES + OTHER_HANDLES;
    let enough = maximum.is_none_or(|maximum| maximum >= needed);
    ensure!(
        enough,
        "{addresses} addresses need {needed} file handles and this process may have {}: raise the limit (ulimit -n), or name \
         fewer with --addresses",
        maximum.unwrap_or_default()
    );
    Ok(())
}

/// A process that listens on so many ports in a row, below those that the kernel gives away.
async fn listening(args: &ProcessArgs, addresses: usize) -> Result<Process> {
    // the sessions of all hosts may share one connection, or have one each
    let limits = Limits { calls: 1 << 16, connections: 1 << 16, ..Limits::default() };
    let span = LAST_PORT.checked_sub(FIRST_PORT + addresses).context("there are not so many ports in a row")?;
    let begin = std::process::id() as usize * 97;
    let mut taken = None;
    for place in 0..PLACES {
        let port = FIRST_PORT + (begin + place * (addresses + 1)) % span.max(1);
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?)));
        let opened = Process::open_within("gyre-agent", &ProcessArgs { listen, ..args.clone() }, limits).await;
        let bound = match opened {
            Ok(mut process) => process.listen_further(addresses - 1).await.map(|()| process),
            Err(error) => Err(error),
        };
        match bound {
            Ok(process) => return Ok(process),
            Err(error) => taken = Some(error),
        }
    }
    Err(taken.context("no place was tried")?)
}

impl Simulator {
    /// Starts one, with its certificates in a folder.
    ///
    /// # Errors
    /// When there are not enough file handles or ports.
    pub async fn start(folder: &Path, simulation: Simulation, addresses: usize) -> Result<Self> {
        handles(addresses)?;
        let files = folder.join("tls");
        std::fs::create_dir_all(&files)?;
        authority(&files)?;
        let of = |name: &str| files.join(name);
        let identity = Identity::from_files(&of("agent.pem"), &of("agent.key"), &of("ca.pem"))?;
        let config = AgentConfig { peers: PeerTls::Mutual(identity.client()), ..AgentConfig::simulated(simulation) };
        let agent = Agent::start(config).await?;
        let args = ProcessArgs {
            tls_cert: Some(of("agent.pem")),
            tls_key: Some(of("agent.key")),
            tls_ca: Some(of("ca.pem")),
            ..ProcessArgs::embedded()
        };
        let mut process = listening(&args, addresses).await?;
        process.serve_outside_ring("agent", Routes::new(agent.service()));
        Ok(Self { agent, running: process.start().await?, addresses, files })
    }

    /// The agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Where it answers.
    pub fn addresses(&self) -> Vec<String> {
        let first = self.running.address().map_or(0, |address| usize::from(address.port()));
        (first..first + self.addresses).map(|port| format!("{HOST}:{port}")).collect()
    }

    /// Gives a node its certificate.
    pub fn trusted_by(&self, process: &mut ProcessArgs) {
        process.tls_cert = Some(self.files.join("node.pem"));
        process.tls_key = Some(self.files.join("node.key"));
        process.tls_ca = Some(self.files.join("ca.pem"));
    }

    /// Ends it.
    pub async fn shutdown(self) {
        self.agent.shutdown().await;
        self.running.shutdown().await;
    }
}
