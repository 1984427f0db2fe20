//! Uploads: the bytes of an image on their way from the caller to the host of its image server, then a workflow that checks and
//! keeps them.
//!
//! 1. One upload of an image at a time; all calls about an image come to its owner, so a set in memory is enough. While one runs
//!    the image is not deleted.
//! 2. An upload that breaks off is broken off towards the host too, before its stream could look ended: the host forgets it, and
//!    the image waits for the next upload.
//! 3. The host says how many bytes it wrote. Nothing is checked or kept unless these are all that came.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use gyre_flow::{Submit, busy};
use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::agent::v1::WriteImageRequest as Piece;
use gyre_proto::common::v1::Operation;
use gyre_proto::host::v1::WriteImageRequest;
use gyre_proto::host::v1::host_task_service_client::HostTaskServiceClient;
use gyre_proto::storage::v1::UploadImageRequest;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Api;
use crate::store::images::{self, Place};
use crate::store::uuid_of;

/// The most bytes in one message.
const LARGEST_PIECE: usize = 1 << 20;
/// Messages on their way to the host.
const UNDER_WAY: usize = 4;

/// The images that are being uploaded to this process.
#[derive(Clone)]
pub(super) struct Uploads {
    running: Arc<Mutex<HashSet<Uuid>>>,
    pause: Duration,
}

/// One upload; the next may begin when it is dropped.
struct Claim(Arc<Mutex<HashSet<Uuid>>>, Uuid);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

fn running(uuid: Uuid) -> Error {
    let text = format!("image {uuid} is being uploaded: wait until that is over");
    Error::new(Kind::Aborted, "IMAGE_UPLOAD_RUNNING", text).with("uuid", uuid.to_string())
}

impl Uploads {
    pub(super) fn new(pause: Duration) -> Self {
        Self { running: Arc::default(), pause }
    }

    /// Refuses what must not happen while an image is uploaded.
    pub(super) fn check_none(&self, uuid: Uuid) -> Result<()> {
        if self.running.lock().contains(&uuid) { Err(running(uuid)) } else { Ok(()) }
    }

    fn claim(&self, uuid: Uuid) -> Result<Claim> {
        if self.running.lock().insert(uuid) { Ok(Claim(Arc::clone(&self.running), uuid)) } else { Err(running(uuid)) }
    }

    /// The next message, within the time that a caller may pause.
    async fn next(&self, pieces: &mut Streaming<UploadImageRequest>) -> Result<Option<UploadImageRequest>> {
        match tokio::time::timeout(self.pause, pieces.message()).await {
            Ok(next) => Ok(next?),
            Err(_) => {
                let text = format!("no bytes came for {:?}: send the image again", self.pause);
                Err(Error::new(Kind::DeadlineExceeded, "UPLOAD_STALLED", text))
            }
        }
    }
}

fn check_size(piece: &UploadImageRequest) -> Result<()> {
    let bytes = piece.data.len();
    if bytes <= LARGEST_PIECE {
        return Ok(());
    }
    Err(Error::invalid("data", format!("must have at most {LARGEST_PIECE} bytes, has {bytes}")))
}

fn is_cut_off(sent: i64, written: i64) -> Error {
    let text = format!("the host wrote {written} of {sent} bytes: send the image again");
    Error::unavailable("UPLOAD_CUT_OFF", text)
}

impl Api {
    /// Takes an upload to its host, and starts to check it.
    pub(super) async fn receive_upload(
        &self,
        caller: Caller,
        mut pieces: Streaming<UploadImageRequest>,
    ) -> Result<Operation> {
        let first = self.uploads.next(&mut pieces).await?;
        let first = first.ok_or_else(|| Error::invalid("uuid", "must be given in the first message"))?;
        let uuid = uuid_of("uuid", &first.uuid)?;
        let _claim = self.uploads.claim(uuid)?;
        let place = self.upload_place(caller, uuid).await?;
        let sent = self.relay(caller, (uuid, place), first, pieces).await?;
        tracing::info!(image = %uuid, bytes = sent, "an image was uploaded");

        let input = UploadImageRequest { uuid: uuid.to_string(), ..UploadImageRequest::default() };
        let submit = Submit { caller, workflow: "finish-upload", resource: uuid, request_id: "", input: &input };
        self.flow
            .submit(submit, move |conn, change| {
                if busy(conn, uuid)? {
                    let text = format!("other work on image {uuid} is under way: send it again once that is over");
                    return Err(Error::new(Kind::Aborted, "IMAGE_BUSY", text));
                }
                images::uploaded(conn, change, uuid)
            })
            .await
    }

    /// Where an upload goes, if the image waits for one and is the caller's.
    async fn upload_place(&self, caller: Caller, uuid: Uuid) -> Result<Place> {
        self.flow
            .store()
            .read("upload-place", move |conn| {
                let image = images::own(conn, &caller, uuid)?;
                images::check_uploading(&image)?;
                images::place(conn, &image)
            })
            .await
    }

    /// Sends what comes to the host, message by message. Answers how many bytes there were.
    async fn relay(
        &self,
        caller: Caller,
        (uuid, place): (Uuid, Place),
        first: UploadImageRequest,
        mut pieces: Streaming<UploadImageRequest>,
    ) -> Result<i64> {
        let (out, messages) = mpsc::channel(UNDER_WAY);
        let mut host = HostTaskServiceClient::new(self.flow.mesh().channel("host"));
        let request = caller.request(ReceiverStream::new(messages));
        // The sender outlives the call wherever this future ends early, so the host never takes a broken stream for a whole one.
        let mut out = Some(out);
        let pump = async {
            let (mut next, mut sent) = (Some(first), 0_i64);
            let mut head = WriteImageRequest {
                host_uuid: place.host.to_string(),
                image: Some(Piece {
                    image_uuid: uuid.to_string(),
                    folder: place.folder,
                    host_uuid: place.host.to_string(),
                    ..Piece::default()
                }),
            };
            while let Some(piece) = next {
                check_size(&piece)?;
                sent = sent.saturating_add(i64::try_from(piece.data.len()).unwrap_or(i64::MAX));
                let mut message = std::mem::take(&mut head);
                message.image.get_or_insert_default().data = piece.data;
                let Some(open) = &out else { break };
                if open.send(message).await.is_err() {
                    // the host stopped listening, and says why in its answer
                    return Ok(sent);
                }
                next = self.uploads.next(&mut pieces).await?;
            }
            out = None;
            Ok::<_, Error>(sent)
        };
        let call = async { Ok::<_, Error>(host.write_image(request).await?.into_inner().bytes) };
        let (sent, written) = tokio::try_join!(pump, call)?;
        if sent == written { Ok(sent) } else { Err(is_cut_off(sent, written)) }
    }
}
