//! A JSON document as an argument: in a file, on standard input, or written out. What is wrong with it is
//! told with the document's name and the field's.

use std::io::Read as _;

use serde::de::DeserializeOwned;

use super::exit::Usage;

/// Most bytes that are read: as much as a body of the API that is no message may have.
const BYTES_MAX: u64 = 256 * 1_024;

/// A document, and what it is called by in messages.
#[derive(Debug)]
pub(super) struct Document {
    /// `preset.json`, `standard input`, or the flag that has it written out.
    pub(super) name: String,
    text: String,
}

impl Document {
    /// The document that an argument means: `-` is standard input, what begins with a brace is the document
    /// itself, and anything else is a file. `flag` names it where it has no other name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn of(argument: &str, flag: &str) -> Result<Self, Usage> {
        if argument.trim_start().starts_with('{') {
            return Ok(Self { name: flag.to_owned(), text: argument.to_owned() });
        }
        let read = |source: &mut dyn std::io::Read| {
            let mut text = String::new();
            source.take(BYTES_MAX + 1).read_to_string(&mut text).map(|_| text)
        };
        let (name, text) = match argument {
            "-" => ("standard input", read(&mut std::io::stdin().lock())),
            path => (path, std::fs::File::open(path).and_then(|mut file| read(&mut file))),
        };
        let text = text.map_err(|error| Usage(format!("{name} cannot be read: {error}")))?;
        if text.len() as u64 > BYTES_MAX {
            return Err(Usage(format!("{name} has more than {BYTES_MAX} bytes")));
        }
        Ok(Self { name: name.to_owned(), text })
    }

    /// What it says.
    ///
    /// # Errors
    /// Names the document, the field, what is wrong and what is accepted.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Usage> {
        let mut from = serde_json::Deserializer::from_str(&self.text);
        let read = serde_path_to_error::deserialize(&mut from).map_err(|error| {
            let (path, what) = (error.path().to_string(), error.inner());
            match path.as_str() {
                "." => Usage(format!("{}: {what}", self.name)),
                path => Usage(format!("{}: {path}: {what}", self.name)),
            }
        })?;
        from.end().map_err(|error| Usage(format!("{}: {error}", self.name)))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::policies::PolicyEdit;

    #[test]
    fn a_mistake_is_told_with_the_document_and_the_field() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy.json");
        std::fs::write(&path, r#"{"retry":{"kind":"never"}}"#).expect("writable");
        let path = path.to_str().expect("text");
        let told = |argument: &str| {
            let document = Document::of(argument, "--policy").expect("readable");
            document.read::<PolicyEdit>().expect_err("a mistake").to_string()
        };
        let said = told(path);
        assert!(said.starts_with(&format!("{path}: retry")) && said.contains("never"), "{said}");
        let said = told(r#"{"timeout":1}"#);
        assert!(said.starts_with("--policy: timeout: ") && said.contains("timeoutMs"), "{said}");
        assert!(told("{").starts_with("--policy: "));
        let gone = Document::of("/nowhere/policy.json", "--policy").expect_err("not there");
        assert!(gone.to_string().starts_with("/nowhere/policy.json cannot be read: "), "{gone}");
    }
}
