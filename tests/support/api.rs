//! A client of the HTTP API that writes its requests byte for byte: a library would mend what a test
//! wants to be odd.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::router::{Posthaste, Running};
use super::within;

/// A client with a token.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    /// Where the API is.
    pub(crate) address: String,
    /// Its token; empty for none.
    pub(crate) token: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The head.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

impl Answer {
    /// The body, read.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(named, _)| named.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Api {
    /// The API of this router, with a token of its organisation.
    pub(crate) fn of(posthaste: &Posthaste, router: &Running) -> Self {
        let made = posthaste.json(&["token", "create"]);
        let token = made["token"].as_str().expect("a token").to_owned();
        Self { address: router.api.clone(), token }
    }

    /// The same API for another caller, or nobody.
    pub(crate) fn with_token(&self, token: Option<String>) -> Self {
        Self { address: self.address.clone(), token: token.unwrap_or_default() }
    }

    /// Posts JSON.
    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, &[], body.to_string().as_bytes()).await
    }

    /// Posts these bytes.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send("POST", path, headers, body).await
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut lines = vec![
            format!("{method} {path} HTTP/1.1"),
            "host: api".into(),
            "connection: close".into(),
        ];
        if !self.token.is_empty() {
            lines.push(format!("authorization: Bearer {}", self.token));
        }
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            lines.push(format!("content-length: {}", body.len()));
        }
        lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
        let head = lines.join("\r\n");
        let exchange = async {
            let stream = TcpStream::connect(&self.address).await.expect("the API listens");
            let (mut from, mut to) = stream.into_split();
            let request = [head.as_bytes(), b"\r\n\r\n", body].concat();
            // A body that is refused unread may not be taken whole.
            let writing = async { drop(to.write_all(&request).await) };
            let mut bytes = Vec::new();
            let reading = from.read_to_end(&mut bytes);
            let ((), read) = tokio::join!(writing, reading);
            assert!(read.is_ok() || !bytes.is_empty(), "{read:?}");
            String::from_utf8(bytes).expect("text")
        };
        let text = within("the API answers", exchange).await;
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}
