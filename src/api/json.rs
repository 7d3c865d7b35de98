//! Bodies as what they should be, and what is wrong with them in the form that client libraries read.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use super::body::Body;
use super::problem::{Fault, FaultKind, Problem};
use super::routes::Api;

/// A body that was read. Unknown fields are passed over, because client libraries send those of other
/// servers too, unless the body's form is ours alone: its type says so then. No body at all is an empty object.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let body = Body::small(request, api).await?;
        let bytes: &[u8] = if body.bytes.is_empty() { b"{}" } else { &body.bytes };
        read(bytes).map(Self).map_err(|fault| Problem::Faults(vec![fault]))
    }
}

/// Reads it.
///
/// # Errors
/// The first fault, with its place.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    // A list would be read as the fields of a thing in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(fault_of_the_whole("an object is wanted, and this is a list".into()));
    }
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut from)
        .map_err(|error| fault(error.path(), error.inner().to_string()))?;
    from.end().map_err(|error| fault_of_the_whole(error.to_string()))?;
    Ok(read)
}

fn fault(path: &Path, msg: String) -> Fault {
    let mut loc = vec!["body".to_owned()];
    loc.extend(path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(format!("[{index}]")),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }));
    // The library says of a field that is not there where it should be only in its sentence.
    let missing = msg.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    if let Some(name) = missing {
        loc.push(name.to_owned());
        return Fault { loc, msg: "field required".into(), kind: FaultKind::Form };
    }
    Fault { loc, msg, kind: FaultKind::Form }
}

fn fault_of_the_whole(msg: String) -> Fault {
    Fault { loc: vec!["body".into()], msg, kind: FaultKind::Form }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Thing {
        #[serde(rename = "name")]
        _name: String,
        #[serde(default, rename = "eventTypes")]
        _event_types: Vec<String>,
    }

    #[test]
    fn a_fault_is_told_with_its_place() {
        for (body, expected) in [
            ("{", "body"),
            ("7", "body"),
            (r#"["a",[]]"#, "body"),
            (r#"{"name":"a"} 7"#, "body"),
            ("{}", "body.name"),
            (r#"{"name":7}"#, "body.name"),
            (r#"{"name":"a","eventTypes":["x",7]}"#, "body.eventTypes.[1]"),
        ] {
            let fault = read::<Thing>(body.as_bytes()).expect_err("a fault");
            assert_eq!(fault.loc.join("."), expected, "{body}");
        }
        assert!(read::<Thing>(br#"{"name":"a","unknown":{"x":1}}"#).is_ok());
    }

    #[test]
    fn what_is_nested_without_end_is_refused() {
        let deep = format!(r#"{{"name":"a","x":{}1{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
        assert!(read::<serde_json::Value>(deep.as_bytes()).is_err());
    }
}
