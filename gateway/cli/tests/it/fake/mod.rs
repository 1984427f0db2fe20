//! A gateway in memory, over TCP and tonic's own server, that knows every call of the descriptors: it keeps what is created, and
//! answers work with operations that end when they are watched. Tests look at what it was asked and tell it what to refuse.

mod calls;
mod server;
mod user;

pub use user::{Done, User};

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use gyre_model::catalog::catalog;
use gyre_model::{Error, Uuid};
use gyre_proto::common::v1::Operation;
use prost_reflect::{DynamicMessage, Value};

/// The password of everybody.
pub const PASSWORD: &str = "correct horse";

/// A call that was made.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: &'static str,
    pub request: DynamicMessage,
    pub authorization: Option<String>,
    pub traceparent: Option<String>,
    pub callback: Option<String>,
}

#[derive(Debug, Default)]
pub struct State {
    pub calls: Vec<Call>,
    pub resources: BTreeMap<(String, String), DynamicMessage>,
    pub operations: BTreeMap<String, Operation>,
    /// Calls that are refused, by name.
    pub faults: HashMap<&'static str, Error>,
    /// Whether operations fail.
    pub failing: Option<Error>,
    /// How many watches break before one goes to the end.
    pub broken_watches: usize,
    /// Whether operations never end.
    pub endless: bool,
    /// Tokens that are believed; everybody may call where it is none.
    pub tokens: Option<Vec<String>>,
    pub typed: Vec<u8>,
    pub uploaded: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Fake {
    pub state: Arc<Mutex<State>>,
    pub endpoint: String,
}

impl Fake {
    /// Starts one on a free port, on a thread of its own.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same with TLS, as "localhost"; answers its certificate too.
    pub fn start_tls() -> (Self, String) {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = key.cert.pem();
        let identity = tonic::transport::Identity::from_pem(&certificate, key.signing_key.serialize_pem());
        let mut fake = Self::start_with(Some(tonic::transport::ServerTlsConfig::new().identity(identity)));
        fake.endpoint = fake.endpoint.replace("http://127.0.0.1", "https://localhost");
        (fake, certificate)
    }

    fn start_with(tls: Option<tonic::transport::ServerTlsConfig>) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let service = server::Service(Arc::clone(&state));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let incoming = tokio_stream::wrappers::TcpListenerStream::new(
                    tokio::net::TcpListener::from_std(listener).unwrap(),
                );
                let routes = tonic::service::Routes::from(axum::Router::new().fallback_service(service));
                let mut server = tonic::transport::Server::builder();
                if let Some(tls) = tls {
                    server = server.tls_config(tls).unwrap();
                }
                server.add_routes(routes).serve_with_incoming(incoming).await.unwrap();
            });
        });
        Self { state, endpoint }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The requests of a call, in order.
    pub fn requests(&self, name: &str) -> Vec<serde_json::Value> {
        let calls = self.state().calls.clone();
        calls.iter().filter(|call| call.name == name).map(|call| json(&call.request)).collect()
    }

    /// Puts a resource there and answers its UUID.
    pub fn given(&self, kind: &str, fields: serde_json::Value) -> String {
        let info = catalog().kind(kind).unwrap();
        let descriptor = catalog().pool().get_message_by_name(info.message).unwrap();
        let mut message = DynamicMessage::deserialize(descriptor, fields).unwrap();
        let uuid = Uuid::new_v4().to_string();
        message.set_field_by_name("uuid", Value::String(uuid.clone()));
        self.state().resources.insert((kind.to_owned(), uuid.clone()), message);
        uuid
    }
}

pub fn json(message: &DynamicMessage) -> serde_json::Value {
    serde_json::to_value(message).unwrap()
}
