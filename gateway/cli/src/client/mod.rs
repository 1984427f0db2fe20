//! The way to a gateway. Calls that commands are made of travel as bytes with a message type known at run time; the few that are
//! written by hand use the generated clients on the same channel ([`Client::channel`], [`Client::request`]).
//!
//! Every command is one trace: all its calls carry the same W3C trace id.

mod again;
mod codec;
mod connect;
mod credentials;
mod paths;
mod trace;

pub use connect::normalize;
pub use credentials::{
    Kept, Profile, Resolved, SignIn, Source, first_line, forget, keep, profile, read_secret, resolve, resolve_endpoint,
};
pub use paths::{DEFAULT, Paths};
pub use trace::Trace;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use gyre_model::catalog::MethodInfo;
use gyre_proto::identity::v1::session_service_client::SessionServiceClient;
use gyre_proto::identity::v1::{CreateSessionRequest, CreateSessionResponse};
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use crate::failure::{Failure, Result};

/// The longest time that a call is given: what is more does not fit the header, and nobody waits for it.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 86_400);
/// The largest answer that is read: a page of a thousand rows with room to spare.
const LARGEST_ANSWER: usize = 64 << 20;

/// A connection to a gateway, opened by the first call. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    endpoint: String,
    token: Option<MetadataValue<Ascii>>,
    callback: Option<MetadataValue<Ascii>>,
    trace: Trace,
    timeout: Duration,
    verbose: bool,
    /// How to get another token.
    sign_in: Option<Arc<SignIn>>,
}

impl Client {
    /// A client of the gateway at this endpoint (`http://host:port` or `https://…`). Nothing is sent yet.
    ///
    /// # Errors
    /// When the endpoint is no URL, or the certificates cannot be read.
    pub fn new(endpoint: &str, ca_file: Option<&Path>) -> Result<Self> {
        Ok(Self {
            channel: connect::channel(endpoint, ca_file)?,
            endpoint: endpoint.to_owned(),
            token: None,
            callback: None,
            trace: Trace::new(),
            timeout: Duration::from_secs(30),
            verbose: false,
            sign_in: None,
        })
    }

