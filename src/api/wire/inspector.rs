//! The inspector: its address, and what has come to it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::time::Timestamp;
use crate::storage::inspector::Inspected;

/// A target for development.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct InspectorOut {
    /// Its address: of an endpoint, of an event, or for `curl`. Whoever knows it may send there.
    #[schema(example = "https://hooks.example.com/inspect/zKr2sJQp3f1dY5v8bN0aWcTqEuo")]
    pub(in super::super) url: String,
    /// What has come to it within a day, newest first: the last fifty.
    pub(in super::super) requests: Vec<InspectedRequestOut>,
}

/// A request that came to a target.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct InspectedRequestOut {
    /// Its id.
    #[schema(example = "insp_2hmaVFnWMoKKnFAZ8RqRaQbNsQx")]
    id: String,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// Its method.
    method: String,
    /// Its path behind the address, with its query.
    path: String,
    /// Its headers, by name in lower case; several of one name with commas between them, and credentials
    /// masked.
    headers: BTreeMap<String, String>,
    /// The first 64 KiB of its body: as text, or in base64 where it is none.
    body: String,
    /// Which of the two.
    body_encoding: BodyEncoding,
    /// Whether the body had more.
    truncated: bool,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(in super::super) enum BodyEncoding {
    /// As it is.
    #[serde(rename = "utf-8")]
    Text,
    /// In base64.
    #[serde(rename = "base64")]
    Base64,
}

impl From<Inspected> for InspectedRequestOut {
    fn from(request: Inspected) -> Self {
        let Inspected { id, received_at, method, path, headers, body, truncated } = request;
        let mut by_name = BTreeMap::<String, String>::new();
        for (name, value) in headers {
            let values = by_name.entry(name.to_ascii_lowercase()).or_default();
            if !values.is_empty() {
                values.push_str(", ");
            }
            values.push_str(&value);
        }
        let (body, body_encoding) = written(body, truncated);
        let (id, headers) = (id.to_string(), by_name);
        Self { id, received_at, method, path, headers, body, body_encoding, truncated }
    }
}

/// As text, if it is one: so written it is at most twice as long, which its control characters would not be.
fn written(mut body: Vec<u8>, truncated: bool) -> (String, BodyEncoding) {
    if let Err(error) = std::str::from_utf8(&body)
        && truncated
        && error.error_len().is_none()
    {
        body.truncate(error.valid_up_to()); // cut off within a character
    }
    let plain = |text: &str| !text.chars().any(|c| c.is_control() && !"\t\r\n".contains(c));
    match String::from_utf8(body) {
        Ok(text) if plain(&text) => (text, BodyEncoding::Text),
        Ok(text) => (STANDARD.encode(text), BodyEncoding::Base64),
        Err(error) => (STANDARD.encode(error.as_bytes()), BodyEncoding::Base64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_as_text_where_it_is_one() {
        let text = |body: &[u8], truncated| written(body.to_vec(), truncated);
        assert_eq!(text(b"{\n\"a\":1250.50}", false).0, "{\n\"a\":1250.50}");
        assert_eq!(text("é".as_bytes(), false), ("é".to_owned(), BodyEncoding::Text));
        assert_eq!(text(b"a\xc3", true), ("a".to_owned(), BodyEncoding::Text), "half a character");
        assert_eq!(text(b"a\xc3", false), ("YcM=".to_owned(), BodyEncoding::Base64));
        assert_eq!(text(b"\0", false), ("AA==".to_owned(), BodyEncoding::Base64));
    }
}
