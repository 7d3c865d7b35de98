//! Decides which URLs may be called, and which addresses: the guard against a tenant who aims us
//! at our own network.
//!
//! Pure: a policy and a question, an answer and nothing done. It is asked when a URL is accepted
//! ([`check_url`]), before each request ([`check_scheme`], by its endpoint's own policy, and
//! [`check_target`]: literal addresses never meet a resolver), for each address that a name resolved to ([`check_address`], by the resolver in
//! `resolve`, in the moment of connecting, so that a name cannot change its mind in between), and for
//! the peer of each connection ([`check_peer`]).
//!
//! What is not known to be public is refused: for IPv6 only `2000::/3` is. Library notions of a
//! "global" address are not used, for they differ, and let tunnels and translations through.

mod address;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::{Host, Url};

pub use address::{check_address, metadata_addresses, refused_ranges};

use crate::domain::url_form::{self, BadForm};

/// What may be called. The default is the public internet, over https.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Whether plain `http` is accepted too.
    pub allow_http: bool,
    /// Whether names that mean something only here are looked up: single labels and special-use
    /// names (`localhost`, `*.internal`, …), in the hosts file too. What they resolve to is checked
    /// as for any other name.
    pub allow_local_names: bool,
    /// Networks that may be called although they are not public. The metadata services of clouds
    /// stay refused unless named alone, as /32 or /128.
    pub allow_cidrs: Vec<IpNet>,
    /// Networks that may not be called although they are public. Stronger than `allow_cidrs`.
    pub deny_cidrs: Vec<IpNet>,
    /// Addresses that we are reached at ourselves: calling them would be a loop.
    pub own_addresses: Vec<IpAddr>,
    /// Where we listen. Refused even where the address is allowed, by whatever address of this
    /// machine: our metrics are not for tenants.
    pub own_sockets: Vec<SocketAddr>,
}

impl EgressPolicy {
    /// For a developer's machine: receivers on the machine itself, over plain `http`, by any name.
    pub fn development() -> Self {
        Self {
            allow_http: true,
            allow_local_names: true,
            allow_cidrs: address::LOOPBACK.to_vec(),
            ..Self::default()
        }
    }
}

/// Why something may not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than [`URL_BYTES_MAX`](crate::domain::url_form::URL_BYTES_MAX).
    #[error("the URL is longer than 2048 bytes")]
    TooLong,
    /// Parsers disagree about URLs with such a character in them, and take different hosts from them.
    #[error("the URL has a space, a control character or a backslash in it: percent-encode it")]
    BadCharacter,
    /// `https:host` or `https:///host`.
    #[error("the URL is not absolute: `https://` and a host are wanted")]
    NotAbsolute,
    /// Not a URL at all.
    #[error("the URL cannot be read: `https://host/path` is wanted")]
    InvalidUrl,
    /// The host is not a name that DNS could know.
    #[error("the host of the URL is not a name: labels of 1 to 63 of a-z, 0-9, - and _ are wanted")]
    InvalidName,
    /// Another scheme than policy accepts.
    #[error(
        "the scheme of the URL is not accepted: use https (http needs egress.allow_http, or --dev)"
    )]
    Scheme,
    /// Plain http, which its endpoint's own policy does not want.
    #[error(
        "the URL is http, and the endpoint's policy has allowHttp false: an https URL is wanted, or \
         allowHttp true"
    )]
    PlainHttp,
    /// A user name or password.
    #[error(
        "the URL has a user name or an @ before its host: send credentials in a header instead"
    )]
    Userinfo,
    /// A fragment, which is never sent.
    #[error("the URL has a fragment (#…), which is never sent: leave it out")]
    Fragment,
    /// A name without a dot.
    #[error("the host of the URL is a local name: a full domain name is wanted")]
    SingleLabel,
    /// A name that is reserved for local use.
    #[error("the host of the URL is a name for special use: a public domain name is wanted")]
    SpecialUseName,
    /// A port of services that are not webhooks.
    #[error(
        "port {0} of the URL is not accepted: 443, or 1024 and above without well-known services"
    )]
    Port(u16),
    /// An address that is not public, in one word.
    #[error("the address may not be called ({0}): only public addresses are accepted")]
    Address(&'static str),
}

impl From<BadForm> for Refusal {
    fn from(fault: BadForm) -> Self {
        match fault {
            BadForm::TooLong => Self::TooLong,
            BadForm::BadCharacter => Self::BadCharacter,
            BadForm::InvalidUrl => Self::InvalidUrl,
            BadForm::NotAbsolute => Self::NotAbsolute,
            BadForm::Userinfo => Self::Userinfo,
            BadForm::InvalidName => Self::InvalidName,
        }
    }
}

impl Refusal {
    /// One word for it: a log field, and what the console groups by.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::BadCharacter => "bad_character",
            Self::NotAbsolute => "not_absolute",
            Self::InvalidUrl => "invalid_url",
            Self::InvalidName => "invalid_name",
            Self::Scheme | Self::PlainHttp => "scheme",
            Self::Userinfo => "userinfo",
            Self::Fragment => "fragment",
            Self::SingleLabel => "single_label",
            Self::SpecialUseName => "special_use_name",
            Self::Port(_) => "port",
            Self::Address(reason) => reason,
        }
    }
}

