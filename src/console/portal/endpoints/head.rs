//! What stands above each page of an endpoint: its name, its URL, how it stands, what can be done, and its other pages.

use url::Url;

use crate::console::parts::{Badge, Circuit, Tone};
use crate::console::portal::names::name;
use crate::console::site::Site;
use crate::console::text::Text;
use crate::domain::endpoint::{DisabledBecause, Endpoint, EndpointState};

/// What stands above the page.
#[expect(clippy::struct_excessive_bools, reason = "a template asks about each by itself")]
pub(super) struct Head {
    /// Its id.
    pub(super) id: String,
    /// Its address here.
    pub(super) here: String,
    /// What it is called.
    pub(super) name: Text,
    /// Its URL: before the host, the host, behind it.
    pub(super) url: (Text, Text, Text),
    /// The URL is shown whole, and can be copied.
    pub(super) url_exact: bool,
    /// How it stands.
    pub(super) badge: Badge,
    /// Why it is disabled, in a sentence.
    pub(super) because: Option<&'static str>,
    /// It does nothing but fail, and is left alone for now.
    pub(super) circuit: Option<Circuit>,
    /// It is called.
    pub(super) active: bool,
    /// It is not called for now.
    pub(super) paused: bool,
    /// It is owed nothing new.
    pub(super) disabled: bool,
    /// Its pages: what stands behind its address, the word, whether this is it.
    pub(super) tabs: [(&'static str, &'static str, bool); 6],
}

impl Head {
    /// Of this endpoint, above the page of that word.
    pub(super) fn of(endpoint: &Endpoint, here: &str) -> Self {
        let state = endpoint.state;
        let url = around_host(&endpoint.url);
        let tabs = [
            ("", "deliveries"),
            ("/settings", "settings"),
            ("/signing", "signing"),
            ("/test", "test"),
            ("/health", "health"),
            ("/history", "history"),
        ];
        Self {
            id: endpoint.id.to_string(),
            here: format!("/portal/endpoints/{}", endpoint.id),
            name: name(endpoint),
            url_exact: format!("{}{}{}", url.0, url.1, url.2) == endpoint.url.as_str(),
            url,
            badge: badge(state),
            because: endpoint.disabled_because.map(because),
            circuit: None,
            active: state == EndpointState::Active,
            paused: state == EndpointState::Paused,
            disabled: state == EndpointState::Disabled,
            tabs: tabs.map(|(behind, word)| (behind, word, word == here)),
        }
    }
}

impl Head {
    /// The same, with how its circuit is, as far as this router knows.
    pub(super) fn with_circuit(self, site: &Site) -> Self {
        let id = self.id.parse().ok().filter(|_| self.active);
        let circuit = id.and_then(|id| site.circuits().of(id));
        Self { circuit: circuit.map(Circuit::of), ..self }
    }
}

/// How an endpoint stands.
pub(in crate::console::portal) const fn badge(state: EndpointState) -> Badge {
    match state {
        EndpointState::Active => Badge::new(Tone::Good, "active"),
        EndpointState::Paused => Badge::new(Tone::Warn, "paused"),
        EndpointState::Disabled => Badge::new(Tone::Bad, "disabled"),
    }
}

/// Why it is disabled.
pub(super) const fn because(why: DisabledBecause) -> &'static str {
    match why {
        DisabledBecause::Asked => "It was disabled by a person: it is owed nothing new.",
        DisabledBecause::Gone => {
            "It answered 410, which says that it is gone for good: it is owed nothing new until it is enabled."
        }
        DisabledBecause::Failing => {
            "It did nothing but fail for days: it is owed nothing new until it is enabled."
        }
    }
}

/// A URL in three parts, so that its host can stand out.
pub(super) fn around_host(url: &Url) -> (Text, Text, Text) {
    let whole = url.as_str();
    let host = url.host_str().unwrap_or_default();
    let begin = url.scheme().len() + "://".len();
    match whole.get(begin..).and_then(|rest| rest.find(host)) {
        Some(place) if !host.is_empty() => {
            let (start, end) = (begin + place, begin + place + host.len());
            (Text::line(&whole[..start]), Text::line(host), Text::line(&whole[end..]))
        }
        Some(_) | None => (Text::line(whole), Text::default(), Text::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_stands_out() {
        let parts = |url: &str| {
            let (before, host, behind) = around_host(&url.parse().expect("a URL"));
            [before, host, behind].map(|text| text.to_string())
        };
        assert_eq!(
            parts("https://a.example/a.example?q"),
            ["https://", "a.example", "/a.example?q"]
        );
        assert_eq!(parts("http://[::1]:8080/"), ["http://", "[::1]", ":8080/"]);
    }
}
