//! Which addresses belong to the public Internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 networks that are not the public Internet (IANA's special-purpose registry, and multicast): each with its length.
const SPECIAL_V4: [([u8; 4], u8); 17] = [
    ([0, 0, 0, 0], 8),       // this network, unspecified
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // carrier-grade NAT
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local, where clouds keep their metadata
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 31, 196, 0], 24), // AS112
    ([192, 52, 193, 0], 24), // AMT
    ([192, 88, 99, 0], 24),  // 6to4 relays
    ([192, 168, 0, 0], 16),  // private
    ([192, 175, 48, 0], 24), // AS112
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 3),     // multicast, reserved, broadcast
];

/// IPv6 networks inside 2000::/3 that are not the public Internet. Everything outside of 2000::/3 is none either: loopback,
/// unspecified, IPv4 mapped, compatible and translated (::/8, 64:ff9b::/32), unique local, link-local, site-local, multicast.
const SPECIAL_V6: [([u16; 8], u8); 6] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),         // protocol assignments, Teredo, ORCHID
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),     // documentation
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),         // 6to4: an IPv4 address inside
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48), // AS112
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),         // documentation
    ([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16),         // the former 6bone
];

/// Whether an address belongs to the public Internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !SPECIAL_V4.iter().any(|(network, length)| within_v4(address, Ipv4Addr::from(*network), *length))
        }
        IpAddr::V6(address) => {
            let global = within_v6(address, Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
            global && !SPECIAL_V6.iter().any(|(network, length)| within_v6(address, Ipv6Addr::from(*network), *length))
        }
    }
}

/// Whether an address lies in a network. IPv4 and IPv6 are apart, also where one is written as the other.
pub(super) fn within(address: IpAddr, network: IpAddr, length: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => within_v4(address, network, length),
        (IpAddr::V6(address), IpAddr::V6(network)) => within_v6(address, network, length),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn within_v4(address: Ipv4Addr, network: Ipv4Addr, length: u8) -> bool {
    let differs = address.to_bits() ^ network.to_bits();
    differs.checked_shr(32 - u32::from(length.min(32))).unwrap_or(0) == 0
}

fn within_v6(address: Ipv6Addr, network: Ipv6Addr, length: u8) -> bool {
    let differs = address.to_bits() ^ network.to_bits();
    differs.checked_shr(128 - u32::from(length.min(128))).unwrap_or(0) == 0
}
