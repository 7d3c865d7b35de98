//! What the form of a URL that an event names has to be, wherever the event comes from.
//!
//! Only its form: which addresses may be called is judged by the guard, when the request is to be made,
//! and also when the event is taken in over HTTP.

use url::Url;

use super::event::{Webhook, WebhookMode};
use super::url_form;

/// What is accepted, in words.
pub const A_URL: &str = "https:// or http://, a host without a user name before it, no fragment, and at \
                         most 2048 bytes in all without spaces, control characters and backslashes";

impl Webhook {
    /// What an event names: a URL and a mode, each empty where nothing is said.
    ///
    /// # Errors
    /// The one that is wrong.
    pub fn parse(url: &str, mode: &str) -> Result<Option<Self>, Fault> {
        let mode: Option<WebhookMode> = match mode {
            "" => None,
            text => Some(text.parse().map_err(|_| Fault::Mode)?),
        };
        if url.is_empty() {
            return if mode.is_some() { Err(Fault::ModeAlone) } else { Ok(None) };
        }
        let url = of_form(url).ok_or(Fault::Url)?;
        Ok(Some(Self { url, mode: mode.unwrap_or_default() }))
    }
}

/// What is wrong with what an event names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The URL is not [one](A_URL).
    Url,
    /// The mode is none.
    Mode,
    /// There is a mode, and no URL.
    ModeAlone,
}

/// The URL that a text is, if it has the form of one that can be called.
fn of_form(text: &str) -> Option<Url> {
    let url = url_form::read(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.fragment().is_none()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::url_form::URL_BYTES_MAX;

    #[test]
    fn a_url_and_its_mode_are_read_and_nothing_is_nothing() {
        let read = |url, mode| Webhook::parse(url, mode).expect("of the right form");
        assert_eq!(read("", ""), None);
        let own = read("https://Hook.Example./a?b=c", "").expect("one");
        assert_eq!(
            (own.url.as_str(), own.mode),
            ("https://hook.example/a?b=c", WebhookMode::Override)
        );
        assert_eq!(read("http://10.0.0.1:8080", "add").expect("one").mode, WebhookMode::Add);
    }

    #[test]
    fn what_cannot_be_called_is_refused() {
        for url in [
            "hook.example",
            "https:hook.example",
            "https:///hook.example",
            "ftp://hook.example/",
            "https://user@hook.example/",
            "https://@hook.example/",
            "https://hook.example/#a",
            "https://hook.example/a b",
            "https://hook.example\\a",
            " https://hook.example/",
            "https://",
            &format!("https://hook.example/{}", "x".repeat(URL_BYTES_MAX)),
        ] {
            assert_eq!(Webhook::parse(url, ""), Err(Fault::Url), "{url}");
        }
        assert_eq!(Webhook::parse("https://hook.example/", "both"), Err(Fault::Mode));
        assert_eq!(Webhook::parse("", "add"), Err(Fault::ModeAlone));
    }
}
