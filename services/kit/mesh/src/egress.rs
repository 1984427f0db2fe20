//! Where Gyre may send requests whose URL a user named: what the operator allows, and nothing else.
//!
//! Who holds to it: the gateway asks [`Allow::check`] before it takes a URL, which needs no DNS; whoever connects resolves the
//! name itself, asks [`Allow::may_connect`] for each address, and connects to an address that was allowed, never to the name.
//! So it does not matter what DNS answers later, or what a redirect says: there is no second look-up, and redirects are not
//! followed.
//!
//! A rule is one of:
//! - `public`: any address of the public Internet;
//! - a name, `hooks.example.com`, or `*.example.com` for all names below: at public addresses, on the scheme's usual port, on
//!   the port that the rule names (`hooks.example.com:8443`), or on any (`hooks.example.com:*`);
//! - an address or a network, `10.1.2.3`, `10.1.2.3:8080`, `10.0.0.0/8`, `fd00::/8`: by any name, on any port or the one named.
//!   Only these allow addresses that are not public ([`is_public`]).

mod address;
mod rule;
mod target;

pub use address::is_public;
pub use rule::Rule;
pub use target::{Host, Target};

use std::net::{IpAddr, Ipv4Addr};

use gyre_model::{Error, Kind, Result};

/// The header in which a caller names a callback.
pub const CALLBACK: &str = "x-gyre-callback";

/// What the operator allows; by default nothing.
#[derive(Debug, Clone, Default)]
pub struct Allow {
    rules: Vec<Rule>,
}

impl Allow {
    /// These rules.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self { rules: rules.into_iter().collect() }
    }

    /// Whether nothing at all is allowed.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a target may be allowed, as far as can be told without DNS: an address is judged; a name passes where a rule
    /// could allow what it resolves to.
    pub fn check(&self, target: &Target) -> bool {
        match target.host() {
            Host::Address(address) => self.may_connect(target, *address),
            // what these names mean is known
            Host::Name(name) if name == "localhost" || name.ends_with(".localhost") => {
                self.may_connect(target, Ipv4Addr::LOCALHOST.into())
            }
            Host::Name(_) => self.rules.iter().any(|rule| rule.may_cover(target)),
        }
    }

    /// Reads the URL of a callback, and sees whether it may be allowed.
    ///
    /// # Errors
    /// `CALLBACK_INVALID`, `CALLBACK_NOT_ALLOWED`; both name the header and its value.
    pub fn callback(&self, url: &str) -> Result<Target> {
        let shown: String = url.chars().take(200).collect();
        let target = Target::parse(url).map_err(|must| {
            Error::new(
                Kind::InvalidArgument,
                "CALLBACK_INVALID",
                format!("the header {CALLBACK} {must}, got {shown:?}"),
            )
            .violation(CALLBACK, format!("{must}, got {shown:?}"))
        })?;
        if self.check(&target) {
            return Ok(target);
        }
        let text = format!(
            "the header {CALLBACK} names {shown:?}, where the operator allows no callbacks; leave it out and wait for the \
             operation, or have the operator start all services and gateways with --callback-allow {} (GYRE_CALLBACK_ALLOW)",
            target.rule()
        );
        let error = Error::new(Kind::PermissionDenied, "CALLBACK_NOT_ALLOWED", text);
        Err(error.with("header", CALLBACK).with("value", shown))
    }

    /// Whether a target may be reached at an address.
    pub fn may_connect(&self, target: &Target, address: IpAddr) -> bool {
        self.rules.iter().any(|rule| rule.covers(target, address))
    }
}

#[cfg(test)]
mod tests;
