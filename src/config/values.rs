//! The settings' values that need a type of their own, and how each kind is read from text.
//!
//! A parser's error says what is wrong with the text; what is accepted stands in the list of
//! settings and is added by the caller. Nothing here repeats a text that may hold a password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// A broker's URL. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl(Url);

impl BrokerUrl {
    /// The whole URL, password and all: for the client that connects.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.password().is_none() {
            return self.0.fmt(f);
        }
        let mut shown = self.0.clone();
        shown.set_password(Some("***")).expect("a URL that has a password can have another");
        shown.fmt(f)
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("one is not a URL: {error}"))?;
        if !matches!(url.scheme(), "amqp" | "amqps") {
            return Err(format!("one has the scheme `{}`", url.scheme()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("one names no host".into());
        }
        Ok(Self(url))
    }
}

/// A database's URL. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Url);

impl DatabaseUrl {
    /// The whole URL, password and all: for the client that connects.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.password().is_some() {
            shown.set_password(Some("***")).expect("a URL that has a password can have another");
        }
        // A password may be among the parameters as well.
        let named = shown.query_pairs().any(|(name, _)| name == "password");
        if named {
            let rest: Vec<_> =
                self.0.query_pairs().filter(|(name, _)| name != "password").collect();
            shown.query_pairs_mut().clear().extend_pairs(rest).append_pair("password", "***");
        }
        shown.fmt(f)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("it is not a URL: {error}"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(format!("it has the scheme `{}`", url.scheme()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("it names no host".into());
        }
        if url.path().trim_start_matches('/').is_empty() {
            return Err("it names no database".into());
        }
        Ok(Self(url))
    }
}

/// A colour, as `#1d4f8f`: red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([red, green, blue]) = self;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl FromStr for Colour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let number = number.ok_or_else(|| format!("`{text}` is no colour"))?;
        let [_, red, green, blue] = number.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

/// Where a key that seals secrets is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySource {
    /// Written beside what the key sealed, so that it is found again.
    pub id: u32,
    /// Where its bytes are.
    pub place: KeyPlace,
}

/// Where a key's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file.
    File(PathBuf),
    /// In an environment variable.
    Environment(String),
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Environment(name) => write!(f, "env:{name}"),
        }
    }
}

impl FromStr for KeyPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Never repeat the text: somebody may have put the key itself here.
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.into())),
            Some(("file" | "env", _)) => Err("its place is empty".into()),
            Some(_) | None => Err("it is neither in a `file` nor in `env`".into()),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.place)
    }
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Never repeat the text: somebody may have put the key itself here.
        let Some((id, place)) = text.split_once(':').filter(|(_, place)| place.contains(':'))
        else {
            return Err("one has not the three parts id, `file` or `env`, and place".into());
        };
        let Ok(id) = id.parse::<u32>() else {
            return Err("one has an id that is not a number".into());
        };
        let place = place.parse().map_err(|what| format!("of key `{id}`, {what}"))?;
        Ok(Self { id, place })
    }
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// JSON lines.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is not a format")),
        }
    }
}

/// A number within `range`.
pub(super) fn number<T>(text: &str, range: &std::ops::RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd,
{
    let number = text.parse().map_err(|_| format!("`{text}` is not a whole number in range"))?;
    if range.contains(&number) { Ok(number) } else { Err(format!("{text} is out of range")) }
}

/// `true` or `false`.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is neither"))
}

/// A text that is not empty.
pub(super) fn some_text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is empty".into()) } else { Ok(text.into()) }
}

/// What names of exchanges and queues can begin with.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let dotted = text.split('.').all(|part| is_name(part, 64));
    if dotted && text.len() <= 64 && !text.starts_with("amq.") {
        Ok(text.into())
    } else {
        Err(format!("`{text}` is not a prefix"))
    }
}

/// A value for `user-agent`.
pub(super) fn user_agent(text: &str) -> Result<String, String> {
    let printable = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if printable && (1..=256).contains(&text.len()) && text.trim() == text {
        Ok(text.into())
    } else {
        Err("it is empty, too long, or has characters that a header cannot carry".into())
    }
}

/// Directives that `tracing_subscriber` understands.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) if !text.trim().is_empty() => Ok(text.into()),
        Ok(_) => Err("it is empty".into()),
        Err(error) => Err(format!("`{text}`: {error}")),
    }
}

fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
