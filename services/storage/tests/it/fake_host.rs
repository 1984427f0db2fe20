//! The host service as this one sees it: tasks that succeed, fail or wait as the test says, and the files that they leave.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use gyre_model::{Error, Kind, Uuid, parse_uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{ImageFacts, StorageFacts, Task, TaskOutcome, TaskProgress, VolumeFacts, task_outcome};
use gyre_proto::host::v1::host_task_service_server::HostTaskService;
use gyre_proto::host::v1::run_task_response::Event;
use gyre_proto::host::v1::{
    CancelTaskRequest, CancelTaskResponse, ReadConsoleRequest, ReadConsoleResponse, RunTaskRequest, RunTaskResponse,
    WriteConsoleRequest, WriteConsoleResponse, WriteImageRequest, WriteImageResponse,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// What every folder has.
pub const TOTAL: i64 = 10 << 30;
/// What is free in every folder.
pub const AVAILABLE: i64 = 8 << 30;
/// The disk of every image.
pub const IMAGE_BYTES: i64 = 64 << 20;
/// The checksum of every image, as agents write it.
pub const SHA256: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// How a task fails.
#[derive(Clone)]
pub enum Fault {
    /// Nothing was done.
    Refuse(&'static str),
    /// It was done, and counts as failed.
    Spoil(&'static str),
    /// It was done, and then the host went away.
    Vanish,
}

#[derive(Default)]
struct State {
    away: HashSet<Uuid>,
    files: BTreeSet<String>,
    uploads: HashMap<String, Vec<u8>>,
    faults: HashMap<&'static str, VecDeque<Fault>>,
    holds: HashMap<&'static str, Arc<Semaphore>>,
    available: HashMap<String, i64>,
    tasks: Vec<(Uuid, Task)>,
    broken_uploads: usize,
}

/// All hosts of a test.
#[derive(Clone, Default)]
pub struct FakeHost {
    state: Arc<Mutex<State>>,
    upload_begun: Arc<Notify>,
}

pub fn name(work: &Work) -> &'static str {
    match work {
        Work::PrepareStorage(_) => "prepare-storage",
        Work::ImportImage(_) => "import-image",
        Work::FinishUpload(_) => "finish-upload",
        Work::DeleteImage(_) => "delete-image",
        Work::CreateVolume(_) => "create-volume",
        Work::DeleteVolume(_) => "delete-volume",
        _ => "other",
    }
}

fn not_connected(host: Uuid) -> Error {
    Error::new(Kind::Unavailable, "HOST_NOT_CONNECTED", format!("host {host} is not connected"))
}

impl FakeHost {
    /// Lets the next task of a kind fail.
    pub fn fail(&self, work: &'static str, fault: Fault) {
        self.state.lock().faults.entry(work).or_default().push_back(fault);
    }

    /// Lets tasks of a kind wait until as many are let go.
    pub fn hold(&self, work: &'static str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.state.lock().holds.insert(work, Arc::clone(&gate));
        gate
    }

    pub fn set_away(&self, host: Uuid, away: bool) {
        let mut state = self.state.lock();
        if away {
            state.away.insert(host)
        } else {
            state.away.remove(&host)
        };
    }

    /// Says how much is free in a folder.
    pub fn set_available(&self, folder: &str, bytes: i64) {
        self.state.lock().available.insert(folder.to_owned(), bytes);
    }

    /// What lies on the hosts.
    pub fn files(&self) -> Vec<String> {
        self.state.lock().files.iter().cloned().collect()
    }

    /// What was sent for an image.
    pub fn uploaded(&self, image: Uuid) -> Option<Vec<u8>> {
        self.state.lock().uploads.get(&image.to_string()).cloned()
    }

    /// Waits until the first bytes of an upload are there.
    pub async fn upload_begun(&self) {
        self.upload_begun.notified().await;
    }

    pub fn broken_uploads(&self) -> usize {
        self.state.lock().broken_uploads
    }

    /// The tasks of a kind that came, with their hosts.
    pub fn tasks(&self, work: &str) -> Vec<(Uuid, Task)> {
        let state = self.state.lock();
        let same = |task: &Task| task.work.as_ref().is_some_and(|done| name(done) == work);
        state.tasks.iter().filter(|(_, task)| same(task)).cloned().collect()
    }

    fn effect(&self, host: Uuid, work: &Work) -> Result<Option<task_outcome::Result>, Error> {
        let mut state = self.state.lock();
        let image = |sha: &str| -> Result<Option<task_outcome::Result>, Error> {
            if !sha.is_empty() && sha != SHA256 {
                return Err(Error::new(Kind::FailedPrecondition, "IMAGE_CHECKSUM_MISMATCH", "another checksum"));
            }
            let facts = ImageFacts { size_bytes: IMAGE_BYTES, file_bytes: 1 << 20, sha256: SHA256.to_uppercase() };
            Ok(Some(task_outcome::Result::Image(facts)))
        };
        match work {
            Work::PrepareStorage(work) => {
                let available_bytes = state.available.get(&work.path).copied().unwrap_or(AVAILABLE);
                Ok(Some(task_outcome::Result::Storage(StorageFacts { total_bytes: TOTAL, available_bytes })))
            }
            Work::ImportImage(work) => {
                let facts = image(&work.sha256)?;
                state.files.insert(format!("{host}:{}/{}", work.folder, work.image_uuid));
                Ok(facts)
            }
            Work::FinishUpload(work) => {
                let Some(bytes) = state.uploads.remove(&work.image_uuid) else {
                    return Err(Error::new(Kind::FailedPrecondition, "IMAGE_UPLOAD_MISSING", "nothing was uploaded"));
                };
                if bytes.starts_with(b"garbage") {
                    return Err(Error::new(Kind::FailedPrecondition, "IMAGE_FORMAT_WRONG", "is not what it claims"));
                }
                state.files.insert(format!("{host}:{}/{}", work.folder, work.image_uuid));
                image(&work.sha256)
            }
            Work::DeleteImage(work) => {
                state.uploads.remove(&work.image_uuid);
                state.files.remove(&format!("{host}:{}/{}", work.folder, work.image_uuid));
                Ok(None)
            }
            Work::CreateVolume(work) => {
                let path = format!("{}/{}.qcow2", work.folder, work.volume_uuid);
                state.files.insert(format!("{host}:{path}"));
                Ok(Some(task_outcome::Result::Volume(VolumeFacts { path })))
            }
            Work::DeleteVolume(work) => {
                state.files.remove(&format!("{host}:{}/{}.qcow2", work.folder, work.volume_uuid));
                Ok(None)
            }
            _ => Err(Error::new(Kind::Unimplemented, "OTHER", "not of storage")),
        }
    }

    async fn run(&self, host: Uuid, task: &Task) -> Result<TaskOutcome, Error> {
        let work = task.work.clone().expect("a task without work");
        let (fault, gate) = {
            let mut state = self.state.lock();
            if state.away.contains(&host) {
                return Err(not_connected(host));
            }
            state.tasks.push((host, task.clone()));
            let fault = state.faults.get_mut(name(&work)).and_then(VecDeque::pop_front);
            (fault, state.holds.get(name(&work)).cloned())
        };
        if let Some(gate) = gate {
            gate.acquire().await.expect("open").forget();
        }
        let failed = |reason: &'static str| TaskOutcome {
            task_id: task.id.clone(),
            error: Some((&Error::new(Kind::FailedPrecondition, reason, "on purpose")).into()),
            result: None,
        };
        match fault {
            Some(Fault::Refuse(reason)) => return Ok(failed(reason)),
            Some(Fault::Spoil(reason)) => {
                self.effect(host, &work)?;
                return Ok(failed(reason));
            }
            Some(Fault::Vanish) => {
                self.effect(host, &work)?;
                self.set_away(host, true);
                return Err(not_connected(host));
            }
            None => {}
        }
        let (error, result) = match self.effect(host, &work) {
            Ok(result) => (None, result),
            Err(error) => (Some((&error).into()), None),
        };
        Ok(TaskOutcome { task_id: task.id.clone(), error, result })
    }
}

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl HostTaskService for FakeHost {
    type RunTaskStream = Events<RunTaskResponse>;
    type ReadConsoleStream = Events<ReadConsoleResponse>;

    async fn run_task(&self, request: Request<RunTaskRequest>) -> Result<Response<Self::RunTaskStream>, Status> {
        let request = request.into_inner();
        let host = parse_uuid(&request.host_uuid).expect("a host");
        let task = request.task.expect("a task");
        let (out, events) = mpsc::channel(4);
        let fake = self.clone();
        tokio::spawn(async move {
            let progress = TaskProgress { task_id: task.id.clone(), percent: 50, message: "half way".into() };
            let _ = out.send(Ok(RunTaskResponse { event: Some(Event::Progress(progress)) })).await;
            let last = fake.run(host, &task).await;
            let last = last.map(|outcome| RunTaskResponse { event: Some(Event::Outcome(outcome)) });
            let _ = out.send(last.map_err(Status::from)).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(events))))
    }

    async fn cancel_task(&self, _: Request<CancelTaskRequest>) -> Result<Response<CancelTaskResponse>, Status> {
        Ok(Response::new(CancelTaskResponse {}))
    }

    async fn write_image(
        &self,
        request: Request<Streaming<WriteImageRequest>>,
    ) -> Result<Response<WriteImageResponse>, Status> {
        /// Counts an upload as broken unless it came to its end, also when its call is dropped.
        struct Guard(Arc<Mutex<State>>, bool);
        impl Drop for Guard {
            fn drop(&mut self) {
                if !self.1 {
                    self.0.lock().broken_uploads += 1;
                }
            }
        }
        let mut guard = Guard(Arc::clone(&self.state), false);
        let mut pieces = request.into_inner();
        let (mut image, mut all) = (String::new(), Vec::new());
        while let Some(piece) = pieces.message().await? {
            let piece_of = piece.image.unwrap_or_default();
            if image.is_empty() {
                assert!(
                    !piece.host_uuid.is_empty() && !piece_of.folder.is_empty(),
                    "the first message names the place"
                );
                image = piece_of.image_uuid;
                self.upload_begun.notify_one();
            }
            all.extend_from_slice(&piece_of.data);
        }
        guard.1 = true;
        let bytes = i64::try_from(all.len()).expect("small");
        self.state.lock().uploads.insert(image, all);
        Ok(Response::new(WriteImageResponse { bytes }))
    }

    async fn read_console(&self, _: Request<ReadConsoleRequest>) -> Result<Response<Self::ReadConsoleStream>, Status> {
        Err(Status::unimplemented("not of storage"))
    }

    async fn write_console(&self, _: Request<WriteConsoleRequest>) -> Result<Response<WriteConsoleResponse>, Status> {
        Err(Status::unimplemented("not of storage"))
    }
}
