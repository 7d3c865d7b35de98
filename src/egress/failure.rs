//! Says what an error of the HTTP client means, and tells it in words fit for a tenant.
//!
//! The client wraps errors several layers deep, and what happened is at the bottom: our own refusal,
//! an error of the socket, of TLS, of the protocol. So the chain is walked, by type and never by
//! text. What is told has no address and no URL in it: the one may be internal, the other secret.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use hyper_util::client::legacy;

use super::connect::Late;
use super::guard::Refusal;
use super::resolve::Unresolved;
use crate::domain::outcome::Outcome;

/// Longest text that is told, in characters: a certificate may name a hundred hosts.
const DETAIL_MAX: usize = 256;

/// What came of a request that has no answer.
pub(super) fn judge(error: &legacy::Error) -> (Outcome, String) {
    let found = Found::of(error);
    if let Some(unresolved) = found.unresolved {
        let outcome = match unresolved {
            Unresolved::NoAddress | Unresolved::Failed => Outcome::DnsFailed,
            Unresolved::Refused(..) => Outcome::TargetNotAllowed,
        };
        return (outcome, unresolved.to_string());
    }
    if let Some(tls) = found.tls {
        return (Outcome::TlsFailed, told(&tls_words(tls)));
    }
    if let Some(late) = found.late {
        return (Outcome::ConnectFailed, late.to_string());
    }
    if let Some(what) = found.io.and_then(ours) {
        return (Outcome::Internal, what.to_owned());
    }
    if error.is_connect() {
        let kind = found.io.map(io::Error::kind);
        if found.io_within_io {
            let why = kind.map_or_else(|| "broken off".to_owned(), |kind| kind.to_string());
            return (Outcome::TlsFailed, format!("the TLS handshake failed: {why}"));
        }
        let why = kind.map_or_else(|| "unknown reason".to_owned(), |kind| kind.to_string());
        return (Outcome::ConnectFailed, format!("no connection: {why}"));
    }
    match found.hyper {
        Some(error) if error.is_parse_too_large() => {
            (Outcome::ProtocolError, "the head of the answer is too large".to_owned())
        }
        Some(error) if error.is_parse() => {
            (Outcome::ProtocolError, "the answer is not HTTP".to_owned())
        }
        Some(error)
            if found.io.is_none()
                && !error.is_incomplete_message()
                && !error.is_closed()
                && !error.is_canceled()
                && !error.is_body_write_aborted() =>
        {
            (Outcome::ProtocolError, "the answer breaks the rules of HTTP".to_owned())
        }
        Some(_) | None => {
            (Outcome::ConnectionLost, "the connection ended before an answer came".to_owned())
        }
    }
}

/// What policy refused, and which address, if that is what happened.
pub(super) fn refused(error: &legacy::Error) -> Option<(Refusal, IpAddr)> {
    match Found::of(error).unresolved? {
        Unresolved::Refused(refusal, address) => Some((refusal, address)),
        Unresolved::NoAddress | Unresolved::Failed => None,
    }
}

/// What is short on our side, if that is what the socket complains of: no doing of the receiver's.
fn ours(error: &io::Error) -> Option<&'static str> {
    use rustix::io::Errno;
    match Errno::from_io_error(error)? {
        Errno::MFILE | Errno::NFILE => Some("we have no more files for a connection"),
        Errno::NOBUFS | Errno::NOMEM => Some("we have no more memory for a connection"),
        Errno::ADDRNOTAVAIL => Some("we have no more ports for a connection"),
        _ => None,
    }
}

/// What was met on the way down an error's chain; of each kind the first.
#[derive(Default)]
struct Found<'a> {
    unresolved: Option<Unresolved>,
    tls: Option<&'a rustls::Error>,
    late: Option<Late>,
    hyper: Option<&'a hyper::Error>,
    io: Option<&'a io::Error>,
    /// An error of the socket wrapped in another: how TLS hands on that the line broke.
    io_within_io: bool,
}

impl<'a> Found<'a> {
    fn of(error: &'a (dyn Error + 'static)) -> Self {
        let mut found = Self::default();
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(unresolved) = error.downcast_ref::<Unresolved>() {
                found.unresolved.get_or_insert(*unresolved);
            }
            if let Some(late) = error.downcast_ref::<Late>() {
                found.late.get_or_insert(*late);
            }
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                found.tls.get_or_insert(tls);
            }
            if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
                found.hyper.get_or_insert(hyper);
            }
            next = error.source();
            if let Some(io) = error.downcast_ref::<io::Error>() {
                found.io_within_io |= found.io.is_some();
                found.io = Some(io); // the innermost knows the kind
                // `source` of an I/O error skips what it wraps, and tells that one's source.
                next = io.get_ref().map(|inner| inner as &(dyn Error + 'static)).or(next);
            }
        }
        found
    }
}

fn tls_words(error: &rustls::Error) -> String {
    if let rustls::Error::InvalidMessage(_) = error {
        "what answers at this port does not speak TLS".to_owned()
    } else if let rustls::Error::InvalidCertificate(why) = error {
        format!("the certificate is not accepted: {why}")
    } else if let rustls::Error::AlertReceived(alert) = error {
        format!("TLS was refused by the receiver: {alert:?}")
    } else {
        format!("TLS failed: {error}")
    }
}

fn told(text: &str) -> String {
    text.chars().take(DETAIL_MAX).collect()
}
