//! Which addresses are public: the tables.
//!
//! From the IANA special-purpose registries, with what they leave out: the address that one cloud
//! serves its machines from in the middle of public space, and the ways to spell an IPv4 address in
//! IPv6, which are refused whatever they spell, since a public address has no need of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{EgressPolicy, Refusal};

/// The machine itself.
pub(super) const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// Checks an address that a name resolved to, or that a connection was made to.
///
/// # Errors
/// [`Refusal::Address`] with the word for what it is.
pub fn check_address(address: IpAddr, policy: &EgressPolicy) -> Result<(), Refusal> {
    let refused = match address {
        IpAddr::V4(address) => v4(address, policy).map(|(reason, _)| reason),
        IpAddr::V6(address) => v6(address, policy),
    };
    refused.map_or(Ok(()), |reason| Err(Refusal::Address(reason)))
}

/// Checks an IPv6 address that stands in a URL. There a translated address (NAT64) is refused even
/// when what it translates to is public: only a resolver (DNS64) has reason to make one.
pub(super) fn check_literal(address: Ipv6Addr, policy: &EgressPolicy) -> Result<(), Refusal> {
    check_address(address.into(), policy)?;
    if NAT64.contains(&address) { Err(Refusal::Address("nat64_literal")) } else { Ok(()) }
}

/// Every range that is refused by itself, and the word for what it is. Beside these, all of IPv6 that was not given out for
/// public use (`2000::/3`) is.
pub fn refused_ranges() -> Vec<(IpNet, &'static str)> {
    let v4 = V4.iter().map(|(net, (word, _))| (IpNet::V4(*net), *word));
    let v6 = V6.iter().chain(&SPELLINGS).map(|(net, word)| (IpNet::V6(*net), *word));
    v4.chain(v6).collect()
}

/// Where clouds hand out credentials: refused unless one is allowed alone.
pub fn metadata_addresses() -> Vec<IpAddr> {
    METADATA_V4.map(IpAddr::V4).into_iter().chain(METADATA_V6.map(IpAddr::V6)).collect()
}

/// The word for an address that is refused, and the word for it when it came through NAT64.
type Words = (&'static str, &'static str);

fn v4(address: Ipv4Addr, policy: &EgressPolicy) -> Option<Words> {
    match exception(address.into(), METADATA_V4.contains(&address), policy) {
        Some(Exception::Refused(reason)) => Some((reason, reason)),
        Some(Exception::Allowed) => None,
        None => V4.iter().find(|(net, _)| net.contains(&address)).map(|(_, words)| *words),
    }
}

fn v6(address: Ipv6Addr, policy: &EgressPolicy) -> Option<&'static str> {
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return v4(Ipv4Addr::new(a, b, c, d), policy).map(|(_, through_nat64)| through_nat64);
    }
    // Before what an operator allowed: no network that may be called is meant by such a spelling.
    if let Some((_, reason)) = SPELLINGS.iter().find(|(net, _)| net.contains(&address))
        && !address.is_loopback()
        && !address.is_unspecified()
    {
        return Some(reason);
    }
    match exception(address.into(), METADATA_V6.contains(&address), policy) {
        Some(Exception::Refused(reason)) => Some(reason),
        Some(Exception::Allowed) => None,
        None => V6
            .iter()
            .find(|(net, _)| net.contains(&address))
            .map(|(_, reason)| *reason)
            .or_else(|| (!GLOBAL_UNICAST.contains(&address)).then_some("outside_2000_3")),
    }
}

/// What the operator said of an address, over the tables.
enum Exception {
    Refused(&'static str),
    Allowed,
}

fn exception(address: IpAddr, is_metadata: bool, policy: &EgressPolicy) -> Option<Exception> {
    if policy.deny_cidrs.iter().any(|net| net.contains(&address)) {
        return Some(Exception::Refused("operator_denied"));
    }
    if policy.own_addresses.contains(&address) {
        return Some(Exception::Refused("self_target"));
    }
    let allows = |net: &IpNet| {
        net.contains(&address) && (!is_metadata || net.prefix_len() == net.max_prefix_len())
    };
    policy.allow_cidrs.iter().any(allows).then_some(Exception::Allowed)
}

/// Where clouds hand out credentials to their machines. An operator who allows 169.254.0.0/16 for
/// something else does not mean these.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254), // AWS, Google, Azure, Oracle, DigitalOcean
    Ipv4Addr::new(169, 254, 170, 2),   // AWS ECS
    Ipv4Addr::new(169, 254, 170, 23),  // AWS EKS
    Ipv4Addr::new(168, 63, 129, 16),   // Azure WireServer
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle
];

