//! The portal: one door for gRPC, HTTP/JSON and browsers.
//!
//! The gateway knows no resource. What it needs of each call (its route, its shape, who may make it) it reads from the descriptor
//! set at start and lays out in tables, so that a new call costs no edit here. The way of a request:
//!
//! 1. `serve`: one TCP port, HTTP/1.1 and HTTP/2, in plain text or TLS; connections are bounded, watched and drained.
//! 2. `front`: bounds its headers, gives it a trace, and tells gRPC, gRPC-web and HTTP apart.
//! 3. `auth`: finds out who calls, mostly from memory. From here on the caller travels in headers that only members may set;
//!    those that came from outside are dropped.
//!    `policy`: what policies refuse is refused here; where they ask what a call is about, once its request is there.
//! 4. `admission`: bounds how many calls work at once, and gives each account its part. What is too much is refused here.
//! 5. `rest` puts the request message together from path, query and JSON body; `grpc` leaves it as it is.
//! 6. `forward`: hands it to the mesh, which finds the owner, tries again, and keeps the deadline.
//! 7. The answer passes as it is (gRPC), or is printed as JSON, events or an operation (HTTP).
//!
//! Ground rules: what comes from outside is hostile and bounded in size, depth, number and time before it costs anything; each
//! refusal is counted by its reason; on the way of a call there is no descriptor, no box that is not needed, and no lock that all calls
//! share but that of `admission`, which is held for some hundred nanoseconds. The gateway keeps no state that another gateway would miss.

mod admission;
mod again;
mod audit;
pub mod auth;
mod body;
mod callback;
pub mod config;
mod door;
mod forward;
mod front;
mod grpc;
mod members;
pub mod metrics;
mod openapi;
mod page;
mod policy;
mod refusal;
mod rest;
mod resume;
mod serve;
mod sign_in;
pub mod tls;
mod trace;

use std::sync::Arc;

use gyre_mesh::Mesh;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::config::{GatewayConfig, Limits};
pub use self::door::{ApiArgs, Door};

use self::admission::Admission;
use self::audit::Refusals;
use self::auth::Authenticator;
use self::auth::throttle::Throttle;
use self::forward::Forward;
use self::front::Front;
use self::grpc::Own;
use self::page::Pages;
use self::rest::table::Table;

/// Why a gateway cannot be made: the descriptors that were built in do not hold together.
#[derive(Debug, thiserror::Error)]
#[error("the API's descriptors do not hold together: {0}")]
pub struct SetupError(String);

/// A gateway into a mesh. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway {
    front: Arc<Front>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Gateway {
    /// A gateway into this mesh.
    ///
    /// # Errors
    /// When the descriptors that were built in do not hold together, which the tests would have found.
    pub fn new(mesh: Mesh, config: GatewayConfig) -> Result<Self, SetupError> {
        let table = Table::new().map_err(SetupError)?;
        let front = Front {
            authenticator: Authenticator::new(mesh.channel("identity")),
            throttle: Throttle::new(config.limits.sign_ins),
            admission: Admission::new(config.limits.admission()),
            forward: Forward::new(&mesh),
            refusals: Refusals::new(),
            pages: Pages::new(&table),
            own: Own::new().map_err(SetupError)?,
            table,
            limits: config.limits,
            stopping: CancellationToken::new(),
        };
        Ok(Self { front: Arc::new(front), tls: config.tls })
    }

    /// The OpenAPI document of this build, as `/openapi.json` answers it.
    ///
    /// # Errors
    /// When the descriptors that were built in do not hold together.
    pub fn openapi() -> Result<serde_json::Value, SetupError> {
        Ok(openapi::document(&Table::new().map_err(SetupError)?))
    }

    /// Answers what comes in at a listener until told to stop; returns when calls under way have ended, or the drain time is
    /// over. A gateway that was stopped does not serve again.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        self.front.own.serving(true).await;
        let serving = serve::serve(self.front.clone(), listener, self.tls.clone(), stop.clone());
        let unready = async {
            stop.cancelled().await;
            self.front.own.serving(false).await;
        };
        // any service writes them down
        let telling = self.front.refusals.tell(self.front.forward.mesh().channel("identity"), stop.clone());
        tokio::join!(serving, unready, telling);
    }
}
