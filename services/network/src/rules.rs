//! What a range of addresses must be like: by itself, and beside the other ranges of its L2 network. Pure decisions over a
//! snapshot. Every broken rule has its own reason, and all of them are told at once; the first gives the error its reason.

use std::net::Ipv4Addr;

use gyre_model::{Error, Kind, Result};
use gyre_proto::network::v1::IpRange;

/// Most addresses in a range.
const MOST: u32 = 65_536;

/// A range as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub end: u32,
    pub gateway: u32,
    pub prefix: u32,
}

fn number(field: &str, text: &str) -> Result<u32> {
    text.parse::<Ipv4Addr>().map(u32::from).map_err(|_| {
        Error::invalid(format!("ip_range.{field}"), format!("must be an IPv4 address such as 10.0.0.1, got {text:?}"))
    })
}

impl Span {
    pub fn of(range: &IpRange) -> Result<Self> {
        let prefix = u32::try_from(range.prefix_length).ok().filter(|prefix| (1..=32).contains(prefix));
        Ok(Self {
            start: number("start_address", &range.start_address)?,
            end: number("end_address", &range.end_address)?,
            gateway: number("gateway", &range.gateway)?,
            prefix: prefix.ok_or_else(|| Error::invalid("ip_range.prefix_length", "must be between 8 and 30"))?,
        })
    }

    pub fn contains(&self, address: u32) -> bool {
        (self.start..=self.end).contains(&address)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn mask(&self) -> u32 {
        u32::MAX << (32 - self.prefix)
    }

    /// The first address of the subnet that the range begins in.
    fn network(&self) -> u32 {
        self.start & self.mask()
    }

    /// The last one.
    fn broadcast(&self) -> u32 {
        self.network() | !self.mask()
    }

    fn in_subnet(&self, address: u32) -> bool {
        address & self.mask() == self.network()
    }

    /// How many addresses there are; 0 where the end comes before the start.
    pub fn count(&self) -> i64 {
        (i64::from(self.end) - i64::from(self.start) + 1).max(0)
    }
}

/// An address as people write it.
pub(crate) fn shown(address: u32) -> Ipv4Addr {
    Ipv4Addr::from(address)
}

/// Why an address can be nobody's; nothing where it can.
fn unusable(address: u32) -> Option<&'static str> {
    let address = shown(address);
    match address.octets()[0] {
        0 => Some("is in 0.0.0.0/8, which means \"this network\""),
        127 => Some("is a loopback address"),
        224..=239 => Some("is a multicast address"),
        240..=255 => Some("is in 240.0.0.0/4, which is reserved"),
        _ => None,
    }
}

/// Rules that were broken.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

#[derive(Debug)]
struct Fault {
    reason: &'static str,
    field: &'static str,
    text: String,
    other: Option<String>,
    /// Whether the request is wrong by itself, and not for what is there already.
    itself: bool,
}

impl Faults {
    fn say(&mut self, reason: &'static str, field: &'static str, text: String) {
        self.0.push(Fault { reason, field, text, other: None, itself: true });
    }

    fn beside(&mut self, reason: &'static str, field: &'static str, text: String, other: &IpRange) {
        self.0.push(Fault { reason, field, text, other: Some(other.uuid.clone()), itself: false });
    }

    /// The error that tells of all of them; nothing where none was broken.
    pub fn into_result(self) -> Result<()> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let kind =
            if self.0.iter().any(|fault| fault.itself) { Kind::InvalidArgument } else { Kind::FailedPrecondition };
        let texts: Vec<_> = self.0.iter().map(|fault| format!("{} {}", fault.field, fault.text)).collect();
        let mut reasons: Vec<_> = self.0.iter().map(|fault| fault.reason).collect();
        reasons.dedup();
        let mut others: Vec<_> = self.0.iter().filter_map(|fault| fault.other.as_deref()).collect();
        others.dedup();
        let mut error = Error::new(kind, first.reason, texts.join("; "));
        if reasons.len() > 1 {
            error = error.with("reasons", reasons.join(","));
        }
        if !others.is_empty() {
            error = error.with("ip_range_uuids", others.join(","));
        }
        for fault in self.0 {
            error = error.violation(format!("ip_range.{}", fault.field), fault.text);
        }
        Err(error)
    }
}