const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // AWS EKS
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google
];

/// RFC 6052: the last 32 bits are an IPv4 address.
const NAT64: Ipv6Net = net6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
/// RFC 4291 §2.4: all that is given out for public use.
const GLOBAL_UNICAST: Ipv6Net = net6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// IPv4 addresses that are not public. The first row that matches counts.
const V4: [(Ipv4Net, Words); 16] = [
    // RFC 1122; on Linux 0.0.0.0 reaches the machine itself.
    (net4([0, 0, 0, 0], 8), ("this_network", "nat64_this_network")),
    (net4([10, 0, 0, 0], 8), ("private", "nat64_private")), // RFC 1918
    (net4([172, 16, 0, 0], 12), ("private", "nat64_private")),
    (net4([192, 168, 0, 0], 16), ("private", "nat64_private")),
    (net4([100, 64, 0, 0], 10), ("cgnat", "nat64_cgnat")), // RFC 6598
    (net4([127, 0, 0, 0], 8), ("loopback", "nat64_loopback")), // RFC 1122
    (net4([169, 254, 0, 0], 16), ("link_local", "nat64_link_local")), // RFC 3927
    (net4([192, 0, 0, 0], 24), ("ietf_protocol", "nat64_ietf_protocol")), // RFC 6890
    (net4([192, 0, 2, 0], 24), ("documentation", "nat64_documentation")), // RFC 5737
    (net4([198, 51, 100, 0], 24), ("documentation", "nat64_documentation")),
    (net4([203, 0, 113, 0], 24), ("documentation", "nat64_documentation")),
    (net4([192, 88, 99, 0], 24), ("6to4_relay", "nat64_6to4_relay")), // RFC 7526
    (net4([198, 18, 0, 0], 15), ("benchmark", "nat64_benchmark")),    // RFC 2544
    (net4([224, 0, 0, 0], 4), ("multicast", "nat64_multicast")),      // RFC 5771
    (net4([240, 0, 0, 0], 4), ("reserved", "nat64_reserved")),        // RFC 1112, and broadcast
    // In public space and on no registry: what Azure serves its machines from.
    (net4([168, 63, 129, 16], 32), ("cloud_platform", "nat64_cloud_platform")),
];

/// Other ways to write an IPv4 address, and to reach one through a tunnel.
const SPELLINGS: [(Ipv6Net, &str); 7] = [
    (net6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), "v4_mapped"), // RFC 4291
    (net6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), "v4_translated"), // RFC 7915
    (net6([0, 0, 0, 0, 0, 0x5efe, 0, 0], 96), "isatap"),    // RFC 5214
    (net6([0, 0, 0, 0, 0, 0, 0, 0], 96), "v4_compatible"),  // RFC 4291
    (net6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 32), "nat64_local"), // RFC 8215, without NAT64 above
    (net6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "teredo"),    // RFC 4380
    (net6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4"),      // RFC 3056
];

/// IPv6 addresses that are not public, for their name's sake or although they are in `2000::/3`.
/// The first row that matches counts.
const V6: [(Ipv6Net, &str); 10] = [
    (net6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified"),
    (net6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (net6([0, 0, 0, 0, 0, 0, 0, 0], 8), "reserved_block"), // RFC 4291
    (net6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "ietf_protocol"), // RFC 2928: ORCHID, benchmarks, …
    (net6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation"), // RFC 3849
    (net6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"), // RFC 9637
    (net6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "unique_local"), // RFC 4193
    (net6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link_local"), // RFC 4291
    (net6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site_local"), // RFC 3879
    (net6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"), // RFC 4291
];

const fn net4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn net6(s: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix)
}
