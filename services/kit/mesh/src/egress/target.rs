//! A URL that a user named, taken apart strictly: what parsers read differently is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::uri::PathAndQuery;

/// Longest URL.
const LONGEST: usize = 2048;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    https: bool,
    host: Host,
    port: u16,
    path: PathAndQuery,
}

/// Whom it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, lower case, without a dot at its end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Target {
    /// Reads a URL. The error says what it must be.
    ///
    /// # Errors
    /// Anything but a plain http or https URL with a host, and no user name.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        if url.len() > LONGEST {
            return Err("must be at most 2048 characters");
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(
                "must be ASCII without spaces; write a name in another script as xn--…, other characters as %XX",
            );
        }
        if url.contains(['\\', '#']) {
            return Err("must have no backslash and no fragment");
        }
        let (scheme, rest) = url.split_once("://").ok_or("must begin with https:// or http://")?;
        let https = match () {
            () if scheme.eq_ignore_ascii_case("https") => true,
            () if scheme.eq_ignore_ascii_case("http") => false,
            () => return Err("must begin with https:// or http://"),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("must have no user name or password in it");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => {
                let (address, port) = inner.split_once(']').ok_or("must have an IPv6 address between [ and ]")?;
                let address: Ipv6Addr = address.parse().map_err(|_| "must have an IPv6 address between [ and ]")?;
                let port = match port.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if port.is_empty() => None,
                    None => return Err("must have nothing but a port behind the host"),
                };
                (Host::Address(address.into()), port)
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host_name(host)?, Some(port)),
                None => (host_name(authority)?, None),
            },
        };
        let port = match port {
            None => usual_port(https),
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err("must have a port from 1 to 65535"),
            },
            Some(_) => return Err("must have a port from 1 to 65535"),
        };
        let path = match path {
            "" => PathAndQuery::from_static("/"),
            _ if path.starts_with('?') => format!("/{path}").parse().map_err(|_| "has characters that no URL has")?,
            _ => path.parse().map_err(|_| "has characters that no URL has")?,
        };
        Ok(Self { https, host, port, path })
    }

    /// Whether TLS is spoken.
    pub fn https(&self) -> bool {
        self.https
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port that the scheme has where none is named.
    pub fn usual_port(&self) -> u16 {
        usual_port(self.https)
    }

    /// What the server is asked for.
    pub fn path(&self) -> &PathAndQuery {
        &self.path
    }

    /// Host and port, as one says it; the same for all URLs of one server.
    pub fn destination(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The narrowest rule that would allow it, as an operator writes it.
    pub fn rule(&self) -> String {
        match &self.host {
            Host::Name(name) if name == "localhost" => format!("127.0.0.1:{}", self.port),
            _ => self.authority(),
        }
    }

    /// What the `Host` header says.
    pub fn authority(&self) -> String {
        if self.port == self.usual_port() { self.host.to_string() } else { self.destination() }
    }
}

fn usual_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(formatter, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

/// Reads a host that stands without brackets. What ends in a number is an IPv4 address in four decimal parts or nothing: resolvers
/// read `2130706433`, `0x7f.1` and `127.1` as 127.0.0.1.
pub(super) fn host_name(text: &str) -> Result<Host, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.is_empty() {
        return Err("must name a host");
    }
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain) && !label.starts_with('-');
    if name.len() > 253 || !name.split('.').all(label) {
        return Err("must have a host of letters, digits, hyphens and dots");
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if number {
        return Err("must have an IPv4 address as four decimal numbers, such as 192.0.2.1");
    }
    Ok(Host::Name(name))
}
