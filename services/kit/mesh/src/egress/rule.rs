//! One rule of what is allowed, and how it is written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::address::{is_public, within};
use super::target::{Host, Target, host_name};

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Any public address.
    Public,
    /// A name at public addresses.
    Name {
        /// The name, or what stands behind `*.`.
        name: String,
        /// Whether it stands for the names below it.
        below: bool,
        /// The port.
        port: Port,
    },
    /// The addresses of a network.
    Network {
        /// Its first address.
        network: IpAddr,
        /// How many bits of it count.
        length: u8,
        /// The port.
        port: Port,
    },
}

/// Which ports a rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The one that the scheme has: 80 or 443.
    Usual,
    /// This one.
    One(u16),
    /// All.
    Any,
}

impl Port {
    fn covers(self, target: &Target) -> bool {
        match self {
            Self::Usual => target.port() == target.usual_port(),
            Self::One(port) => target.port() == port,
            Self::Any => true,
        }
    }
}

impl Rule {
    /// Whether it allows a target at an address.
    pub(super) fn covers(&self, target: &Target, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::Name { .. } => self.may_cover(target) && is_public(address),
            Self::Network { network, length, port } => port.covers(target) && within(address, *network, *length),
        }
    }

    /// Whether it allows a target at some address.
    pub(super) fn may_cover(&self, target: &Target) -> bool {
        match self {
            Self::Public => true,
            Self::Name { name, below, port } => {
                let Host::Name(host) = target.host() else { return false };
                let named = match host.strip_suffix(name.as_str()) {
                    Some("") => !*below,
                    Some(rest) => *below && rest.ends_with('.'),
                    None => false,
                };
                named && port.covers(target)
            }
            Self::Network { port, .. } => port.covers(target),
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "public" {
            return Ok(Self::Public);
        }
        let wrong = |why: &str| {
            format!(
                "{text:?} {why}; write public, hooks.example.com, *.example.com, hooks.example.com:8443 or 10.0.0.0/8"
            )
        };
        if let Some((network, length)) = text.split_once('/') {
            let network: IpAddr = network.parse().map_err(|_| wrong("begins with no address"))?;
            let most = if network.is_ipv4() { 32 } else { 128 };
            let length = length.parse().ok().filter(|length| *length <= most);
            let length = length.ok_or_else(|| wrong("has no length of a network behind the slash"))?;
            let first = first_of(network, length);
            if first != network {
                return Err(format!("{text:?} is an address within a network; write the network, {first}/{length}"));
            }
            return Ok(Self::Network { network, length, port: Port::Any });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let address = bare.parse().map(|address| (address, Port::Any));
        let address = address.or_else(|_| text.parse().map(|at: SocketAddr| (at.ip(), Port::One(at.port()))));
        if let Ok((network, port)) = address {
            return Ok(Self::Network { network, length: if network.is_ipv4() { 32 } else { 128 }, port });
        }
        let (name, port) = match text.rsplit_once(':') {
            None => (text, Port::Usual),
            Some((name, "*")) => (name, Port::Any),
            Some((name, port)) => match port.parse() {
                Ok(port) if port > 0 => (name, Port::One(port)),
                _ => return Err(wrong("has no port behind the colon")),
            },
        };
        let (name, below) = name.strip_prefix("*.").map_or((name, false), |name| (name, true));
        match host_name(name) {
            // callbacks to names go to public addresses alone, and those have a dot
            Ok(Host::Name(name)) if !below && !name.contains('.') => {
                Err(wrong("is neither an address nor a network, and as a name it has no dot"))
            }
            Ok(Host::Name(name)) => Ok(Self::Name { name, below, port }),
            _ => Err(wrong("is no rule for destinations")),
        }
    }
}

/// The first address of the network of this length that an address is in.
fn first_of(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = |port: &Port| match port {
            Port::One(port) => format!(":{port}"),
            Port::Any | Port::Usual => String::new(),
        };
        match self {
            Self::Public => formatter.write_str("public"),
            Self::Name { name, below, port: Port::Any } => {
                write!(formatter, "{}{name}:*", if *below { "*." } else { "" })
            }
            Self::Name { name, below, port: at } => {
                write!(formatter, "{}{name}{}", if *below { "*." } else { "" }, port(at))
            }
            Self::Network { network, port: Port::One(port), .. } => {
                write!(formatter, "{}", SocketAddr::new(*network, *port))
            }
            Self::Network { network, length, .. } => write!(formatter, "{network}/{length}"),
        }
    }
}