    /// The same with a token, a session's or an API key.
    ///
    /// # Errors
    /// When the token has characters that a header cannot have.
    pub fn with_token(mut self, token: &str) -> Result<Self> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| Failure::refused("BAD_TOKEN", "the token has characters that no token has"))?;
        value.set_sensitive(true);
        self.token = Some(value);
        Ok(self)
    }

    /// The same, which can get another token when its own has ended.
    #[must_use]
    pub fn with_sign_in(mut self, sign_in: &SignIn) -> Self {
        self.sign_in = Some(Arc::new(sign_in.clone()));
        self
    }

    /// The same with a new token; nothing where it does not know how to get one.
    ///
    /// # Errors
    /// When the sign-in is refused, or nobody answers.
    pub async fn renewed(&self) -> Result<Option<Self>> {
        let Some(sign_in) = &self.sign_in else { return Ok(None) };
        let session = self.sign_in(&sign_in.account, &sign_in.password).await?;
        self.clone().with_token(&session.token).map(Some)
    }

    /// The same, asking with its calls that begin an operation for it to be posted to a URL once it has ended.
    ///
    /// # Errors
    /// When the URL has characters that a header cannot have.
    pub fn with_callback(mut self, url: &str) -> Result<Self> {
        let value = url.parse().map_err(|_| Failure::usage("--callback: a URL is ASCII without line breaks"))?;
        self.callback = Some(value);
        Ok(self)
    }

    /// The same with another deadline for its calls.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same, telling of each call on standard error.
    #[must_use]
    pub fn with_verbose(mut self, verbose: bool) -> Self {
        self.verbose = verbose;
        self
    }

    /// The gateway.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The trace that its calls belong to.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// For generated clients.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A request with credentials, trace and deadline.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = self.open_request(message);
        request.set_timeout(self.timeout.min(LONGEST_TIMEOUT));
        request
    }

    /// A request without a deadline, for streams.
    pub fn open_request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        if let Ok(parent) = self.trace.parent().parse() {
            request.metadata_mut().insert("traceparent", parent);
        }
        if let Some(callback) = &self.callback {
            request.metadata_mut().insert("x-gyre-callback", callback.clone());
        }
        request
    }

    /// Tells of a call, where that was asked for.
    pub fn tell(&self, path: &str) {
        if self.verbose {
            eprintln!("{} {path} trace {}", self.endpoint, self.trace.id());
        }
    }

    async fn grpc(&self) -> Result<Grpc<Channel>> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER);
        grpc.ready().await?;
        Ok(grpc)
    }

    /// Makes a call.
    ///
    /// # Errors
    /// What the service answers, or that nobody does.
    pub async fn call(&self, method: &'static MethodInfo, message: &DynamicMessage) -> Result<DynamicMessage> {
        self.call_within(method, message, self.timeout).await
    }

    /// Makes a call that may take this long.
    ///
    /// # Errors
    /// What the service answers, or that nobody does.
    pub async fn call_within(
        &self,
        method: &'static MethodInfo,
        message: &DynamicMessage,
        timeout: Duration,
    ) -> Result<DynamicMessage> {
        let bytes = Bytes::from(message.encode_to_vec());
        let path = PathAndQuery::from_static(method.path);
        let grpc = self.grpc().await?;
        let once = |left| {
            self.tell(method.path);
            let mut request = self.open_request(bytes.clone());
            request.set_timeout(left);
            let (mut grpc, path) = (grpc.clone(), path.clone());
            async move {
                ready(&mut grpc).await?;
                grpc.unary(request, path, codec::BytesCodec).await
            }
        };
        let answer = again::again(timeout.min(LONGEST_TIMEOUT), again::repeatable(method, message), once).await?;
        decode(method.descriptor.output(), answer.into_inner())
    }

    /// Opens a stream of answers.
    ///
    /// # Errors
    /// What the service answers, or that nobody does.
    pub async fn open(&self, method: &'static MethodInfo, message: &DynamicMessage) -> Result<Answers> {
        let bytes = Bytes::from(message.encode_to_vec());
        let path = PathAndQuery::from_static(method.path);
        let grpc = self.grpc().await?;
        let once = |_| {
            self.tell(method.path);
            let request = self.open_request(bytes.clone());
            let (mut grpc, path) = (grpc.clone(), path.clone());
            async move {
                ready(&mut grpc).await?;
                grpc.server_streaming(request, path, codec::BytesCodec).await
            }
        };
        let answer = again::again(self.timeout, again::repeatable(method, message), once).await?;
        Ok(Answers { stream: answer.into_inner(), descriptor: method.descriptor.output() })
    }

    /// Sends a stream of requests and opens one of answers.
    ///
    /// # Errors
    /// What the service answers, or that nobody does.
    pub async fn talk(
        &self,
        method: &'static MethodInfo,
        messages: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Answers> {
        self.tell(method.path);
        let path = PathAndQuery::from_static(method.path);
        let request = self.open_request(messages);
        let answer = self.grpc().await?.streaming(request, path, codec::BytesCodec).await?;
        Ok(Answers { stream: answer.into_inner(), descriptor: method.descriptor.output() })
    }

    /// Sends a stream of requests.
    ///
    /// # Errors
    /// What the service answers, or that nobody does.
    pub async fn send(
        &self,
        method: &'static MethodInfo,
        messages: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<DynamicMessage> {
        self.tell(method.path);
        let path = PathAndQuery::from_static(method.path);
        let request = self.open_request(messages);
        let answer = self.grpc().await?.client_streaming(request, path, codec::BytesCodec).await?;
        decode(method.descriptor.output(), answer.into_inner())
    }

    /// Signs in. Answers the token and when it ends.
    ///
    /// # Errors
    /// When name and password do not fit, or nobody answers.
    pub async fn sign_in(&self, account: &str, password: &str) -> Result<CreateSessionResponse> {
        self.tell("/gyre.identity.v1.SessionService/CreateSession");
        let request = CreateSessionRequest { account: account.to_owned(), password: password.to_owned() };
        let answer = SessionServiceClient::new(self.channel()).create_session(self.request(request)).await?;
        Ok(answer.into_inner())
    }
}

/// Waits until a call may be made: a clone of what was ready is not.
async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))
}

fn decode(descriptor: MessageDescriptor, bytes: Bytes) -> Result<DynamicMessage> {
    DynamicMessage::decode(descriptor, bytes)
        .map_err(|error| Failure::general(format!("the answer is not what this version of gyre expects: {error}")))
}

/// A stream of answers.
#[derive(Debug)]
pub struct Answers {
    stream: Streaming<Bytes>,
    descriptor: MessageDescriptor,
}

impl Answers {
    /// The next answer, or none after the last.
    ///
    /// # Errors
    /// When the stream breaks.
    pub async fn next(&mut self) -> Result<Option<DynamicMessage>> {
        match self.stream.message().await? {
            Some(bytes) => decode(self.descriptor.clone(), bytes).map(Some),
            None => Ok(None),
        }
    }
}
