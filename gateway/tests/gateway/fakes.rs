//! What stands behind the gateway in these tests: services that answer from a few lines and remember what they were asked.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::Stream;
use gyre_mesh::serve::{caller, caller_if_any};
use gyre_model::{Caller, Error, Kind, Uuid};
use gyre_proto::common::v1::operation_service_server::OperationService;
use gyre_proto::common::v1::{
    CancelOperationRequest, ExplainOperationRequest, ExplainOperationResponse, GetOperationRequest,
    ListOperationsRequest, ListOperationsResponse, Operation, OperationState, RetryOperationRequest,
    WaitOperationRequest, WatchOperationRequest,
};
use gyre_proto::identity::v1::authentication_service_server::AuthenticationService;
use gyre_proto::identity::v1::session_service_server::SessionService;
use gyre_proto::identity::v1::{
    AuthenticateApiKeyRequest, AuthenticateApiKeyResponse, CheckAccountRequest, CheckAccountResponse,
    CreateSessionRequest, CreateSessionResponse, ListVerificationKeysRequest, ListVerificationKeysResponse,
    VerificationKey,
};
use gyre_proto::storage::v1::image_service_server::ImageService;
use gyre_proto::storage::v1::{
    CreateImageRequest, DeleteImageRequest, ExpungeImageRequest, GetImageRequest, Image, ListImagesRequest,
    ListImagesResponse, RecoverImageRequest, SweepImageRequest, UpdateImageRequest, UploadImageRequest,
};
use gyre_proto::vm::v1::vm_service_server::VmService;
use gyre_proto::vm::v1::{
    CreateVmRequest, DeleteVmRequest, ExpungeVmRequest, GetVmRequest, ListVmsRequest, ListVmsResponse,
    ReadVmConsoleRequest, ReadVmConsoleResponse, RebootVmRequest, RecoverVmRequest, StartVmRequest, StopVmRequest,
    UpdateVmRequest, Vm, VmState, WriteVmConsoleRequest, WriteVmConsoleResponse,
};
use parking_lot::Mutex;
use ring::signature::{Ed25519KeyPair, KeyPair};
use tokio::sync::Notify;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the fakes share with the test.
#[derive(Debug, Default)]
pub struct State {
    pub standing: Mutex<HashMap<Uuid, (bool, bool)>>,
    pub keys_asked: AtomicUsize,
    pub api_keys_asked: AtomicUsize,
    pub callers: Mutex<Vec<Option<Caller>>>,
    pub last_create: Mutex<Option<CreateVmRequest>>,
    pub last_update: Mutex<Option<UpdateVmRequest>>,
    pub last_list: Mutex<Option<ListVmsRequest>>,
    pub uploaded: AtomicU64,
    pub pieces: AtomicUsize,
    pub sign_ins: AtomicUsize,
    /// The callbacks that calls to start a machine came with.
    pub callbacks: Mutex<Vec<Option<String>>>,
    /// How many calls have been held, and what lets them go.
    pub held: AtomicUsize,
    pub release: Notify,
    /// Whether identity's database is away.
    pub away: AtomicBool,
}

impl State {
    fn there(&self) -> Result<(), Status> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::unavailable("DATABASE_AWAY", "the database does not answer").into());
        }
        Ok(())
    }

    /// Holds a call until it is let go.
    async fn hold(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
        self.release.notified().await;
    }
}

#[derive(Clone)]
pub struct Fakes {
    pub state: Arc<State>,
    pub pair: Arc<Ed25519KeyPair>,
}

pub const USER: Uuid = Uuid::from_u128(0x1111_1111_1111_4111_8111_1111_1111_1111);
pub const ADMIN: Uuid = Uuid::from_u128(0x2222_2222_2222_4222_8222_2222_2222_2222);
pub const VM: &str = "33333333-3333-4333-8333-333333333333";
pub const OPERATION: &str = "44444444-4444-4444-8444-444444444444";
pub const IMAGE: &str = "55555555-5555-4555-8555-555555555555";
/// Who waits for an operation for so many seconds is held.
pub const HELD: i64 = 77;
pub const API_KEY: &str = "gyre_good-key";

pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

impl Fakes {
    pub fn new() -> Self {
        let state = State::default();
        state.standing.lock().extend([(USER, (true, false)), (ADMIN, (true, true))]);
        let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
        Self { state: Arc::new(state), pair: Arc::new(pair) }
    }

    pub fn token(&self, account: Uuid, admin: bool, key: &str, lives: i64) -> String {
        let header = format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{key}"}}"#);
        let (iat, exp) = (now(), now() + lives);
        let claims =
            format!(r#"{{"iss":"gyre","sub":"{account}","adm":{admin},"iat":{iat},"exp":{exp},"jti":"{account}"}}"#);
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn saw<T>(&self, request: &Request<T>) {
        self.state.callers.lock().push(caller_if_any(request));
    }
}

fn begun(resource: &str) -> Operation {
    Operation {
        uuid: OPERATION.to_owned(),
        resource_uuid: resource.to_owned(),
        state: OperationState::Running.into(),
        percent: 10,
        ..Operation::default()
    }
}

fn ended() -> Operation {
    Operation { state: OperationState::Succeeded.into(), percent: 100, ..begun(VM) }
}

#[tonic::async_trait]
impl AuthenticationService for Fakes {
    async fn list_verification_keys(
        &self,
        _: Request<ListVerificationKeysRequest>,
    ) -> Answer<ListVerificationKeysResponse> {
        self.state.keys_asked.fetch_add(1, Ordering::Relaxed);
        let public_key = self.pair.public_key().as_ref().to_vec().into();
        Ok(Response::new(ListVerificationKeysResponse { keys: vec![VerificationKey { id: "k1".into(), public_key }] }))
    }

    async fn authenticate_api_key(
        &self,
        request: Request<AuthenticateApiKeyRequest>,
    ) -> Answer<AuthenticateApiKeyResponse> {
        self.state.there()?;
        self.state.api_keys_asked.fetch_add(1, Ordering::Relaxed);
        if request.get_ref().key != API_KEY {
            return Err(Error::new(Kind::Unauthenticated, "UNKNOWN_KEY", "no such key").into());
        }
        Ok(Response::new(AuthenticateApiKeyResponse {
            account_uuid: USER.to_string(),
            admin: false,
            api_key_uuid: VM.to_owned(),
            expire_time: None,
            policies: Vec::new(),
        }))
    }

    async fn check_account(&self, request: Request<CheckAccountRequest>) -> Answer<CheckAccountResponse> {
        self.state.there()?;
        let account = gyre_model::parse_uuid(&request.get_ref().account_uuid).unwrap();
        let (enabled, admin) = self.state.standing.lock().get(&account).copied().unwrap_or_default();
        Ok(Response::new(CheckAccountResponse { enabled, admin, policies: Vec::new() }))
    }
}

#[tonic::async_trait]
impl SessionService for Fakes {
    async fn create_session(&self, request: Request<CreateSessionRequest>) -> Answer<CreateSessionResponse> {
        self.state.sign_ins.fetch_add(1, Ordering::Relaxed);
        let request = request.get_ref();
        if (request.account.as_str(), request.password.as_str()) != ("admin", "right-password") {
            return Err(Error::new(Kind::Unauthenticated, "WRONG_PASSWORD", "wrong account or password").into());
        }
        Ok(Response::new(CreateSessionResponse {
            token: self.token(ADMIN, true, "k1", 60),
            expire_time: None,
            account_uuid: ADMIN.to_string(),
        }))
    }
}

#[tonic::async_trait]
impl OperationService for Fakes {
    type WatchOperationStream = Streamed<Operation>;

    async fn get_operation(&self, _: Request<GetOperationRequest>) -> Answer<Operation> {
        Ok(Response::new(begun(VM)))
    }

    async fn list_operations(&self, _: Request<ListOperationsRequest>) -> Answer<ListOperationsResponse> {
        Ok(Response::new(ListOperationsResponse::default()))
    }

    async fn watch_operation(&self, _: Request<WatchOperationRequest>) -> Answer<Self::WatchOperationStream> {
        let all = [Ok(begun(VM)), Ok(ended())];
        Ok(Response::new(Box::pin(tokio_stream::iter(all))))
    }

    async fn wait_operation(&self, request: Request<WaitOperationRequest>) -> Answer<Operation> {
        if request.get_ref().timeout.is_some_and(|timeout| timeout.seconds == HELD) {
            self.state.hold().await;
        }
        // Those who wait long see the end; those who wait a second do not.
        let long = request.get_ref().timeout.is_some_and(|timeout| timeout.seconds > 1);
        Ok(Response::new(if long { ended() } else { begun(VM) }))
    }

    async fn cancel_operation(&self, _: Request<CancelOperationRequest>) -> Answer<Operation> {
        Err(Error::new(Kind::FailedPrecondition, "PAST_NO_RETURN", "too late").into())
    }

    async fn retry_operation(&self, _: Request<RetryOperationRequest>) -> Answer<Operation> {
        Ok(Response::new(begun(VM)))
    }

    async fn explain_operation(&self, _: Request<ExplainOperationRequest>) -> Answer<ExplainOperationResponse> {
        Ok(Response::new(ExplainOperationResponse { operation: Some(ended()), ..Default::default() }))
    }
}

#[tonic::async_trait]
impl VmService for Fakes {
    type ReadVmConsoleStream = Streamed<ReadVmConsoleResponse>;

    async fn create_vm(&self, request: Request<CreateVmRequest>) -> Answer<Operation> {
        self.saw(&request);
        let request = request.into_inner();
        if request.vm.as_ref().is_some_and(|vm| vm.name == "hold") {
            self.state.hold().await;
        }
        let uuid = request.vm.as_ref().map(|vm| vm.uuid.clone()).unwrap_or_default();
        *self.state.last_create.lock() = Some(request);
        Ok(Response::new(begun(&uuid)))
    }

    async fn get_vm(&self, request: Request<GetVmRequest>) -> Answer<Vm> {
        self.saw(&request);
        let uuid = &request.get_ref().uuid;
        if uuid != VM {
            return Err(Error::not_found("vm", uuid).into());
        }
        Ok(Response::new(Vm {
            uuid: uuid.clone(),
            name: "web".into(),
            state: VmState::Running.into(),
            cpu_count: 2,
            memory_bytes: 1 << 30,
            ..Vm::default()
        }))
    }

    async fn list_vms(&self, request: Request<ListVmsRequest>) -> Answer<ListVmsResponse> {
        caller(&request)?;
        *self.state.last_list.lock() = Some(request.get_ref().clone());
        match request.get_ref().filter.as_str() {
            "hold" => self.state.hold().await,
            "hang" => std::future::pending().await,
            "panic" => panic!("on purpose"),
            _ => {}
        }
        let vms = vec![Vm { uuid: VM.into(), name: "web".into(), ..Vm::default() }];
        Ok(Response::new(ListVmsResponse { vms, ..ListVmsResponse::default() }))
    }

    async fn update_vm(&self, request: Request<UpdateVmRequest>) -> Answer<Vm> {
        let request = request.into_inner();
        *self.state.last_update.lock() = Some(request.clone());
        Ok(Response::new(request.vm.unwrap_or_default()))
    }

    async fn delete_vm(&self, request: Request<DeleteVmRequest>) -> Answer<Operation> {
        Ok(Response::new(begun(&request.get_ref().uuid)))
    }

    async fn start_vm(&self, request: Request<StartVmRequest>) -> Answer<Operation> {
        let callback = gyre_mesh::context::callback().map(|url| url.as_ref().to_owned());
        self.state.callbacks.lock().push(callback);
        Ok(Response::new(begun(&request.get_ref().uuid)))
    }

    async fn stop_vm(&self, _: Request<StopVmRequest>) -> Answer<Operation> {
        Err(Error::new(Kind::FailedPrecondition, "WRONG_STATE", "the vm is stopped").with("state", "STOPPED").into())
    }

    async fn reboot_vm(&self, _: Request<RebootVmRequest>) -> Answer<Operation> {
        Err(Error::unavailable("BUSY", "later").retry_after(Duration::from_secs(7)).into())
    }

    async fn recover_vm(&self, _: Request<RecoverVmRequest>) -> Answer<Operation> {
        Err(Error::new(Kind::Aborted, "STALE", "somebody else was first").into())
    }

    async fn expunge_vm(&self, _: Request<ExpungeVmRequest>) -> Answer<Operation> {
        Err(Error::new(Kind::ResourceExhausted, "QUOTA", "no more").into())
    }

    /// Prints what it is asked for, and then, where it is followed, nothing more for ever.
    async fn read_vm_console(&self, request: Request<ReadVmConsoleRequest>) -> Answer<Self::ReadVmConsoleStream> {
        let request = request.get_ref();
        if request.uuid != VM {
            return Err(Error::not_found("vm", &request.uuid).into());
        }
        let pieces = ["hello ", "world"].map(|text| Ok(ReadVmConsoleResponse { data: text.into() }));
        if request.follow {
            return Ok(Response::new(Box::pin(tokio_stream::iter(pieces).chain(tokio_stream::pending()))));
        }
        if request.tail_bytes == 1 {
            let broken = Err(Error::unavailable("HOST_GONE", "the host is gone").into());
            return Ok(Response::new(Box::pin(tokio_stream::iter(pieces).chain(tokio_stream::once(broken)))));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }

    async fn write_vm_console(&self, _: Request<WriteVmConsoleRequest>) -> Answer<WriteVmConsoleResponse> {
        Ok(Response::new(WriteVmConsoleResponse {}))
    }
}

#[tonic::async_trait]
impl ImageService for Fakes {
    async fn create_image(&self, _: Request<CreateImageRequest>) -> Answer<Operation> {
        Ok(Response::new(begun(IMAGE)))
    }

    async fn get_image(&self, _: Request<GetImageRequest>) -> Answer<Image> {
        Ok(Response::new(Image::default()))
    }

    async fn list_images(&self, _: Request<ListImagesRequest>) -> Answer<ListImagesResponse> {
        Ok(Response::new(ListImagesResponse::default()))
    }

    async fn update_image(&self, _: Request<UpdateImageRequest>) -> Answer<Image> {
        Ok(Response::new(Image::default()))
    }

    async fn delete_image(&self, _: Request<DeleteImageRequest>) -> Answer<Operation> {
        Ok(Response::new(begun(IMAGE)))
    }

    async fn recover_image(&self, _: Request<RecoverImageRequest>) -> Answer<Operation> {
        Ok(Response::new(begun(IMAGE)))
    }

    async fn expunge_image(&self, _: Request<ExpungeImageRequest>) -> Answer<Operation> {
        Ok(Response::new(begun(IMAGE)))
    }

    async fn sweep_image(&self, _: Request<SweepImageRequest>) -> Answer<Operation> {
        Ok(Response::new(begun(IMAGE)))
    }

    async fn upload_image(&self, request: Request<Streaming<UploadImageRequest>>) -> Answer<Operation> {
        caller(&request)?;
        let mut pieces = request.into_inner();
        let mut image = String::new();
        while let Some(piece) = pieces.message().await? {
            if image.is_empty() {
                image.clone_from(&piece.uuid);
            }
            self.state.uploaded.fetch_add(piece.data.len() as u64, Ordering::Relaxed);
            self.state.pieces.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Response::new(begun(&image)))
    }
}
