//! The public keys that tokens are signed with, fetched from identity when they are first needed, when a token names one that is
//! not known (at most once a second, so that made-up names cost nothing), and after a while, so that a key that was withdrawn is
//! forgotten.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use gyre_model::{Caller, Error};
use gyre_proto::identity::v1::ListVerificationKeysRequest;
use tokio::sync::Mutex;

use super::{IdentityClient, asked};

/// How long keys are believed without asking again.
const FRESH: Duration = Duration::from_secs(60);
/// How long to wait after asking before asking again.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Known {
    keys: HashMap<String, Bytes>,
    since: Instant,
}

/// The keys.
#[derive(Debug, Default)]
pub struct Keys {
    known: ArcSwapOption<Known>,
    asked: Mutex<Option<Instant>>,
}

impl Keys {
    fn known(&self, id: &str) -> Option<Bytes> {
        let known = self.known.load();
        let known = known.as_ref().filter(|known| known.since.elapsed() < FRESH)?;
        known.keys.get(id).cloned()
    }

    /// The key of this id; none where identity does not know it either.
    ///
    /// # Errors
    /// When no keys are known and identity does not answer.
    pub async fn find(&self, identity: &IdentityClient, id: &str) -> Result<Option<Bytes>, Error> {
        if let Some(key) = self.known(id) {
            return Ok(Some(key));
        }
        // One asks, the others wait and look again.
        let mut last = self.asked.lock().await;
        if let Some(key) = self.known(id) {
            return Ok(Some(key));
        }
        if last.is_none_or(|last| last.elapsed() >= PAUSE) {
            *last = Some(Instant::now());
            let request = asked(Caller::system().request(ListVerificationKeysRequest {}));
            match identity.clone().list_verification_keys(request).await {
                Ok(response) => {
                    let keys = response.into_inner().keys.into_iter().map(|key| (key.id, key.public_key)).collect();
                    self.known.store(Some(Arc::new(Known { keys, since: Instant::now() })));
                }
                Err(status) => {
                    tracing::warn!(error = %status.message(), "cannot read the keys of tokens from identity")
                }
            }
        }
        match self.known.load().as_ref() {
            Some(known) => Ok(known.keys.get(id).cloned()),
            None => Err(Error::unavailable("IDENTITY_UNAVAILABLE", "tokens cannot be checked now; try again")),
        }
    }
}