/// What is wrong with a range by itself.
pub(crate) fn check_alone(span: &Span, faults: &mut Faults) {
    let Span { start, end, gateway, prefix } = *span;
    for (field, address) in [("start_address", start), ("end_address", end), ("gateway", gateway)] {
        if let Some(why) = unusable(address) {
            faults.say("ADDRESS_NOT_USABLE", field, format!("{} {why}; choose another", shown(address)));
        }
    }
    let (network, broadcast) = (shown(span.network()), shown(span.broadcast()));
    if start > end {
        let text = format!("must not come before the start, {}, got {}", shown(start), shown(end));
        faults.say("RANGE_REVERSED", "end_address", text);
    }
    if !span.in_subnet(end) {
        let text = format!("must be in the start's subnet, {network}/{prefix}, got {}", shown(end));
        faults.say("RANGE_OUTSIDE_SUBNET", "end_address", text);
    }
    if !span.in_subnet(gateway) {
        let text = format!("must be in the range's subnet, {network}/{prefix}, got {}", shown(gateway));
        faults.say("GATEWAY_OUTSIDE_SUBNET", "gateway", text);
    } else if [span.network(), span.broadcast()].contains(&gateway) {
        let text = format!("must not be the subnet's first or last address, got {}", shown(gateway));
        faults.say("GATEWAY_NOT_USABLE", "gateway", text);
    }
    if span.contains(gateway) {
        let text = format!("{} must be outside the range, {} to {}", shown(gateway), shown(start), shown(end));
        faults.say("GATEWAY_IN_RANGE", "gateway", text);
    }
    if start <= end && span.in_subnet(end) {
        if span.contains(span.network()) {
            let text = format!("must come after {network}, the address of the subnet itself");
            faults.say("NETWORK_ADDRESS_IN_RANGE", "start_address", text);
        }
        if span.contains(span.broadcast()) {
            let text = format!("must come before {broadcast}, the subnet's broadcast address");
            faults.say("BROADCAST_ADDRESS_IN_RANGE", "end_address", text);
        }
    }
    if span.count() > i64::from(MOST) {
        let text = format!("must make a range of at most {MOST} addresses, makes one of {}", span.count());
        faults.say("RANGE_TOO_LARGE", "end_address", text);
    }
}

