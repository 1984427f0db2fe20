//! Passwords: hashed with argon2id (RFC 9106), beside the runtime, so many at a time.
//!
//! A hash carries its own salt and cost, so the cost may be raised without asking anybody for a new password. Who names an account
//! that is not there waits for a hash all the same: one of nobody's password, at the present cost.

use std::sync::Arc;

use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use gyre_model::{Error, Kind, Result};
use tokio::sync::Semaphore;

use crate::Config;

/// Fewest characters of a password; the .proto file says the same to those who send one.
pub(crate) const SHORTEST: usize = 8;

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for PasswordCost {
    /// What OWASP advises where the 64 MiB of RFC 9106's second choice are too much to take for every sign-in: 19 MiB, two
    /// passes, one lane. About 30 ms of a core.
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2 }
    }
}

/// Hashes and verifies passwords.
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    cores: Arc<Semaphore>,
    queue: Semaphore,
    nobodys: String,
}

impl Passwords {
    pub fn new(config: &Config) -> Result<Self> {
        let PasswordCost { memory_kib, passes } = config.password_cost;
        let params = Params::new(memory_kib, passes, 1, None).map_err(|error| {
            Error::new(
                Kind::InvalidArgument,
                "PASSWORD_COST",
                format!("argon2 refuses this cost of passwords: {error}"),
            )
        })?;
        let parallelism = config.password_parallelism.max(1);
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            cores: Arc::new(Semaphore::new(parallelism)),
            queue: Semaphore::new(parallelism + config.sign_in_queue),
            // 16 bytes of salt and 32 of hash, all zero
            nobodys: format!("$argon2id$v=19$m={memory_kib},t={passes},p=1${}${}", "A".repeat(22), "A".repeat(43)),
        })
    }

    /// The hash of a password, with a random salt (a PHC string).
    pub async fn hash(&self, password: String) -> Result<String> {
        let hashed = self.beside(move |argon2| argon2.hash_password(password.as_bytes()).map(|hash| hash.to_string()));
        hashed.await?.map_err(|error| Error::internal(format!("cannot hash a password: {error}")))
    }

    /// Whether a password is the one of this hash. Without a hash it is not, after the same time.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobodys.clone());
        let verified = self.beside(move |argon2| argon2.verify_password(password.as_bytes(), hash.as_str()));
        match verified.await? {
            Ok(()) => Ok(known),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(Error::internal(format!("a stored password cannot be read: {error}"))),
        }
    }

    /// Runs a hash on a thread that may block, when its turn comes.
    async fn beside<T: Send + 'static>(&self, work: impl FnOnce(&Argon2<'_>) -> T + Send + 'static) -> Result<T> {
        let _waiting = self.queue.try_acquire().map_err(|_| {
            Error::unavailable("SIGN_IN_BUSY", "too many passwords wait to be checked; try again in a moment")
        })?;
        let core = Arc::clone(&self.cores).acquire_owned().await.map_err(Error::internal)?;
        let argon2 = self.argon2.clone();
        // The thread goes on when whoever waits for it gives up, and holds its core until it has ended.
        let done = tokio::task::spawn_blocking(move || {
            let _core = core;
            work(&argon2)
        });
        done.await.map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(parallelism: usize, queue: usize) -> Passwords {
        let config = Config {
            password_parallelism: parallelism,
            sign_in_queue: queue,
            password_cost: PasswordCost { memory_kib: 64, passes: 1 },
            ..Config::default()
        };
        Passwords::new(&config).unwrap()
    }

    #[tokio::test]
    async fn a_password_fits_its_hash_and_no_other() {
        let passwords = passwords(2, 8);
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_ne!(passwords.hash("correct horse".into()).await.unwrap(), hash);
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct Horse".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
        assert!(passwords.verify("x".into(), Some("nonsense".into())).await.is_err());
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_still_verifies() {
        let hash = passwords(1, 8).hash("correct horse".into()).await.unwrap();
        let dearer = Config { password_cost: PasswordCost { memory_kib: 128, passes: 2 }, ..Config::default() };
        assert!(Passwords::new(&dearer).unwrap().verify("correct horse".into(), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn nobodys_hash_is_worked_on_like_any_other() {
        let passwords = Passwords::new(&Config::default()).unwrap();
        let verified = passwords.argon2.verify_password(b"x", passwords.nobodys.as_str());
        assert_eq!(verified, Err(password_hash::Error::PasswordInvalid));
    }

    #[tokio::test]
    async fn too_many_at_once_are_refused() {
        let passwords = passwords(1, 0);
        let (entered, running) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let first = passwords.beside(move |_| {
            entered.send(()).unwrap();
            released.recv().unwrap();
        });
        let second = async {
            tokio::task::spawn_blocking(move || running.recv().unwrap()).await.unwrap();
            let error = passwords.hash("password".into()).await.unwrap_err();
            release.send(()).unwrap();
            error
        };
        let (first, error) = tokio::join!(first, second);
        first.unwrap();
        assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, "SIGN_IN_BUSY"));
        assert!(passwords.hash("password".into()).await.is_ok());
    }
}
