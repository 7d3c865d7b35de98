//! A request as a line for a shell, so that a receiver's owner can make it again at their own desk.

use std::fmt::Write as _;

/// The command that makes this request. Its signature was good for its own second alone: a receiver that checks it refuses
/// it by now.
pub(in crate::console) fn curl(url: &str, headers: &[(String, String)], body: &str) -> String {
    let mut line = format!("curl -X POST {}", quoted(url));
    for (name, value) in headers {
        let written = write!(line, " \\\n  -H {}", quoted(&format!("{name}: {value}")));
        written.expect("a text takes it all");
    }
    let written = write!(line, " \\\n  --data-binary {}", quoted(body));
    written.expect("a text takes it all");
    line
}

/// Within single quotes a shell reads nothing but the end of them.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_request_is_read_by_the_shell() {
        let headers = [("x-note".to_owned(), "$(id) `id`".to_owned())];
        let line = curl("https://a.example/?q='&b", &headers, r#"{"it":"it's"}"#);
        assert_eq!(
            line,
            "curl -X POST 'https://a.example/?q='\\''&b' \\\n  -H 'x-note: $(id) `id`' \\\n  \
             --data-binary '{\"it\":\"it'\\''s\"}'"
        );
    }
}