/// What is wrong with a range beside the others of its L2 network.
pub(crate) fn check_beside(span: &Span, l3_network: &str, others: &[IpRange], faults: &mut Faults) -> Result<()> {
    for other in others {
        let theirs = Span::of(other)?;
        let whose = format!("{} ({}, {} to {})", other.uuid, other.name, other.start_address, other.end_address);
        if span.overlaps(&theirs) {
            let text = format!("and the end must not overlap with range {whose} of the same L2 network");
            faults.beside("RANGE_OVERLAPS", "start_address", text, other);
        }
        if other.l3_network_uuid == l3_network {
            if (theirs.gateway, theirs.prefix) != (span.gateway, span.prefix) {
                let text = format!(
                    "and prefix_length must be those of the network's other ranges, {}/{} as in {whose}, got {}/{}",
                    other.gateway,
                    other.prefix_length,
                    shown(span.gateway),
                    span.prefix
                );
                faults.beside("GATEWAY_DIFFERS", "gateway", text, other);
            }
        } else if span.contains(theirs.gateway) {
            let text = format!("and the end must leave out {}, the gateway of range {whose}", other.gateway);
            faults.beside("GATEWAY_IN_RANGE", "start_address", text, other);
        }
        if theirs.contains(span.gateway) {
            let text = format!("{} must be outside range {whose} of the same L2 network", shown(span.gateway));
            faults.beside("GATEWAY_IN_RANGE", "gateway", text, other);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str, gateway: &str, prefix_length: i32) -> IpRange {
        IpRange {
            uuid: format!("{start}-{end}"),
            start_address: start.into(),
            end_address: end.into(),
            gateway: gateway.into(),
            prefix_length,
            l3_network_uuid: "this".into(),
            ..IpRange::default()
        }
    }

    fn reasons(range: &IpRange, others: &[IpRange]) -> Vec<&'static str> {
        let span = Span::of(range).unwrap();
        let mut faults = Faults::default();
        check_alone(&span, &mut faults);
        check_beside(&span, &range.l3_network_uuid, others, &mut faults).unwrap();
        faults.0.iter().map(|fault| fault.reason).collect()
    }

    #[test]
    fn every_rule_has_its_reason() {
        for (start, end, gateway, prefix, broken) in [
            ("10.0.0.2", "10.0.0.254", "10.0.0.1", 24, &[] as &[&str]),
            ("10.0.0.1", "10.0.0.253", "10.0.0.254", 24, &[]),
            ("10.0.0.9", "10.0.0.9", "10.0.0.10", 30, &[]),
            ("10.0.0.9", "10.0.0.2", "10.0.0.1", 24, &["RANGE_REVERSED"]),
            ("10.0.0.2", "10.0.1.9", "10.0.0.1", 24, &["RANGE_OUTSIDE_SUBNET"]),
            ("10.0.0.2", "10.0.0.9", "10.0.1.1", 24, &["GATEWAY_OUTSIDE_SUBNET"]),
            ("10.0.0.2", "10.0.0.9", "10.0.0.0", 24, &["GATEWAY_NOT_USABLE"]),
            ("10.0.0.2", "10.0.0.9", "10.0.0.255", 24, &["GATEWAY_NOT_USABLE"]),
            ("10.0.0.2", "10.0.0.9", "10.0.0.9", 24, &["GATEWAY_IN_RANGE"]),
            ("10.0.0.0", "10.0.0.9", "10.0.0.10", 24, &["NETWORK_ADDRESS_IN_RANGE"]),
            ("10.0.0.2", "10.0.0.255", "10.0.0.1", 24, &["BROADCAST_ADDRESS_IN_RANGE"]),
            ("10.0.0.2", "10.1.0.2", "10.0.0.1", 8, &["RANGE_TOO_LARGE"]),
            ("10.0.0.2", "10.1.0.1", "10.0.0.1", 8, &[]),
            ("127.0.0.2", "127.0.0.9", "127.0.0.1", 8, &["ADDRESS_NOT_USABLE"; 3]),
            ("224.0.0.2", "224.0.0.9", "224.0.0.1", 8, &["ADDRESS_NOT_USABLE"; 3]),
            ("0.0.0.2", "0.0.0.9", "0.0.0.1", 8, &["ADDRESS_NOT_USABLE"; 3]),
            ("255.255.255.2", "255.255.255.9", "255.255.255.1", 24, &["ADDRESS_NOT_USABLE"; 3]),
            ("10.0.0.9", "10.0.0.2", "10.0.1.1", 24, &["RANGE_REVERSED", "GATEWAY_OUTSIDE_SUBNET"]),
            (
                "10.0.0.0",
                "10.0.0.255",
                "10.0.0.7",
                24,
                &["GATEWAY_IN_RANGE", "NETWORK_ADDRESS_IN_RANGE", "BROADCAST_ADDRESS_IN_RANGE"],
            ),
        ] {
            assert_eq!(reasons(&range(start, end, gateway, prefix), &[]), broken, "{start} {end} {gateway}/{prefix}");
        }
    }

    #[test]
    fn ranges_of_one_wire_stand_beside_each_other() {
        let there = range("10.0.0.100", "10.0.0.199", "10.0.0.1", 24);
        let beside = |start: &str, end: &str, gateway: &str, prefix: i32| {
            reasons(&range(start, end, gateway, prefix), std::slice::from_ref(&there))
        };
        assert!(beside("10.0.0.2", "10.0.0.99", "10.0.0.1", 24).is_empty());
        assert!(beside("10.0.0.200", "10.0.0.254", "10.0.0.1", 24).is_empty());
        for (start, end) in [("10.0.0.2", "10.0.0.100"), ("10.0.0.199", "10.0.0.254"), ("10.0.0.120", "10.0.0.130")] {
            assert_eq!(beside(start, end, "10.0.0.1", 24), ["RANGE_OVERLAPS"], "{start} {end}");
        }
        assert_eq!(beside("10.0.0.2", "10.0.0.99", "10.0.0.254", 24), ["GATEWAY_DIFFERS"]);
        assert_eq!(beside("10.0.0.2", "10.0.0.99", "10.0.0.1", 25), ["GATEWAY_DIFFERS"]);
        let foreign = |start: &str, end: &str, gateway: &str| {
            let mine = IpRange { l3_network_uuid: "other".into(), ..range(start, end, gateway, 24) };
            reasons(&mine, std::slice::from_ref(&there))
        };
        assert!(foreign("10.0.0.2", "10.0.0.99", "10.0.0.254").is_empty());
        assert_eq!(foreign("10.0.0.1", "10.0.0.99", "10.0.0.254"), ["GATEWAY_IN_RANGE"]);
        assert_eq!(foreign("10.0.0.2", "10.0.0.99", "10.0.0.150"), ["GATEWAY_IN_RANGE"]);
    }

    #[test]
    fn all_broken_rules_are_told_at_once() {
        let there = range("10.0.0.2", "10.0.0.99", "10.0.0.1", 24);
        let span = Span::of(&range("10.0.0.50", "10.0.0.60", "10.0.0.55", 24)).unwrap();
        let mut faults = Faults::default();
        check_alone(&span, &mut faults);
        check_beside(&span, "this", &[there], &mut faults).unwrap();
        let error = faults.into_result().unwrap_err();
        assert_eq!((error.kind(), error.reason()), (Kind::InvalidArgument, "GATEWAY_IN_RANGE"));
        assert_eq!(error.metadata()["reasons"], "GATEWAY_IN_RANGE,RANGE_OVERLAPS,GATEWAY_DIFFERS,GATEWAY_IN_RANGE");
        assert_eq!(error.metadata()["ip_range_uuids"], "10.0.0.2-10.0.0.99");
        assert_eq!(error.violations().len(), 4);
        assert_eq!(error.violations()[0].field, "ip_range.gateway");
    }
}
