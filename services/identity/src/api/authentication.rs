//! What gateways ask to know who calls. Each is one row by its key, and answered afresh: gateways remember for as long as they
//! may, and no longer.

use gyre_model::{Error, Kind, time};
use gyre_proto::identity::v1::authentication_service_server::AuthenticationService;
use gyre_proto::identity::v1::{
    AuthenticateApiKeyRequest, AuthenticateApiKeyResponse, CheckAccountRequest, CheckAccountResponse,
    ListVerificationKeysRequest, ListVerificationKeysResponse,
};
use gyre_store::Conn;
use tonic::{Request, Response, Status};

use super::{Api, uuid};
use crate::{keys, secret, store};

/// The one answer to a key that is not good.
fn refused() -> Error {
    Error::new(
        Kind::Unauthenticated,
        "API_KEY_REFUSED",
        "the API key is not known, has expired, or its account is disabled: make another",
    )
}

#[tonic::async_trait]
impl AuthenticationService for Api {
    async fn list_verification_keys(
        &self,
        _: Request<ListVerificationKeysRequest>,
    ) -> Result<Response<ListVerificationKeysResponse>, Status> {
        let keys = self.inner.store.read("verification-keys", keys::keys_list).await?;
        Ok(Response::new(ListVerificationKeysResponse { keys }))
    }

    async fn authenticate_api_key(
        &self,
        request: Request<AuthenticateApiKeyRequest>,
    ) -> Result<Response<AuthenticateApiKeyResponse>, Status> {
        let key = request.into_inner().key;
        let uuid = secret::api_key_uuid(&key).ok_or_else(refused)?;
        let read = move |conn: &mut Conn| {
            let Some(known) = store::key_find(conn, uuid)? else { return Ok(None) };
            let policies = store::policies(conn, known.standing.account, Some(uuid))?;
            Ok(Some((known, policies)))
        };
        let (known, policies) = self.inner.store.read("api-key-secret", read).await?.ok_or_else(refused)?;
        let right = secret::same(&secret::api_key_hash(&key), &known.hash);
        let expired = known.expires.is_some_and(|end| end <= time::now_micros());
        if !right || expired || !known.standing.enabled {
            return Err(refused().into());
        }
        Ok(Response::new(AuthenticateApiKeyResponse {
            account_uuid: known.standing.account.to_string(),
            admin: known.standing.admin,
            api_key_uuid: uuid.to_string(),
            expire_time: known.expires.map(time::from_micros),
            policies,
        }))
    }

    async fn check_account(
        &self,
        request: Request<CheckAccountRequest>,
    ) -> Result<Response<CheckAccountResponse>, Status> {
        let uuid = uuid("account", &request.get_ref().account_uuid)?;
        let read = move |conn: &mut Conn| {
            let Some(standing) = store::standing_find(conn, uuid)? else { return Ok(None) };
            Ok(Some((standing, store::policies(conn, uuid, None)?)))
        };
        let Some((standing, policies)) = self.inner.store.read("account-standing", read).await? else {
            return Ok(Response::new(CheckAccountResponse::default()));
        };
        let store::Standing { enabled, admin, .. } = standing;
        Ok(Response::new(CheckAccountResponse { enabled, admin, policies }))
    }
}
