//! A `CloudEvent` as one JSON document: its members, with the data as it stands there.
//!
//! Members are read one by one and not into a map: two of one name would be one of them by chance.

use std::fmt;

use bytes::Bytes;
use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::ATTRIBUTES_MAX;

/// Most members: the attributes with places of their own, the data, and the rest.
const MEMBERS_MAX: usize = ATTRIBUTES_MAX + 10;

/// What a document says.
pub(super) struct Document {
    /// Attributes with their canonical texts, or why they have none. Those that are null are not there.
    pub(super) attributes: Vec<(String, Result<String, &'static str>)>,
    /// The `data`, a part of the body.
    pub(super) data: Option<Bytes>,
    /// The text of `data_base64`.
    pub(super) data_base64: Option<String>,
}

impl Document {
    /// Reads a body.
    ///
    /// # Errors
    /// A sentence, when it is no JSON object, or has a member twice or too many.
    pub(super) fn read(body: &Bytes) -> Result<Self, String> {
        let text = std::str::from_utf8(body)
            .map_err(|fault| format!("it is not UTF-8 from byte {} on", fault.valid_up_to()))?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let members = reader.deserialize_map(Members).and_then(|members| {
            reader.end()?;
            Ok(members)
        });
        let members = members.map_err(|fault| format!("it is not a CloudEvent: {fault}"))?;
        let mut document = Self { attributes: Vec::new(), data: None, data_base64: None };
        for (name, value) in members {
            if value.get() == "null" && name != "data" {
                continue;
            }
            match name.as_str() {
                "data" => document.data = Some(body.slice_ref(value.get().as_bytes())),
                "data_base64" => {
                    let text = serde_json::from_str(value.get());
                    document.data_base64 =
                        Some(text.map_err(|_| "`data_base64`: a text is wanted".to_owned())?);
                }
                _ => document.attributes.push((name, canonical(value))),
            }
        }
        Ok(document)
    }
}

/// An attribute's text. Numbers are whole ones, as the specification's type system has no others.
fn canonical(value: &RawValue) -> Result<String, &'static str> {
    let text = value.get();
    let wrong = "a text, a whole number, true or false is wanted";
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map_err(|_| wrong),
        Some(b't' | b'f') => Ok(text.to_owned()),
        _ => serde_json::from_str::<i64>(text).map(|number| number.to_string()).map_err(|_| wrong),
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with its attributes and data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Self::Value = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if members.len() == MEMBERS_MAX {
                return Err(A::Error::custom(format!(
                    "at most {MEMBERS_MAX} members are accepted"
                )));
            }
            if members.iter().any(|(known, _)| *known == name) {
                let name: String = name.chars().take(64).collect();
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            members.push((name, value));
        }
        Ok(members)
    }
}
