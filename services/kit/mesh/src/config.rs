//! What a process is told at its start: the one place of the mesh that reads the command line and the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::egress::Rule;
use crate::mesh::OPERATIONS;
use crate::tls::Identity;

/// What every process is told. For flattening into a binary's own arguments.
#[derive(Debug, Clone, Args)]
pub struct ProcessArgs {
    /// Address to listen on for calls from the mesh, such as 10.0.0.1:7070. Port 0 takes any that is free.
    #[arg(long, env = "GYRE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: Option<SocketAddr>,

    /// Address that other processes reach this one at: host:port. Where it is not given: the one listened on.
    #[arg(long, env = "GYRE_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,

    /// Address of the plain HTTP listener for /metrics and /healthz.
    #[arg(long, env = "GYRE_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,

    /// An etcd endpoint such as http://10.0.0.1:2379; several by repeating it or with commas. Without any, this process is alone.
    #[arg(long, env = "GYRE_ETCD", value_name = "URL", value_delimiter = ',')]
    pub etcd: Vec<String>,

    /// The database: postgres://… or sqlite:///path.
    #[arg(long, env = "GYRE_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,

    /// Certificate of this process (PEM), with those between it and the authority.
    #[arg(long, env = "GYRE_TLS_CERT", value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    pub tls_cert: Option<PathBuf>,

    /// Key of the certificate (PEM).
    #[arg(long, env = "GYRE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Certificate of the deployment's authority (PEM): peers must have one from it.
    #[arg(long, env = "GYRE_TLS_CA", value_name = "FILE", requires = "tls_cert")]
    pub tls_ca: Option<PathBuf>,

    /// Speak without TLS. Only on loopback addresses.
    #[arg(long, env = "GYRE_INSECURE", conflicts_with = "tls_cert")]
    pub insecure: bool,

    /// How long the membership of a dead process lasts.
    #[arg(long, env = "GYRE_LEASE_TTL", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub lease_ttl: Duration,

    /// How long a process that shuts down waits for calls to end, and then for tasks.
    #[arg(long, env = "GYRE_DRAIN_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub drain_timeout: Duration,

    /// How long operations that have ended are remembered, with what happened to them.
    #[arg(long, env = "GYRE_KEEP_OPERATIONS", value_name = "TIME", default_value = "7d", value_parser = parse_duration)]
    pub keep_operations: Duration,

    /// Most operations that one account may have under way or waiting at each instance of a service; one more is refused, to be
    /// tried again. What operations themselves begin is not counted.
    #[arg(long, env = "GYRE_OPERATIONS_PER_ACCOUNT", value_name = "NUMBER", default_value_t = OPERATIONS)]
    pub operations_per_account: usize,

    /// Directory of files that change workflows, in a folder for each service; docs/workflows.md says how.
    #[arg(long, env = "GYRE_WORKFLOWS", value_name = "DIR")]
    pub workflows: Option<PathBuf>,

    /// Where callbacks may go: public, hooks.example.com, *.example.com, hooks.example.com:8443, or a network such as 10.0.0.0/8;
    /// several by repeating it or with commas. The same for all services and gateways. Without any, calls with one are refused.
    #[arg(long, env = "GYRE_CALLBACK_ALLOW", value_name = "RULE", value_delimiter = ',')]
    pub callback_allow: Vec<Rule>,

    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// Where logs and traces go.
#[derive(Debug, Clone, Args)]
pub struct TelemetryArgs {
    /// OTLP endpoint (gRPC) that spans are sent to, such as http://127.0.0.1:4317.
    #[arg(long, env = "GYRE_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// What is logged: a level, or levels by module, such as "info,gyre_mesh=debug".
    #[arg(long, env = "GYRE_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// Log JSON, one object a line.
    #[arg(long, env = "GYRE_LOG_JSON")]
    pub log_json: bool,
}

impl Default for TelemetryArgs {
    fn default() -> Self {
        Self { otlp_endpoint: None, log: "info".into(), log_json: false }
    }
}

impl ProcessArgs {
    /// For a process that is alone and listens nowhere: services, gateway and agent call each other inside it.
    pub fn embedded() -> Self {
        Self {
            listen: None,
            advertise: None,
            metrics_listen: None,
            etcd: Vec::new(),
            database: None,
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            insecure: false,
            lease_ttl: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(10),
            keep_operations: Duration::from_secs(7 * 24 * 3600),
            operations_per_account: OPERATIONS,
            workflows: None,
            callback_allow: Vec::new(),
            telemetry: TelemetryArgs::default(),
        }
    }

