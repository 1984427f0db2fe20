//! The token that signing in answers: a JWT (RFC 7519) in JWS compact form, signed with Ed25519 (RFC 8037). The gateway's
//! `auth/token.rs` says its form exactly, and verifies it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gyre_model::{Error, Result, Uuid};
use serde::Serialize;

use crate::keys::SigningKey;

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

/// What a token says.
#[derive(Debug, Serialize)]
pub(crate) struct Claims {
    iss: &'static str,
    sub: String,
    adm: bool,
    iat: i64,
    exp: i64,
    jti: String,
}

impl Claims {
    /// Claims of an account, good from now on for a time, in seconds since 1970.
    pub fn new(account: Uuid, admin: bool, now: i64, expires: i64) -> Self {
        Self {
            iss: "gyre",
            sub: account.to_string(),
            adm: admin,
            iat: now,
            exp: expires,
            jti: Uuid::new_v4().to_string(),
        }
    }

    /// The token.
    pub fn sign(&self, key: &SigningKey) -> Result<String> {
        let header = encode(&Header { alg: "EdDSA", typ: "JWT", kid: &key.id })?;
        let signed = format!("{header}.{}", encode(self)?);
        let signature = URL_SAFE_NO_PAD.encode(key.pair.sign(signed.as_bytes()));
        Ok(format!("{signed}.{signature}"))
    }
}

fn encode(part: &impl Serialize) -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).map_err(Error::internal)?))
}
