//! What a form or an address says: names with values, some of them more than once.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use url::form_urlencoded;

use super::refusal::Refusal;

/// Names with values, in the order of the form. Values are as they were typed; spaces around them are not meant.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads the bytes of a form, or the part of an address behind its question mark.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(bytes);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.trim().to_owned())).collect())
    }

    /// These.
    pub(super) const fn of(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The value of this field, if it is there and not empty.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of this field that are not empty.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The same without these fields.
    pub(super) fn without(&self, names: &[&str]) -> Self {
        let others = self.0.iter().filter(|(known, _)| !names.contains(&known.as_str()));
        Self(others.cloned().collect())
    }

    /// Whether anything is said in one of these fields.
    pub(super) fn says(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.one(name).is_some())
    }

    /// The same as text behind a question mark, with this field set instead; without it when it is empty.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        let others = self.0.iter().filter(|(known, value)| known != name && !value.is_empty());
        text.extend_pairs(others);
        if !value.is_empty() {
            text.append_pair(name, value);
        }
        text.finish()
    }
}

/// What the address says.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(pub(super) Fields);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Fields::read(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// What a form says: read and found to be of this session by [`shield`](super::shield).
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(pub(super) Fields);

impl<S: Send + Sync> FromRequestParts<S> for Sent {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        // Without a form nothing was found to be of this session.
        parts.extensions.remove::<Self>().ok_or(Refusal::NotFromHere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_once_or_more_and_written_again() {
        let fields = Fields::read(b"type=job.a&type=job.b&q=+two+words+&empty=");
        assert_eq!(fields.one("q"), Some("two words"));
        assert_eq!(fields.one("empty"), None);
        assert_eq!(fields.all("type").collect::<Vec<_>>(), ["job.a", "job.b"]);
        assert_eq!(fields.with("after", "x y"), "type=job.a&type=job.b&q=two+words&after=x+y");
        assert_eq!(fields.with("type", ""), "q=two+words");
        assert_eq!(fields.without(&["q", "empty"]).with("type", ""), "");
        assert!(fields.says(&["empty", "q"]) && !fields.says(&["empty", "other"]));
    }
}
