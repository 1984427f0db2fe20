//! Accounts, signing in, what programs sign in with, what they may do then, and where changes are posted to ([`webhooks`]).
//!
//! # Theory
//! - An account's row is a resource like any other. What it proves itself with lies beside it, in tables that no list, filter or
//!   change log reaches: the argon2id hash of its password ([`password`]), the SHA-256 of each API key ([`secret`]). Neither can
//!   be turned back, and neither leaves this service. A change of a password shows in the change log as a change of the account
//!   in which nothing differs.
//! - Signing in answers a token ([`token`]) that gateways verify by themselves, with the public keys that this service lists
//!   ([`keys`]). A token says who; whether that account may still call is asked again every few seconds (`CheckAccount`). So a
//!   disabled account is out within seconds although its token is good.
//! - What policies forbid is refused by gateways, which hear of those that bind an account or a key together with whether it may call.
//!   This service keeps the rows, and sees that none reaches further than its owner does.
//! - Who fails to sign in hears the same, and waits as long, whatever was wrong. Hashing is work for a core: it runs beside the
//!   runtime, as many at a time as are configured, and when too many wait further ones are refused at once.
//! - There is always an administrator who may sign in: the first is made at the first start ([`bootstrap`]), and the last one can
//!   neither be disabled nor deleted. Both are decided in the transaction that acts, on rows that it holds.

mod api;
mod bootstrap;
mod keys;
mod password;
mod secret;
mod store;
mod token;
mod webhooks;
mod workflows;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gyre_flow::Flow;
use gyre_mesh::Mesh;
use gyre_model::Result;
use gyre_proto::identity::v1::account_service_server::AccountServiceServer;
use gyre_proto::identity::v1::api_key_service_server::ApiKeyServiceServer;
use gyre_proto::identity::v1::authentication_service_server::AuthenticationServiceServer;
use gyre_proto::identity::v1::dead_letter_service_server::DeadLetterServiceServer;
use gyre_proto::identity::v1::policy_service_server::PolicyServiceServer;
use gyre_proto::identity::v1::session_service_server::SessionServiceServer;
use gyre_proto::identity::v1::webhook_service_server::WebhookServiceServer;
use gyre_store::Store;
use tonic::service::Routes;

use password::Passwords;

pub use password::PasswordCost;

/// The service's name in the mesh.
pub const NAME: &str = "identity";

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a token is good.
    pub token_ttl: Duration,
    /// How long a key signs tokens before the next one takes over.
    pub key_lifetime: Duration,
    /// How often keys are looked after.
    pub key_period: Duration,
    /// What hashing a password costs.
    pub password_cost: PasswordCost,
    /// Passwords that are hashed at the same time; each takes a core, and the memory that the cost says.
    pub password_parallelism: usize,
    /// Sign-ins that wait for their turn at most; further ones are refused at once.
    pub sign_in_queue: usize,
    /// The password of the first administrator, instead of a random one.
    pub admin_password: Option<String>,
    /// The directory of files that change workflows.
    pub workflows: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            token_ttl: Duration::from_secs(3600),
            key_lifetime: Duration::from_secs(30 * 24 * 3600),
            key_period: Duration::from_secs(600),
            password_cost: PasswordCost::default(),
            password_parallelism: std::thread::available_parallelism().map_or(1, usize::from),
            sign_in_queue: 128,
            admin_password: None,
            workflows: None,
        }
    }
}

/// The service in one process. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub flow: Flow,
    pub store: Store,
    pub passwords: Passwords,
    pub config: Config,
    pub webhooks: webhooks::Webhooks,
}

impl Service {
    /// Makes the first signing key where there is none, and starts to look after the keys.
    ///
    /// # Errors
    /// A cost of passwords that argon2 refuses; a database that does not answer.
    pub async fn start(mesh: Mesh, store: Store, config: Config) -> Result<Self> {
        let flow = Flow::new(NAME, mesh, store.clone());
        let passwords = Passwords::new(&config)?;
        let inner = Arc::new(Inner { flow, store, passwords, config, webhooks: webhooks::Webhooks::default() });
        keys::tend(&inner.store, &inner.config).await?;
        keys::start(&inner);
        let directory = inner.config.workflows.as_deref();
        inner.flow.register_with(workflows::steps(&inner), workflows::DEFINITIONS, directory)?;
        inner.flow.start();
        webhooks::start(&inner);
        Ok(Self { inner })
    }

    /// Makes the first administrator, where there is no account at all: `admin`, with a random password (or the configured one)
    /// that is written to a sign-in file beforehand. Answers whether it did. Where there are accounts, a sign-in file that is
    /// there gets the present endpoint.
    ///
    /// # Errors
    /// A file that cannot be written or used; a database that does not answer.
    pub async fn bootstrap(&self, endpoint: &str, admin_file: &Path) -> Result<bool> {
        let chosen = self.inner.config.admin_password.as_deref();
        bootstrap::first_admin(&self.inner.store, &self.inner.passwords, chosen, endpoint, admin_file).await
    }
}

/// [`Service::bootstrap`] for who has the database at hand and not the service.
///
/// # Errors
/// As there.
pub async fn bootstrap(store: &Store, endpoint: &str, admin_file: &Path) -> Result<bool> {
    let config = Config::default();
    bootstrap::first_admin(store, &Passwords::new(&config)?, None, endpoint, admin_file).await
}

impl gyre_flow::process::Service for Service {
    const NAME: &'static str = NAME;

    fn routes(&self) -> Routes {
        let api = api::Api::new(Arc::clone(&self.inner));
        let routes = Routes::new(AccountServiceServer::new(api.clone()))
            .add_service(ApiKeyServiceServer::new(api.clone()))
            .add_service(PolicyServiceServer::new(api.clone()))
            .add_service(SessionServiceServer::new(api.clone()))
            .add_service(WebhookServiceServer::new(api.clone()))
            .add_service(DeadLetterServiceServer::new(api.clone()))
            .add_service(AuthenticationServiceServer::new(api));
        self.inner.flow.answer(routes)
    }

    async fn shutdown(&self, limit: Duration) {
        self.inner.flow.shutdown(limit).await;
    }
}
