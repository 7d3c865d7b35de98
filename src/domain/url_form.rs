//! The form that a URL to be called has to have, read in one place: whoever names it, and wherever it is read.
//!
//! Only its form: which hosts, addresses and ports may be called is the guard's to say (`egress`).

use url::{Host, Url};

/// Longest URL that is accepted, in bytes, as it is written and as it is called.
pub const URL_BYTES_MAX: usize = 2_048;

/// What is wrong with the form of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadForm {
    /// Longer than [`URL_BYTES_MAX`].
    TooLong,
    /// Parsers disagree about URLs with such a character in them, and take different hosts from them.
    BadCharacter,
    /// Not a URL at all.
    InvalidUrl,
    /// `https:host` or `https:///host`.
    NotAbsolute,
    /// Something and an `@` before the host.
    Userinfo,
    /// The host is not a name that DNS could know.
    InvalidName,
}

/// Reads a URL once and for all: what comes back is what is stored and called, and the text it came from is
/// never read again.
///
/// The host is in its canonical form (lower case, A-labels, dotted quad, no trailing dot).
///
/// # Errors
/// The first rule that it breaks.
pub fn read(raw: &str) -> Result<Url, BadForm> {
    if raw.len() > URL_BYTES_MAX {
        return Err(BadForm::TooLong);
    }
    // The `url` crate, as browsers do, deletes tabs and line ends and reads `\` as `/`.
    if raw
        .chars()
        .any(|c| matches!(c, '\0'..=' ' | '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\\'))
    {
        return Err(BadForm::BadCharacter);
    }
    let mut url = Url::parse(raw).map_err(|_| BadForm::InvalidUrl)?;
    // Letters of other alphabets are longer in what is called than in what was written.
    if url.as_str().len() > URL_BYTES_MAX {
        return Err(BadForm::TooLong);
    }
    if matches!(url.scheme(), "http" | "https") {
        // It also reads `https:host` and `https:///host`, which others take for paths.
        let rest = &raw[url.scheme().len()..];
        let Some(rest) = rest.strip_prefix("://").filter(|rest| !rest.starts_with('/')) else {
            return Err(BadForm::NotAbsolute);
        };
        // And forgets an empty user name.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        if authority.contains('@') {
            return Err(BadForm::Userinfo);
        }
    }
    if let Some(Host::Domain(name)) = url.host()
        && let Some(bare) = name.strip_suffix('.')
    {
        let bare = bare.to_owned();
        url.set_host(Some(&bare)).map_err(|_| BadForm::InvalidName)?;
    }
    Ok(url)
}