/// Parses a URL that someone wants to be called at, once and for all: what comes back is what is
/// stored and called, and the text it came from is never parsed again.
///
/// The host is in its canonical form (lower case, A-labels, dotted quad, no trailing dot).
///
/// # Errors
/// The first rule that it breaks.
pub fn check_url(raw: &str, policy: &EgressPolicy) -> Result<Url, Refusal> {
    let url = url_form::read(raw)?;
    check_target(&url, policy)?;
    Ok(url)
}

/// Checks a URL that was parsed before, against the policy of now: scheme, port, and the host if it
/// is an address. Costs no allocation: it is asked before each request.
///
/// # Errors
/// The first rule that it breaks.
pub fn check_target(url: &Url, policy: &EgressPolicy) -> Result<(), Refusal> {
    let plain = match url.scheme() {
        "https" => false,
        "http" if policy.allow_http => true,
        _ => return Err(Refusal::Scheme),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::Userinfo);
    }
    if url.fragment().is_some() {
        return Err(Refusal::Fragment);
    }
    let literal: Option<IpAddr> = match url.host() {
        None => return Err(Refusal::InvalidUrl),
        Some(Host::Ipv4(address)) => {
            check_address(address.into(), policy)?;
            Some(address.into())
        }
        Some(Host::Ipv6(address)) => {
            address::check_literal(address, policy)?;
            Some(address.into())
        }
        Some(Host::Domain(name)) => {
            check_name(name, policy)?;
            None
        }
    };
    let port = url.port_or_known_default();
    if let (Some(address), Some(port)) = (literal, port) {
        // What our own address will be is not known yet: loopback always is one.
        let ours = if address.is_loopback() { address } else { UNKNOWN };
        check_own_socket(SocketAddr::new(address, port), ours, policy)?;
    }
    match port {
        Some(80) if plain => Ok(()),
        Some(443) => Ok(()),
        Some(port @ 1024..) if REFUSED_PORTS.binary_search(&port).is_err() => Ok(()),
        port => Err(Refusal::Port(port.unwrap_or(0))),
    }
}

/// Checks a URL against the word of its endpoint's own policy, beside the operator's: both have to allow
/// plain http.
///
/// # Errors
/// [`Refusal::PlainHttp`].
pub fn check_scheme(url: &Url, allow_http: bool) -> Result<(), Refusal> {
    if url.scheme() == "http" && !allow_http { Err(Refusal::PlainHttp) } else { Ok(()) }
}

/// No address of ours.
const UNKNOWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// Checks whom a connection was made to, before anything is written to it. `local` is our end's
/// address: where both are the same it is this machine that was called.
///
/// # Errors
/// [`Refusal::Address`] with the word for what it is.
pub fn check_peer(peer: SocketAddr, local: IpAddr, policy: &EgressPolicy) -> Result<(), Refusal> {
    check_address(peer.ip(), policy)?;
    check_own_socket(peer, local, policy)
}

fn check_own_socket(peer: SocketAddr, local: IpAddr, policy: &EgressPolicy) -> Result<(), Refusal> {
    let listens = |own: &SocketAddr| {
        own.port() == peer.port()
            && (own.ip() == peer.ip() || (own.ip().is_unspecified() && local == peer.ip()))
    };
    if policy.own_sockets.iter().any(listens) {
        return Err(Refusal::Address("self_target"));
    }
    Ok(())
}

fn check_name(name: &str, policy: &EgressPolicy) -> Result<(), Refusal> {
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
            })
    };
    if name.len() > 253 || !name.split('.').all(label_fits) {
        return Err(Refusal::InvalidName);
    }
    if policy.allow_local_names {
        return Ok(());
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if SPECIAL_USE.contains(&last) {
        return Err(Refusal::SpecialUseName);
    }
    if last.len() == name.len() {
        return Err(Refusal::SingleLabel);
    }
    Ok(())
}

/// Last labels of names that are not for the public internet: the special-use registry (RFC 6761
/// and after; `home.arpa` is among `arpa`), and what networks, clouds and clusters made their own
/// (`cluster.local` is among `local`).
const SPECIAL_USE: [&str; 10] = [
    "alt",
    "arpa",
    "internal",
    "invalid",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "svc",
    "test",
];

/// Last labels of names that are not looked up, unless policy says so.
pub fn special_names() -> &'static [&'static str] {
    &SPECIAL_USE
}

/// Ports from 1024 up that are never called, in ascending order.
pub fn refused_ports() -> &'static [u16] {
    &REFUSED_PORTS
}

/// Ports from 1024 up that no webhook receiver has: those that browsers refuse (WHATWG Fetch, "bad
/// port"), and those of container engines, stores, brokers and clusters. Never lifted: it is in the
/// networks that an operator allows that such services are. In ascending order.
const REFUSED_PORTS: [u16; 44] = [
    1719, 1720, 1723, 2049, 2375, 2376, 2379, 2380, 3306, 3659, 4045, 4190, 4369, 5060, 5061, 5432,
    5671, 5672, 6000, 6379, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 8300, 8500, 9200,
    9300, 10080, 10250, 10255, 11211, 15671, 15672, 25672, 27017, 27018, 27019, 28017,
];
