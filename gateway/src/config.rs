//! What an operator can set of the gateway: where it listens, and the bounds of what comes from outside.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::Bounds;

/// The gateway's settings. The defaults suit one machine and a cluster alike.
#[derive(Debug, Clone, Default)]
pub struct GatewayConfig {
    /// The certificate and key to serve with; without them the port speaks plain text.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The bounds.
    pub limits: Limits,
}

/// Bounds of what comes from outside.
#[derive(Debug, Clone, clap::Args)]
pub struct Limits {
    /// Most connections at a time; one more is closed at once
    #[arg(long = "gateway-max-connections", env = "GYRE_GATEWAY_MAX_CONNECTIONS", default_value_t = 10_000)]
    pub connections: usize,
    /// Most bytes of a JSON body
    #[arg(long = "gateway-max-body-bytes", env = "GYRE_GATEWAY_MAX_BODY_BYTES", default_value_t = 1 << 20)]
    pub body_bytes: usize,
    /// Most bytes of one gRPC message
    #[arg(long = "gateway-max-message-bytes", env = "GYRE_GATEWAY_MAX_MESSAGE_BYTES", default_value_t = 4 << 20)]
    pub message_bytes: usize,
    /// Most bytes of an upload
    #[arg(long = "gateway-max-upload-bytes", env = "GYRE_GATEWAY_MAX_UPLOAD_BYTES", default_value_t = 1 << 40)]
    pub upload_bytes: u64,
    /// Most bytes of a request's headers
    #[arg(long = "gateway-max-header-bytes", env = "GYRE_GATEWAY_MAX_HEADER_BYTES", default_value_t = 16 << 10)]
    pub header_bytes: usize,
    /// Seconds within which the head of a request must be there
    #[arg(long = "gateway-header-seconds", env = "GYRE_GATEWAY_HEADER_SECONDS", value_parser = seconds, default_value = "10")]
    pub header_time: Duration,
    /// Seconds within which the next piece of a body must come, or be taken
    #[arg(long = "gateway-body-seconds", env = "GYRE_GATEWAY_BODY_SECONDS", value_parser = seconds, default_value = "30")]
    pub body_time: Duration,
    /// Seconds after which a connection without calls is closed
    #[arg(long = "gateway-idle-seconds", env = "GYRE_GATEWAY_IDLE_SECONDS", value_parser = seconds, default_value = "120")]
    pub idle_time: Duration,
    /// Seconds that a call may take at most, unless it is a stream
    #[arg(long = "gateway-call-seconds", env = "GYRE_GATEWAY_CALL_SECONDS", value_parser = seconds, default_value = "600")]
    pub call_time: Duration,
    /// Seconds that calls may go on after the gateway was told to stop
    #[arg(long = "gateway-drain-seconds", env = "GYRE_GATEWAY_DRAIN_SECONDS", value_parser = seconds, default_value = "10")]
    pub drain_time: Duration,
    /// Calls that read and work at once; more wait in turns between accounts, of which one alone may have two thirds. Where it is not
    /// given: eight for each processor, and at least 16; where all services and SQLite are in the same process, one more than processors
    #[arg(long = "gateway-reads", env = "GYRE_GATEWAY_READS", value_name = "NUMBER")]
    pub reads: Option<usize>,
    /// Milliseconds for which a call that reads counts as working at most; what takes longer waits for the database, and lets others in
    #[arg(long = "gateway-read-milliseconds", env = "GYRE_GATEWAY_READ_MILLISECONDS", value_parser = milliseconds, default_value = "5")]
    pub read_time: Duration,
    /// Calls that change something and work at once; the same
    #[arg(long = "gateway-changes", env = "GYRE_GATEWAY_CHANGES", value_name = "NUMBER", default_value_t = 128)]
    pub changes: usize,
    /// Calls of one account that wait for their turn, of either kind; one more is refused, to be tried again
    #[arg(long = "gateway-waiting", env = "GYRE_GATEWAY_WAITING", default_value_t = 512)]
    pub waiting: usize,
    /// Seconds that a call waits for its turn at most
    #[arg(long = "gateway-waiting-seconds", env = "GYRE_GATEWAY_WAITING_SECONDS", value_parser = seconds, default_value = "2")]
    pub waiting_time: Duration,
    /// Failed sign-ins a minute that one address may make for one account
    #[arg(long = "gateway-sign-ins", env = "GYRE_GATEWAY_SIGN_INS", default_value_t = 10)]
    pub sign_ins: u32,
}

impl Limits {
    /// The bounds of what works and waits.
    pub(crate) fn admission(&self) -> Bounds {
        let usual = || std::thread::available_parallelism().map_or(2, std::num::NonZero::get).saturating_mul(8).max(16);
        Bounds {
            reads: self.reads.unwrap_or_else(usual),
            held: self.read_time,
            changes: self.changes,
            line: self.waiting,
            patience: self.waiting_time,
        }
    }
}

/// Reads milliseconds, more than none.
fn milliseconds(text: &str) -> Result<Duration, String> {
    seconds(text).map(|time| time / 1000).map_err(|error| error.replace("seconds", "milliseconds"))
}

/// Reads seconds, more than none.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "must be more than 0".to_owned())
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            body_bytes: 1 << 20,
            message_bytes: 4 << 20,
            upload_bytes: 1 << 40,
            header_bytes: 16 << 10,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(120),
            call_time: Duration::from_secs(600),
            drain_time: Duration::from_secs(10),
            reads: None,
            read_time: Duration::from_millis(5),
            changes: 128,
            waiting: 512,
            waiting_time: Duration::from_secs(2),
            sign_ins: 10,
        }
    }
}