    /// For a process that listens without TLS on a free loopback port.
    pub fn loopback() -> Self {
        Self { listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))), insecure: true, ..Self::embedded() }
    }

    /// The certificate that this process was given.
    ///
    /// # Errors
    /// When it cannot be read, or when there is none although the process listens and was not told to do so without.
    pub fn identity(&self) -> anyhow::Result<Option<Identity>> {
        if let (Some(certificate), Some(key), Some(authority)) = (&self.tls_cert, &self.tls_key, &self.tls_ca) {
            return Identity::from_files(certificate, key, authority).map(Some);
        }
        let Some(listen) = self.listen else { return Ok(None) };
        if !self.insecure {
            bail!("name a certificate with --tls-cert, --tls-key and --tls-ca, or --insecure on a loopback address");
        }
        if !listen.ip().is_loopback() {
            bail!("{listen} is not a loopback address: --insecure is only for those");
        }
        Ok(None)
    }

    /// The database.
    ///
    /// # Errors
    /// When none was named.
    pub fn database(&self) -> anyhow::Result<&str> {
        self.database.as_deref().context("name the database with --database or GYRE_DATABASE")
    }
}

/// Reads "5s", "500ms", "2m", "36h", "7d", or seconds.
///
/// # Errors
/// When it is none of these.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = |what: &str| format!("{what}; write 500ms, 5s, 2m, 36h or 7d");
    let number: u64 = number.parse().map_err(|_| wrong(&format!("{text:?} is no time")))?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "" | "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        "d" => number.checked_mul(24 * 3600),
        _ => return Err(wrong(&format!("{unit:?} is no unit of time"))),
    };
    seconds.map(Duration::from_secs).ok_or_else(|| wrong(&format!("{text:?} is too long")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Binary {
        #[command(flatten)]
        args: ProcessArgs,
    }

    fn read(args: &[&str]) -> ProcessArgs {
        Binary::try_parse_from([&["gyre-test"], args].concat()).unwrap().args
    }

    #[test]
    fn plaintext_is_only_for_loopback_and_only_when_asked_for() {
        assert!(read(&[]).identity().is_err());
        assert!(read(&["--insecure"]).identity().unwrap().is_none());
        let error = read(&["--insecure", "--listen", "10.0.0.1:7070"]).identity().unwrap_err();
        assert!(error.to_string().contains("not a loopback address"), "{error}");
        assert!(ProcessArgs::embedded().identity().unwrap().is_none());
        assert!(ProcessArgs::loopback().identity().unwrap().is_none());
        assert!(Binary::try_parse_from(["gyre-test", "--tls-cert", "a.pem"]).is_err());
    }

    #[test]
    fn times_and_lists_are_read() {
        let args = read(&["--etcd", "http://a:2379,http://b:2379", "--lease-ttl", "1500ms"]);
        assert_eq!(args.etcd.len(), 2);
        assert_eq!(args.lease_ttl, Duration::from_millis(1500));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        assert_eq!(read(&[]).keep_operations, ProcessArgs::embedded().keep_operations);
        assert!(parse_duration("soon").is_err() && parse_duration("5y").is_err());
        assert!(parse_duration("999999999999999999d").is_err());
        let args = read(&["--callback-allow", "public,10.0.0.0/8", "--callback-allow", "*.example.com"]);
        assert_eq!(args.callback_allow.len(), 3);
        assert!(Binary::try_parse_from(["gyre-test", "--callback-allow", "https://example.com/"]).is_err());
    }
}
