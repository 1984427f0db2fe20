//! The token that signing in answers with, exactly:
//!
//! - A JWT (RFC 7519) in JWS compact form (RFC 7515): `base64url(header) "." base64url(claims) "." base64url(signature)`, base64url
//!   without padding. Not longer than [`LONGEST`] bytes.
//! - Header: `{"alg":"EdDSA","typ":"JWT","kid":"<id of the key>"}`. `alg` must be "EdDSA" (RFC 8037, with an Ed25519 key) and
//!   `kid` must be there; a header with `crit` is refused; other members are passed over.
//! - Claims: `{"iss":"gyre","sub":"<UUID of the account, hyphenated, lower case>","adm":<bool>,"iat":<seconds since 1970>,
//!   "exp":<seconds since 1970>,"jti":"<UUID of the token>"}`. All must be there; numbers are whole; others are passed over.
//! - Signature: Ed25519 (64 bytes) over the ASCII bytes `base64url(header) "." base64url(claims)`.
//!
//! Identity signs (with `ring::signature::Ed25519KeyPair::sign`), gateways verify with the public keys that
//! `AuthenticationService.ListVerificationKeys` lists, `kid` being `VerificationKey.id`. A token is good from `iat` (a minute of
//! wrong clocks is forgiven) until before `exp`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gyre_model::{Uuid, parse_uuid};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Most bytes of a token.
pub const LONGEST: usize = 2048;
/// The issuer.
pub const ISSUER: &str = "gyre";
/// How many seconds the clocks of identity and gateway may differ.
const CLOCK_SKEW: i64 = 60;

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not have the form of a token.
    #[error("is no token of Gyre's")]
    Malformed,
    /// No such key, or the signature is not by that key.
    #[error("is not signed by this cloud")]
    Signature,
    /// Its time is over.
    #[error("has expired; sign in again")]
    Expired,
    /// Its time has not come.
    #[error("is from the future; check the clocks")]
    Early,
}

/// What a token says, once its signature was found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// The account.
    pub account: Uuid,
    /// Whether it administers the cloud.
    pub admin: bool,
    /// When it stops being good, in seconds since 1970.
    pub expires: i64,
}

#[derive(Deserialize)]
struct Header<'a> {
    alg: &'a str,
    kid: String,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Body<'a> {
    iss: &'a str,
    sub: &'a str,
    adm: bool,
    iat: i64,
    exp: i64,
    #[serde(rename = "jti")]
    _jti: String,
}

/// A token taken apart; nothing in it is believed yet.
#[derive(Debug)]
pub struct Token<'a> {
    /// The id of the key that it claims to be signed with.
    pub key: String,
    signed: &'a str,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        if text.len() > LONGEST {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header = decode(header)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
        if header.alg != "EdDSA" || header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        Ok(Self { key: header.kid, signed, claims: decode(claims)?, signature: decode(signature)? })
    }

    /// Checks the signature with a public key, and the times, and answers what the token says.
    pub fn verify(&self, public_key: &[u8], now: i64) -> Result<Claims, TokenError> {
        UnparsedPublicKey::new(&ED25519, public_key)
            .verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| TokenError::Signature)?;
        let body: Body<'_> = serde_json::from_slice(&self.claims).map_err(|_| TokenError::Malformed)?;
        if body.iss != ISSUER {
            return Err(TokenError::Malformed);
        }
        if now >= body.exp {
            return Err(TokenError::Expired);
        }
        if body.iat > now.saturating_add(CLOCK_SKEW) {
            return Err(TokenError::Early);
        }
        let account = parse_uuid(body.sub).ok_or(TokenError::Malformed)?;
        Ok(Claims { account, admin: body.adm, expires: body.exp })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    /// Signs as identity does.
    pub(crate) fn sign(pair: &Ed25519KeyPair, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT","kid":"k1"}"#;
    const ACCOUNT: &str = "0193f3a0-1111-4222-8333-444455556666";

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn claims(iat: i64, exp: i64) -> String {
        format!(r#"{{"iss":"gyre","sub":"{ACCOUNT}","adm":true,"iat":{iat},"exp":{exp},"jti":"x"}}"#)
    }

    fn verify(token: &str, now: i64) -> Result<Claims, TokenError> {
        Token::parse(token)?.verify(pair().public_key().as_ref(), now)
    }

    #[test]
    fn a_good_token_says_who() {
        let token = sign(&pair(), HEADER, &claims(1000, 2000));
        assert_eq!(Token::parse(&token).unwrap().key, "k1");
        let said = verify(&token, 1500).unwrap();
        assert_eq!((said.account.to_string().as_str(), said.admin, said.expires), (ACCOUNT, true, 2000));
        assert_eq!(verify(&token, 940), Ok(said));
    }

    #[test]
    fn every_other_token_is_refused() {
        let good = sign(&pair(), HEADER, &claims(1000, 2000));
        assert_eq!(verify(&good, 2000), Err(TokenError::Expired));
        assert_eq!(verify(&good, 939), Err(TokenError::Early));
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        assert_eq!(verify(&sign(&other, HEADER, &claims(1000, 2000)), 1500), Err(TokenError::Signature));
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let forged =
            format!("{}.{}.{signature}", signed.split_once('.').unwrap().0, URL_SAFE_NO_PAD.encode(claims(1000, 9000)));
        assert_eq!(verify(&forged, 1500), Err(TokenError::Signature));
        for header in [
            r#"{"alg":"none","kid":"k1"}"#,
            r#"{"alg":"HS256","kid":"k1"}"#,
            r#"{"alg":"EdDSA"}"#,
            r#"{"alg":"EdDSA","kid":"k1","crit":["b64"]}"#,
        ] {
            assert_eq!(
                verify(&sign(&pair(), header, &claims(1000, 2000)), 1500),
                Err(TokenError::Malformed),
                "{header}"
            );
        }
        let wrong = claims(1000, 2000).replace("gyre", "other");
        assert_eq!(verify(&sign(&pair(), HEADER, &wrong), 1500), Err(TokenError::Malformed));
        for garbage in ["", "a", "a.b", "a.b.c", "..", "é.é.é", &format!("{good}="), &"a".repeat(5000)] {
            assert!(verify(garbage, 1500).is_err(), "{garbage}");
        }
    }
}
