//! Secrets that Gyre makes up: API keys and first passwords. All randomness is the operating system's.
//!
//! An API key reads `gyre_<UUID, 32 hex digits>_<43 characters>`: the UUID finds its row, and the rest is 32 random bytes in
//! base64url. It is kept as its SHA-256: with 256 random bits nothing slower is needed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gyre_model::{Error, Result, Uuid};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

/// What API keys begin with.
const PREFIX: &str = "gyre_";
/// Random bytes in an API key.
const BYTES: usize = 32;
/// Characters that they take.
const CHARACTERS: usize = 43;
/// What passwords are made of: nothing that is read as something else.
const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Characters of a password: about 139 bits.
const PASSWORD: usize = 24;

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("no random bytes from the operating system"))?;
    Ok(bytes)
}

/// A new API key for the row with this UUID.
pub(crate) fn api_key(uuid: Uuid) -> Result<String> {
    Ok(format!("{PREFIX}{}_{}", uuid.simple(), URL_SAFE_NO_PAD.encode(random::<BYTES>()?)))
}

/// The row that an API key says it belongs to; nothing where it has not the form of one.
pub(crate) fn api_key_uuid(key: &str) -> Option<Uuid> {
    let (uuid, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
    (uuid.len() == 32 && secret.len() == CHARACTERS).then(|| Uuid::try_parse(uuid).ok()).flatten()
}

/// What is kept of an API key.
pub(crate) fn api_key_hash(key: &str) -> Vec<u8> {
    digest(&SHA256, key.as_bytes()).as_ref().to_vec()
}

/// Whether two hashes are equal, in the same time whether or not.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    let differing = left.iter().zip(right).fold(0, |differing, (left, right)| differing | (left ^ right));
    left.len() == right.len() && std::hint::black_box(differing) == 0
}

/// A random password.
pub(crate) fn password() -> Result<String> {
    // bytes past the largest multiple would make some letters likelier
    let fair = 256 - 256 % LETTERS.len();
    let mut password = String::with_capacity(PASSWORD);
    while password.len() < PASSWORD {
        let bytes = random::<PASSWORD>()?;
        let letters = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let missing = PASSWORD - password.len();
        password.extend(letters.take(missing).map(|byte| char::from(LETTERS[byte % LETTERS.len()])));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_key_names_its_row() {
        let uuid = Uuid::new_v4();
        let key = api_key(uuid).unwrap();
        assert_eq!(key.len(), 5 + 32 + 1 + 43);
        assert_eq!(api_key_uuid(&key), Some(uuid));
        assert_ne!(api_key(uuid).unwrap(), key);
        assert_eq!(api_key_hash(&key).len(), 32);
    }

    #[test]
    fn what_is_no_api_key_names_none() {
        let key = api_key(Uuid::new_v4()).unwrap();
        for wrong in
            ["", "gyre_", "gyre__", &key[5..], &key[..key.len() - 1], &format!("{key}x"), &key.replace('_', "")]
        {
            assert_eq!(api_key_uuid(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hashes_are_compared_whole() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"abc", b"ab") && !same(b"", b"a"));
    }

    #[test]
    fn passwords_are_long_and_differ() {
        let (one, two) = (password().unwrap(), password().unwrap());
        assert_eq!((one.len(), two.len()), (24, 24));
        assert_ne!(one, two);
        assert!(one.bytes().all(|letter| LETTERS.contains(&letter)));
    }
}
