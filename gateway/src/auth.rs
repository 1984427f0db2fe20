//! Who calls: found out once, here, and then carried inside the mesh in headers that only members may set.
//!
//! - A token is verified with identity's public key once, then remembered by its SHA-256 until it expires, so that the next call
//!   costs a hash and two look-ups. Whether its account may still call is asked at most every 5 seconds.
//! - An API key (`gyre_…`) is asked about at identity; the answer is remembered for 5 seconds, a refusal for 1.
//! - What is remembered is bounded, and nothing of it outlives those times: a disabled account is out after 5 seconds. There is
//!   one exception: while identity says that its database is away nobody can disable an account or delete a key, so what it said
//!   before goes on being believed, for 10 minutes at most. What needs no database is answered then: health, members, a stream.
//! - The policies that bind a caller ([`crate::policy`]) come with identity's answer, and are believed for as long.

mod cache;
mod keys;
pub mod throttle;
pub mod token;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gyre_mesh::MeshChannel;
use gyre_model::catalog::{Access, MethodInfo};
use gyre_model::policy::Rules;
use gyre_model::{Caller, Error, Kind, Uuid, parse_uuid};
use gyre_proto::identity::v1::authentication_service_client::AuthenticationServiceClient;
use gyre_proto::identity::v1::{AuthenticateApiKeyRequest, CheckAccountRequest, CheckAccountResponse};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::digest;

use self::cache::Cache;
use self::keys::Keys;
use self::token::{Claims, Token, TokenError};
use crate::metrics::{Refused, metrics};
use crate::policy;
use crate::refusal::Refusal;

/// What API keys begin with.
pub const API_KEY: &str = "gyre_";
/// How long identity's answers are believed.
const BELIEVED: Duration = Duration::from_secs(5);
/// When a believed answer is asked for again ahead of its end, so that few calls wait.
const RENEWED: Duration = Duration::from_secs(3);
/// How long a refusal is believed.
const REFUSED: Duration = Duration::from_secs(1);
/// How long a verified token is remembered at most.
const VERIFIED: Duration = Duration::from_secs(300);
/// How long an old answer is believed while identity's database is away.
const OUTAGE: Duration = Duration::from_secs(600);
/// How often identity is asked meanwhile.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// How long identity may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most tokens, keys and accounts that are remembered, each.
const MOST: usize = 16_384;

/// Asks identity.
pub(crate) type IdentityClient = AuthenticationServiceClient<MeshChannel>;

/// A request to identity with the time that it may take.
pub(crate) fn asked<T>(mut request: tonic::Request<T>) -> tonic::Request<T> {
    request.set_timeout(PATIENCE);
    request
}

type Digest = [u8; 32];

/// Somebody who calls, and what binds them.
#[derive(Debug, Clone)]
pub struct Known {
    /// Who it is.
    pub caller: Caller,
    /// The policies that bind the account, and those that bind its key; nothing where there are none.
    pub rules: [Option<Arc<Rules>>; 2],
}

impl Known {
    /// What binds them.
    pub fn bound(&self) -> impl Iterator<Item = &Rules> {
        self.rules.iter().flatten().map(Arc::as_ref)
    }
}

/// What identity said of an account.
#[derive(Debug, Clone)]
struct Standing {
    enabled: bool,
    admin: bool,
    rules: Option<Arc<Rules>>,
    /// When to ask again, while this is still believed.
    renew: Instant,
    /// Until when it is believed without an outage; it is remembered for longer.
    until: Instant,
}

/// What identity said of an API key.
#[derive(Debug, Clone)]
struct KnownKey {
    caller: Option<Caller>,
    rules: Option<Arc<Rules>>,
    /// When to ask again.
    renew: Instant,
    /// When it said so.
    since: Instant,
    /// When the key itself ends.
    ends: Option<Instant>,
}

/// Finds out who calls.
#[derive(Debug)]
pub struct Authenticator {
    identity: IdentityClient,
    keys: Keys,
    tokens: Cache<Digest, Claims>,
    api_keys: Cache<Digest, KnownKey>,
    accounts: Cache<Uuid, Standing>,
}

impl Authenticator {
    /// One that asks identity through this channel.
    pub fn new(identity: MeshChannel) -> Self {
        Self {
            identity: AuthenticationServiceClient::new(identity),
            keys: Keys::default(),
            tokens: Cache::new(MOST),
            api_keys: Cache::new(MOST),
            accounts: Cache::new(MOST),
        }
    }

