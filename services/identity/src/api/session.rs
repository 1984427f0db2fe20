//! Signing in.

use gyre_model::{Error, Kind, time};
use gyre_proto::identity::v1::session_service_server::SessionService;
use gyre_proto::identity::v1::{CreateSessionRequest, CreateSessionResponse};
use tonic::{Request, Response, Status};

use super::Api;
use crate::token::Claims;
use crate::{keys, store};

/// The one answer to whoever cannot sign in.
fn login_failed() -> Error {
    Error::new(
        Kind::Unauthenticated,
        "LOGIN_FAILED",
        "the account or the password is wrong, or the account is disabled: check both, or ask an administrator",
    )
}

#[tonic::async_trait]
impl SessionService for Api {
    async fn create_session(
        &self,
        request: Request<CreateSessionRequest>,
    ) -> Result<Response<CreateSessionResponse>, Status> {
        let CreateSessionRequest { account: name, password } = request.into_inner();
        let read = self
            .inner
            .store
            .read("sign-in", move |conn| Ok((store::sign_in_find(conn, &name)?, keys::key_to_sign(conn)?)));
        let (found, key) = read.await?;
        let (standing, hash) = found.unzip();
        let right = self.inner.passwords.verify(password, hash).await?;
        let Some(standing) = standing.filter(|standing| right && standing.enabled) else {
            tracing::info!(account = ?standing.map(|standing| standing.account), "sign-in refused");
            return Err(login_failed().into());
        };
        let now = time::now_micros().div_euclid(1_000_000);
        let ttl = i64::try_from(self.inner.config.token_ttl.as_secs()).unwrap_or(i64::MAX);
        let expires = now.saturating_add(ttl);
        let token = Claims::new(standing.account, standing.admin, now, expires).sign(&key)?;
        tracing::info!(account = %standing.account, "signed in");
        Ok(Response::new(CreateSessionResponse {
            token,
            expire_time: Some(time::from_micros(expires.saturating_mul(1_000_000))),
            account_uuid: standing.account.to_string(),
        }))
    }
}
