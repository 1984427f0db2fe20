//! API keys: rows, and beside each the hash of its secret.
//!
//! The secret is in the first answer and nowhere else: what is remembered under the request id is the answer without it.

use gyre_flow::{Delete, once_new};
use gyre_mesh::serve::caller;
use gyre_model::{Error, time};
use gyre_proto::ListRequest;
use gyre_proto::common::v1::Operation;
use gyre_proto::identity::v1::api_key_service_server::ApiKeyService;
use gyre_proto::identity::v1::{
    ApiKey, CreateApiKeyRequest, DeleteApiKeyRequest, GetApiKeyRequest, ListApiKeysRequest, ListApiKeysResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, given, new_uuid, uuid};
use crate::{secret, store};

const KIND: &str = "api-key";

#[tonic::async_trait]
impl ApiKeyService for Api {
    async fn create_api_key(&self, request: Request<CreateApiKeyRequest>) -> Result<Response<ApiKey>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut key = given("api_key", request.api_key.clone())?;
        if let Some(end) = &key.expire_time
            && time::to_micros(end) <= time::now_micros()
        {
            let text = format!("must be in the future, got {}", time::print(time::to_micros(end)));
            return Err(Error::invalid("api_key.expire_time", text).into());
        }
        let uuid = new_uuid(&key.uuid);
        key.uuid = uuid.to_string();
        key.account_uuid = caller.account_uuid.to_string();
        key.secret.clear();
        let secret = secret::api_key(uuid)?;
        let hash = secret::api_key_hash(&secret);
        let id = request.request_id.clone();
        let made = once_new(&self.inner.store, caller, "CreateApiKey", &id, &request, move |conn, change| {
            let stored = gyre_query::insert(conn, change, &key)?;
            store::key_secret_insert(conn, uuid, hash)?;
            Ok(stored)
        });
        let (mut key, new): (ApiKey, bool) = made.await?;
        if new {
            key.secret = secret;
        }
        Ok(Response::new(key))
    }

    async fn get_api_key(&self, request: Request<GetApiKeyRequest>) -> Result<Response<ApiKey>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(KIND, &request.get_ref().uuid)?;
        let read = self.inner.store.read("api-key-get", move |conn| gyre_query::get(conn, &caller, uuid));
        Ok(Response::new(read.await?))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read = self.inner.store.search("api-key-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    async fn delete_api_key(&self, request: Request<DeleteApiKeyRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-api-key", request: &request, binned: false };
        Ok(Response::new(self.inner.flow.delete(delete, |_, _: &ApiKey| Ok(())).await?))
    }
}
