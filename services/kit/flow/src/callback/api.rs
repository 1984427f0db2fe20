//! The calls about callbacks. Any member answers them.

use gyre_mesh::serve::caller;
use gyre_proto::common::v1::callback_service_server::CallbackService;
use gyre_proto::common::v1::{CallbackKey, GetCallbackKeyRequest, RotateCallbackKeyRequest};
use tonic::{Request, Response, Status};

use super::key;
use crate::{Flow, once};

/// The calls about callbacks.
#[derive(Clone)]
pub(crate) struct CallbackApi {
    pub flow: Flow,
}

#[tonic::async_trait]
impl CallbackService for CallbackApi {
    async fn get_callback_key(&self, request: Request<GetCallbackKeyRequest>) -> Result<Response<CallbackKey>, Status> {
        let account = caller(&request)?.account_uuid;
        let found = self.flow.store().read("callback-key", move |conn| key::find(conn, account)).await?;
        let key = match found {
            Some(key) => key,
            None => self.flow.store().write("make-callback-key", move |conn| key::find_or_make(conn, account)).await?,
        };
        Ok(Response::new(key.message()))
    }

    async fn rotate_callback_key(
        &self,
        request: Request<RotateCallbackKeyRequest>,
    ) -> Result<Response<CallbackKey>, Status> {
        let caller = caller(&request)?;
        let account = caller.account_uuid;
        let request = request.into_inner();
        let wish = RotateCallbackKeyRequest::default();
        // What is remembered of the wish has no key in it: it is kept longer than some keys.
        once(self.flow.store(), caller, "rotate-callback-key", &request.request_id, &wish, move |conn, _| {
            key::rotate(conn, account).map(|()| CallbackKey::default())
        })
        .await?;
        let key = self.flow.store().write("callback-key", move |conn| key::find_or_make(conn, account)).await?;
        Ok(Response::new(key.message()))
    }
}
