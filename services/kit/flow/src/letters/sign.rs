//! Signatures as Standard Webhooks has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gyre_model::{Error, Result};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// What keys begin with as people see them.
const PREFIX: &str = "whsec_";
/// How long the key before a new one signs too, in microseconds.
pub const CHANGE_OVER: i64 = 24 * 3600 * 1_000_000;

/// A new key.
///
/// # Errors
/// A system that gives no random numbers.
pub fn random() -> Result<Vec<u8>> {
    let mut secret = vec![0; 32];
    SystemRandom::new().fill(&mut secret).map_err(|_| Error::internal("the system gives no random numbers"))?;
    Ok(secret)
}

/// The value of `webhook-signature`: one signature for each key, with a space between.
pub fn signature<'a>(keys: impl IntoIterator<Item = &'a [u8]>, id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures = keys.into_iter().map(|key| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

/// A key as its account keeps it.
pub fn shown(key: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(key))
}

/// A key as somebody gives it: 24 to 64 bytes, as the standard has it.
pub fn given(text: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_signed_as_it_says() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature([key.as_slice()], id, 1_614_265_330, body), one);
        let both = signature([key.as_slice(), &[7; 32]], id, 1_614_265_330, body);
        assert!(both.starts_with(&format!("{one} v1,")), "{both}");
        assert_eq!(shown(&key), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(given(&shown(&key)), Some(key));
        assert!(
            ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"].iter().all(|text| given(text).is_none())
        );
    }
}
