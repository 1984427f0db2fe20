//! Consoles and uploads: relayed to the agent's address, beside the session.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use gyre_mesh::{MeshChannel, reason};
use gyre_model::{Error, Result, Uuid};
use gyre_proto::agent::v1::agent_service_client::AgentServiceClient;
use gyre_proto::agent::v1::{self as agent};
use gyre_proto::host::v1::{
    ReadConsoleRequest, ReadConsoleResponse, WriteConsoleRequest, WriteConsoleResponse, WriteImageRequest,
    WriteImageResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Api, uuid};
use crate::sessions::{Link, not_connected};

/// Pieces of an upload between its caller and the agent.
const PIECES: usize = 4;

impl Api {
    async fn agent(&self, host: Uuid) -> Result<(Arc<Link>, AgentServiceClient<MeshChannel>)> {
        let link = self.0.sessions.link(host).await?;
        let channel = self.0.mesh.channel("agent").at(Arc::clone(&link.address));
        Ok((link, AgentServiceClient::new(channel)))
    }

    pub(super) async fn console_read(
        &self,
        request: ReadConsoleRequest,
    ) -> Result<Pin<Box<dyn Stream<Item = Result<ReadConsoleResponse, Status>> + Send>>> {
        let host = uuid("host_uuid", &request.host_uuid)?;
        let console = request.console.unwrap_or_default();
        let (link, mut agent) = self.agent(host).await?;
        let console = agent::ReadConsoleRequest { host_uuid: host.to_string(), ..console };
        let output = agent.read_console(console).await.map_err(|status| refused(&link, status))?.into_inner();
        let relayed = output.map(move |piece| match piece {
            Ok(piece) => Ok(ReadConsoleResponse { data: piece.data }),
            Err(status) => Err(refused(&link, status).into()),
        });
        Ok(Box::pin(relayed))
    }

    pub(super) async fn console_write(&self, request: WriteConsoleRequest) -> Result<WriteConsoleResponse> {
        let host = uuid("host_uuid", &request.host_uuid)?;
        let console = request.console.unwrap_or_default();
        let (link, mut agent) = self.agent(host).await?;
        let console = agent::WriteConsoleRequest { host_uuid: host.to_string(), ..console };
        agent.write_console(console).await.map_err(|status| refused(&link, status))?;
        Ok(WriteConsoleResponse {})
    }

    /// Hands an upload on. Where its caller breaks off, the call to the agent is dropped, so that no end looks like a good one.
    pub(super) async fn image_write(&self, mut pieces: Streaming<WriteImageRequest>) -> Result<WriteImageResponse> {
        let first = pieces.message().await?.unwrap_or_default();
        let host = uuid("host_uuid", &first.host_uuid)?;
        let (link, mut agent) = self.agent(host).await?;
        let (sender, receiver) = mpsc::channel(PIECES);
        let start = agent::WriteImageRequest { host_uuid: host.to_string(), ..first.image.unwrap_or_default() };
        let relay = async move {
            // who does not take a piece any more has answered: the other branch tells what
            let mut open = sender.send(start).await.is_ok();
            while let Some(piece) = pieces.message().await? {
                if open && let Some(image) = piece.image {
                    open = sender.send(image).await.is_ok();
                }
            }
            Result::<(), Status>::Ok(())
        };
        let write = agent.write_image(ReceiverStream::new(receiver));
        tokio::pin!(relay, write);
        let answer = tokio::select! {
            relayed = &mut relay => {
                relayed?;
                write.await
            }
            answer = &mut write => answer,
        };
        let written = answer.map_err(|status| refused(&link, status))?.into_inner();
        Ok(WriteImageResponse { bytes: written.bytes })
    }
}

/// Why an agent did not do it; an agent that was not reached is a host that is not connected.
fn refused(link: &Link, status: Status) -> Error {
    let error = Error::from(status);
    match error.reason() {
        reason::PEER_UNREACHABLE | reason::NO_MEMBER => not_connected(link.host, &link.name(), error.message()),
        _ => error,
    }
}
