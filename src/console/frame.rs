//! What stands around a page: its name, where one can go from here, who looks, and what has just been done.

use super::assets;
use super::form::Fields;
use super::rights::{MakeAttempts, Manage, ManageSecrets, Right, SeeSecrets};
use super::session::Guest;
use super::site::Site;
use super::text::Text;

/// Which of the two sets of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    /// A tenant's.
    Portal,
    /// The operators'.
    Console,
}

/// Which entry of the navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// The first page.
    Overview,
    /// Applications, of operators.
    Applications,
    /// Endpoints.
    Endpoints,
    /// Deliveries, and events.
    Deliveries,
    /// What was given up.
    DeadLetters,
    /// What is no event.
    Quarantine,
    /// Replays.
    Replays,
    /// Queues and ladder.
    Queues,
    /// Which addresses may be called.
    Egress,
    /// Event types.
    EventTypes,
    /// The signature checker.
    Checker,
    /// Who did what.
    Audit,
    /// Settings, or the configuration.
    Settings,
}

/// An entry of the navigation.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Where it leads.
    pub(super) href: &'static str,
    /// Its word.
    pub(super) word: &'static str,
    /// The key behind `g`.
    pub(super) key: char,
    /// Whether this page belongs to it.
    pub(super) here: bool,
}

const PORTAL: [(Section, &str, &str, char); 7] = [
    (Section::Overview, "/portal", "Overview", 'o'),
    (Section::Endpoints, "/portal/endpoints", "Endpoints", 'e'),
    (Section::Deliveries, "/portal/deliveries", "Deliveries", 'd'),
    (Section::Replays, "/portal/replays", "Replays", 'r'),
    (Section::EventTypes, "/portal/event-types", "Event types", 't'),
    (Section::Checker, "/portal/signature", "Signature checker", 'c'),
    (Section::Settings, "/portal/settings", "Settings", 's'),
];

const CONSOLE: [(Section, &str, &str, char); 12] = [
    (Section::Overview, "/console", "Health", 'h'),
    (Section::Applications, "/console/applications", "Applications", 'a'),
    (Section::Endpoints, "/console/endpoints", "Endpoints", 'e'),
    (Section::Deliveries, "/console/deliveries", "Deliveries", 'd'),
    (Section::DeadLetters, "/console/dead-letters", "Dead letters", 'l'),
    (Section::Quarantine, "/console/quarantine", "Quarantine", 'q'),
    (Section::Replays, "/console/replays", "Replays", 'r'),
    (Section::Queues, "/console/queues", "Queues", 'w'),
    (Section::Egress, "/console/egress", "Egress", 'x'),
    (Section::EventTypes, "/console/event-types", "Event types", 't'),
    (Section::Audit, "/console/audit", "Audit", 'u'),
    (Section::Settings, "/console/configuration", "Configuration", 'c'),
];

/// What stands around a page.
pub(super) struct Frame {
    /// The page's own name.
    pub(super) title: Text,
    /// What the site is called.
    pub(super) site: Text,
    /// Whose portal it is.
    pub(super) whose: Option<Text>,
    /// Where one can go.
    pub(super) places: Vec<Place>,
    /// What each form carries.
    pub(super) form_token: String,
    /// Where one leaves.
    pub(super) leave: &'static str,
    /// What has just been done, in a sentence.
    pub(super) notice: Option<&'static str>,
    /// What the session may do beyond looking.
    pub(super) may: May,
    /// The stylesheet's path.
    pub(super) style: String,
    /// The script's path.
    pub(super) script: String,
    /// The path of the mark, or of the platform's logo.
    pub(super) mark: String,
    /// The path of the stylesheet of the platform's colour.
    pub(super) accent: Option<String>,
}

/// What the session may do: what it may not is not offered. (Asking for it all the same is refused by the handler's type.)
#[derive(Debug, Clone, Copy)]
pub(super) struct May {
    /// Is shown secrets.
    pub(super) see_secrets: bool,
    /// Rotates them.
    pub(super) manage_secrets: bool,
    /// Sends tests, retries, replays.
    pub(super) make_attempts: bool,
    /// Changes endpoints and settings.
    pub(super) manage: bool,
}

impl Frame {
    /// Around a page of that name; `asked` is what its address says.
    pub(super) fn new(
        site: &Site,
        guest: &Guest,
        area: Area,
        section: Section,
        title: &str,
        asked: &Fields,
    ) -> Self {
        // The console is ours, and looks like it.
        let own = area == Area::Portal;
        let all: &[_] = match area {
            Area::Portal => &PORTAL,
            Area::Console => &CONSOLE,
        };
        let place = |(of, href, word, key): &(Section, &'static str, &'static str, char)| Place {
            href,
            word,
            key: *key,
            here: *of == section,
        };
        let has = |right| guest.visitor.capabilities.has(right);
        Self {
            title: Text::line(title),
            site: Text::line(site.name()),
            whose: None,
            places: all.iter().map(place).collect(),
            form_token: guest.form_token(),
            leave: match area {
                Area::Portal => "/portal/leave",
                Area::Console => "/console/logout",
            },
            notice: asked.one("done").and_then(notice),
            may: May {
                see_secrets: has(SeeSecrets::CAPABILITY),
                manage_secrets: has(ManageSecrets::CAPABILITY),
                make_attempts: has(MakeAttempts::CAPABILITY),
                manage: has(Manage::CAPABILITY),
            },
            style: assets::style(),
            script: assets::script(),
            mark: own.then(|| assets::logo(site)).flatten().unwrap_or_else(assets::mark),
            accent: own.then(|| assets::accent(site)).flatten(),
        }
    }

    /// The same, of this application.
    pub(super) fn of(self, application: &str) -> Self {
        Self { whose: Some(Text::line(application)), ..self }
    }
}

/// What `?done=` says, in a sentence of ours: an address tells nobody anything that we would not say.
fn notice(word: &str) -> Option<&'static str> {
    const NOTICES: &[(&str, &str)] = &[
        ("saved", "Saved. It holds from the next request on."),
        ("deleted", "Deleted."),
        ("made", "It is made."),
        (
            "endpoint-made",
            "The endpoint is made, and gets events from now on. Give its receiver the key below, so that it can tell our requests from others'; then test it.",
        ),
        (
            "rotated",
            "Rotated. The new key signs from the next request on; older ones beside it until their time is over.",
        ),
        ("switched", "Switched. It holds from now on."),
        ("ended", "All its sessions are ended."),
        ("begun", "The replay is begun. It goes on by itself, also when you leave this page."),
        ("paused", "Paused. Nothing more is offered or sent until it is resumed."),
        ("resumed", "It goes on."),
        ("cancelled", "Cancelled."),
        ("discarded", "Put away for good. The audit log has the reason."),
        (
            "discarded-some",
            "As many were put away as may be at once. There are more: the same again puts them away.",
        ),
        ("archived", "Archived: it is off the list."),
        ("disabled", "Disabled: it is not called, and owed nothing new."),
        ("enabled", "Enabled: what waited for it is offered at once."),
        (
            "asked",
            "Asked for: the request is made at once, and its outcome stands here in a moment.",
        ),
        ("resubmitted", "Taken in again: it is an event now, and goes its way."),
        ("thrown-away", "Thrown away. The audit log has the reason."),
        ("sent", "Asked for: it is sent within seconds. Reload to see how it went."),
        ("example", "An example is on its way. Reload to see how it went."),
        ("rate", "The rate is changed."),
    ];
    NOTICES.iter().find(|(known, _)| *known == word).map(|(_, sentence)| *sentence)
}
