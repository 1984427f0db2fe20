//! gRPC in: reads the first message, finds the host, and hands on.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use gyre_model::{Error, Kind, Result};
use gyre_proto::agent::v1::agent_service_server::AgentService;
use gyre_proto::agent::v1::{
    ReadConsoleRequest, ReadConsoleResponse, ReadImageRequest, ReadImageResponse, SessionRequest, SessionResponse,
    WriteConsoleRequest, WriteConsoleResponse, WriteImageRequest, WriteImageResponse, session_request::Message,
};
use tonic::{Request, Response, Status, Streaming};

use crate::agent::Agent;
use crate::failure;
use crate::host::{Host, stopping};
use crate::images;
use crate::ports::Stage;

/// How long a caller may take to say its first word, and an uploader between two pieces.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of a console is shown where the caller does not say.
const TAIL_BYTES: u64 = 64 << 10;

/// The agent's service.
#[derive(Clone)]
pub struct Service {
    agent: Agent,
}

impl Service {
    pub(crate) fn new(agent: Agent) -> Self {
        Self { agent }
    }

    fn host(&self, host_uuid: &str) -> Result<Host> {
        if self.agent.stopping().is_cancelled() {
            return Err(stopping());
        }
        self.agent.host(host_uuid, false)
    }

    /// Ends a stream with the agent.
    fn until_stop<T: Send + 'static>(
        &self,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T, Status>> {
        let stopped = self.agent.stopping().clone().cancelled_owned();
        let end = futures::stream::once(async { Err(Status::from(stopping())) });
        let stopped = Box::pin(stopped);
        stream.map(|item| item.map_err(Status::from)).take_until(stopped).chain(end_if(self.agent.clone(), end)).boxed()
    }
}

/// A last word that is said only when the agent is ending.
fn end_if<T: Send + 'static>(
    agent: Agent,
    end: impl futures::Stream<Item = Result<T, Status>> + Send + 'static,
) -> impl futures::Stream<Item = Result<T, Status>> + Send {
    end.filter(move |_| std::future::ready(agent.stopping().is_cancelled()))
}

async fn patiently<T>(what: &str, next: impl Future<Output = Result<Option<T>, Status>>) -> Result<Option<T>, Status> {
    tokio::time::timeout(PATIENCE, next).await.map_err(|_| {
        let text = format!("{what} did not come within {} s", PATIENCE.as_secs());
        Status::from(Error::new(Kind::DeadlineExceeded, "STREAM_IDLE", text))
    })?
}

#[tonic::async_trait]
impl AgentService for Service {
    type SessionStream = BoxStream<'static, Result<SessionResponse, Status>>;
    type ReadImageStream = BoxStream<'static, Result<ReadImageResponse, Status>>;
    type ReadConsoleStream = BoxStream<'static, Result<ReadConsoleResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut requests = request.into_inner();
        let first = patiently("the controller's hello", requests.message()).await?;
        let Some(Message::Hello(hello)) = first.and_then(|request| request.message) else {
            return Err(Error::new(
                Kind::InvalidArgument,
                "SESSION_HELLO_MISSING",
                "the first message of a session must be the controller's hello",
            )
            .into());
        };
        if self.agent.stopping().is_cancelled() {
            return Err(stopping().into());
        }
        if hello.host_uuid.is_empty() {
            return Err(Error::invalid("hello.host_uuid", "must name the host").into());
        }
        let session = self.agent.host(&hello.host_uuid, true)?.open(&hello).await?;
        Ok(Response::new(session.run(requests)))
    }

    async fn read_image(&self, request: Request<ReadImageRequest>) -> Result<Response<Self::ReadImageStream>, Status> {
        let request = request.into_inner();
        let host = self.host(&request.host_uuid)?;
        let image = failure::uuid("image_uuid", &request.image_uuid)?;
        let folder = images::folder("folder", &request.folder)?;
        let Some(image) = host.ports().storage.image_read(&folder, image, Stage::Kept).await? else {
            return Err(Error::not_found("image", image).into());
        };
        let pieces = image.data.map(|piece| piece.map(|data| ReadImageResponse { data })).boxed();
        Ok(Response::new(self.until_stop(pieces)))
    }

    async fn write_image(
        &self,
        request: Request<Streaming<WriteImageRequest>>,
    ) -> Result<Response<WriteImageResponse>, Status> {
        let mut pieces = request.into_inner();
        let first = patiently("the first piece of the upload", pieces.message()).await?;
        let first = first.ok_or_else(|| Error::invalid("image_uuid", "must be in the first message"))?;
        let host = self.host(&first.host_uuid)?;
        let image = failure::uuid("image_uuid", &first.image_uuid)?;
        let folder = images::folder("folder", &first.folder)?;
        let mut writer = host.ports().storage.image_write(&folder, image, Stage::Uploaded).await?;
        let (mut bytes, mut data) = (0_u64, first.data);
        loop {
            bytes += data.len() as u64;
            if bytes > host.images().max_bytes() {
                return Err(host.images().too_large(bytes).into());
            }
            if !data.is_empty() {
                writer.write(data).await?;
            }
            let next = tokio::select! {
                () = self.agent.stopping().cancelled() => return Err(stopping().into()),
                next = patiently("the next piece of the upload", pieces.message()) => next?,
            };
            match next {
                Some(piece) => data = piece.data,
                None => break,
            }
        }
        writer.seal().await?;
        writer.keep().await?;
        Ok(Response::new(WriteImageResponse { bytes: i64::try_from(bytes).unwrap_or(i64::MAX) }))
    }

    async fn read_console(
        &self,
        request: Request<ReadConsoleRequest>,
    ) -> Result<Response<Self::ReadConsoleStream>, Status> {
        let request = request.into_inner();
        let host = self.host(&request.host_uuid)?;
        let vm = failure::uuid("vm_uuid", &request.vm_uuid)?;
        let tail = u64::try_from(request.tail_bytes).ok().filter(|tail| *tail > 0).unwrap_or(TAIL_BYTES);
        let pieces = host.ports().hypervisor.console_read(vm, tail, request.follow).await?;
        let pieces = pieces.map(|piece: Result<Bytes>| piece.map(|data| ReadConsoleResponse { data })).boxed();
        Ok(Response::new(self.until_stop(pieces)))
    }

    async fn write_console(
        &self,
        request: Request<WriteConsoleRequest>,
    ) -> Result<Response<WriteConsoleResponse>, Status> {
        let request = request.into_inner();
        let host = self.host(&request.host_uuid)?;
        let vm = failure::uuid("vm_uuid", &request.vm_uuid)?;
        host.ports().hypervisor.console_write(vm, request.data).await?;
        Ok(Response::new(WriteConsoleResponse {}))
    }
}