    /// Who makes this call; nobody where the call is open to everybody.
    pub async fn caller(&self, method: &MethodInfo, headers: &HeaderMap) -> Result<Option<Known>, Refusal> {
        if method.access == Access::Public {
            return Ok(None);
        }
        self.authenticate(headers).await.map(Some)
    }

    /// Whether a caller may make this call, as far as that can be said without looking at what it is about.
    pub fn permit(method: &MethodInfo, known: &Known) -> Result<(), Refusal> {
        if method.access == Access::Admin && !known.caller.admin {
            return Err(Refusal::counted(
                Refused::Permission,
                Error::new(
                    Kind::PermissionDenied,
                    "ADMIN_ONLY",
                    format!("{} is for administrators of the cloud", method.name),
                )
                .with("action", method.action),
            ));
        }
        policy::permit(method, known)
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<Known, Refusal> {
        let Some(header) = headers.get(AUTHORIZATION) else {
            return Err(Refusal::new(
                Refused::NoToken,
                Kind::Unauthenticated,
                "NO_TOKEN",
                "sign in with POST /v1/sessions and send the token, or an API key, as Authorization: Bearer",
            ));
        };
        let secret = header.to_str().ok().and_then(bearer).ok_or_else(|| {
            refused("INVALID_TOKEN", "the Authorization header must be \"Bearer\" and a token or an API key")
        })?;
        let mut digest = Digest::default();
        digest.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
        if secret.starts_with(API_KEY) { self.api_key(secret, digest).await } else { self.token(secret, digest).await }
    }

    async fn token(&self, secret: &str, digest: Digest) -> Result<Known, Refusal> {
        let now = Instant::now();
        let time = unix_seconds();
        let claims = match self.tokens.get(&digest, now) {
            Some(claims) if time < claims.expires => claims,
            _ => self.verify(secret, digest, now, time).await?,
        };
        let standing = self.standing(claims.account, now).await?;
        if !standing.enabled {
            return Err(refused("ACCOUNT_DISABLED", "the account is disabled or deleted"));
        }
        let caller = Caller::of(claims.account, claims.admin && standing.admin);
        Ok(Known { caller, rules: [standing.rules, None] })
    }

    async fn verify(&self, secret: &str, digest: Digest, now: Instant, time: i64) -> Result<Claims, Refusal> {
        metrics().verified.inc();
        let wrong = |error: TokenError| {
            let reason = if error == TokenError::Expired { "TOKEN_EXPIRED" } else { "INVALID_TOKEN" };
            refused(reason, &format!("the token {error}"))
        };
        let token = Token::parse(secret).map_err(wrong)?;
        let key = self.keys.find(&self.identity, &token.key).await?.ok_or_else(|| wrong(TokenError::Signature))?;
        let claims = token.verify(&key, time).map_err(wrong)?;
        self.tokens.put(digest, claims, now, now + VERIFIED);
        Ok(claims)
    }

    /// Whether an account may call, as identity said within the last seconds.
    async fn standing(&self, account: Uuid, now: Instant) -> Result<Standing, Refusal> {
        let known = self.accounts.get(&account, now);
        if let Some(known) = &known {
            if now < known.renew {
                return Ok(known.clone());
            }
            if now < known.until {
                // This call asks again; those beside it go on with what is believed.
                let later = Standing { renew: known.until, ..known.clone() };
                self.accounts.put(account, later, now, known.until + OUTAGE);
            }
        }
        let request = CheckAccountRequest { account_uuid: account.to_string() };
        let answer = self.identity.clone().check_account(asked(Caller::system().request(request))).await;
        let answer = match answer {
            Ok(answer) => answer.into_inner(),
            Err(status) if status.code() == tonic::Code::NotFound => CheckAccountResponse::default(),
            Err(status) => match known {
                Some(known) if now < known.until => return Ok(known),
                Some(known) if known.enabled && database_away(&status) => {
                    let later = Standing { renew: Instant::now() + ASKED_AGAIN, ..known.clone() };
                    self.accounts.put(account, later, now, known.until + OUTAGE);
                    return Ok(known);
                }
                _ => return Err(unanswered(status)),
            },
        };
        // Counted from before the question: the answer may be as old as that.
        let CheckAccountResponse { enabled, admin, policies } = answer;
        let until = now + if enabled { BELIEVED } else { REFUSED };
        let rules = policy::rules(policies, known.as_ref().and_then(|known| known.rules.as_ref()));
        let standing = Standing { enabled, admin, rules, renew: until.min(now + RENEWED), until };
        self.accounts.put(account, standing.clone(), now, until + OUTAGE);
        Ok(standing)
    }

    async fn api_key(&self, secret: &str, digest: Digest) -> Result<Known, Refusal> {
        let unknown = || refused("INVALID_TOKEN", "the API key is not known, has expired, or its account is disabled");
        let now = Instant::now();
        let known = self.api_keys.get(&digest, now).filter(|known| known.ends.is_none_or(|ends| now < ends));
        if let Some(key) = &known
            && now < key.renew
        {
            return self.holder(key.clone(), now).await?.ok_or_else(unknown);
        }
        if secret.len() > 256 {
            return Err(unknown());
        }
        metrics().verified.inc();
        let request = AuthenticateApiKeyRequest { key: secret.to_owned() };
        let answer = self.identity.clone().authenticate_api_key(asked(Caller::system().request(request))).await;
        let answered = match answer {
            Ok(answer) => {
                let answer = answer.into_inner();
                let account = parse_uuid(&answer.account_uuid)
                    .ok_or_else(|| Error::internal("identity answered an API key without an account"))?;
                let key = parse_uuid(&answer.api_key_uuid);
                let caller = Caller { api_key_uuid: key, ..Caller::of(account, answer.admin) };
                let left = answer.expire_time.map(|time| time.seconds.saturating_sub(unix_seconds()).max(0));
                let left = left.and_then(|left| u64::try_from(left).ok()).map(Duration::from_secs);
                let rules = policy::rules(answer.policies, known.as_ref().and_then(|known| known.rules.as_ref()));
                let ends = left.map(|left| now + left);
                KnownKey { caller: Some(caller), rules, renew: now + BELIEVED, since: now, ends }
            }
            Err(status) => match status.code() {
                tonic::Code::Unauthenticated | tonic::Code::NotFound | tonic::Code::PermissionDenied => {
                    KnownKey { caller: None, rules: None, renew: now + REFUSED, since: now, ends: None }
                }
                _ => match known {
                    Some(key) if key.caller.is_some() && database_away(&status) => {
                        KnownKey { renew: Instant::now() + ASKED_AGAIN, ..key }
                    }
                    _ => return Err(unanswered(status)),
                },
            },
        };
        let until = answered.since + OUTAGE;
        self.api_keys.put(digest, answered.clone(), now, until);
        self.holder(answered, now).await?.ok_or_else(unknown)
    }

    /// Who calls with a key that identity answered for, with what binds its account, too.
    async fn holder(&self, key: KnownKey, now: Instant) -> Result<Option<Known>, Refusal> {
        let Some(caller) = key.caller else { return Ok(None) };
        let standing = self.standing(caller.account_uuid, now).await?;
        Ok(standing.enabled.then_some(Known { caller, rules: [standing.rules, key.rules] }))
    }
}

fn refused(reason: &'static str, message: &str) -> Refusal {
    Refusal::new(Refused::BadToken, Kind::Unauthenticated, reason, message)
}

/// Whether identity says that its database is away.
fn database_away(status: &tonic::Status) -> bool {
    status.code() == tonic::Code::Unavailable && Error::from(status.clone()).reason() == "DATABASE_AWAY"
}

fn unanswered(status: tonic::Status) -> Refusal {
    tracing::warn!(code = ?status.code(), error = %status.message(), "identity does not answer");
    let error = Error::from(status);
    if error.kind() == Kind::Unavailable && (error.reason().starts_with("DATABASE_") || error.reason() == "NO_LEASE") {
        return error.into();
    }
    Error::unavailable("IDENTITY_UNAVAILABLE", "it cannot be checked now who calls; try again").into()
}

/// What stands behind "Bearer".
fn bearer(header: &str) -> Option<&str> {
    let (scheme, secret) = header.split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_is_read() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for wrong in ["Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(bearer(wrong), None, "{wrong}");
        }
    }
}
