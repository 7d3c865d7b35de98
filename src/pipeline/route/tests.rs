//! Where events go, row by row.

use std::collections::BTreeMap;

use super::*;
use crate::domain::application::Application;
use crate::domain::endpoint::EndpointKey;
use crate::domain::event::{Identity, NewEvent, Webhook};
use crate::domain::filter::Filter;
use crate::domain::policy::PolicyPart;
use crate::domain::signature::SigningKey;
use crate::domain::time::Timestamp;

fn endpoint(application: ApplicationId, name: &str, patterns: &[&str]) -> Arc<Endpoint> {
    let patterns = patterns.iter().map(|p| p.parse().expect("a pattern")).collect();
    Arc::new(Endpoint {
        id: EndpointId::derived(&[name.as_bytes()]),
        application,
        uid: Some(name.into()),
        description: String::new(),
        url: "https://example.com/".parse().expect("a URL"),
        filter: Filter::of(patterns),
        channels: Vec::new(),
        state: EndpointState::Active,
        disabled_because: None,
        throttle_rate: None,
        policy: Arc::default(),
        headers: Vec::new(),
        auth: None,
        keys: Vec::new(),
        metadata: BTreeMap::new(),
        version: std::num::NonZeroU16::MIN,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        policy_part: PolicyPart::default(),
    })
}

fn application(uid: &str) -> Application {
    Application {
        id: ApplicationId::derived(&[uid.as_bytes()]),
        organisation: OrganisationId::DEFAULT,
        uid: Some(uid.into()),
        name: uid.into(),
        throttle_rate: None,
        metadata: BTreeMap::new(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn matching(table: &Table, application: &str, event_type: &str) -> Vec<String> {
    matching_on(table, application, event_type, &[])
}

fn matching_on(
    table: &Table,
    application: &str,
    event_type: &str,
    channels: &[&str],
) -> Vec<String> {
    let id = table.application(&application.into()).expect("known");
    let channels = channels.iter().map(|name| (*name).into()).collect();
    let event = Event { channels, ..event(id, event_type, None) };
    let mut names: Vec<_> = table
        .wanting(&event)
        .into_iter()
        .filter_map(|id| table.endpoint(id)?.uid.clone())
        .collect();
    names.sort();
    names
}

/// An event that names a URL, perhaps, with a mode.
fn event(application: ApplicationId, event_type: &str, own: Option<(&str, &str)>) -> Event {
    let webhook = own.map(|(url, mode)| Webhook::parse(url, mode).expect("right"));
    let new = NewEvent {
        application: ApplicationName::Id(application),
        event_type: event_type.parse().expect("a type"),
        identity: Identity::Given("run-7".into()),
        subject: None,
        occurred_at: None,
        received_at: None,
        deliver_at: None,
        expires_at: None,
        content_type: None,
        traceparent: None,
        channels: Box::default(),
        webhook: webhook.flatten(),
        attributes: Box::default(),
        payload: bytes::Bytes::from_static(b"{}"),
    };
    new.of(application, Timestamp::default())
}

const OWN: &str = "https://own.example/a";
const DEFAULT: &str = "https://default.example/";

/// An endpoint of this state that wants jobs, and settings.
fn one_endpoint(
    state: EndpointState,
    change: impl FnOnce(&mut Settings),
) -> (Table, ApplicationId) {
    let acme = application("acme");
    let id = acme.id;
    let jobs = endpoint(id, "jobs", &["job.*"]);
    let mut settings = Settings {
        default_url: Some(DEFAULT.parse().expect("a URL")),
        keys: vec![EndpointKey {
            key: SigningKey::from_bytes(vec![7; 32]).expect("a key"),
            created_at: Timestamp::default(),
            expires_at: None,
        }],
        ..Settings::unset(id)
    };
    change(&mut settings);
    let table = Table::of(Snapshot {
        version: 1,
        endpoints: vec![Arc::new(Endpoint { state, ..jobs.as_ref().clone() })],
        applications: vec![acme],
        settings: vec![settings],
        ..Snapshot::default()
    });
    (table, id)
}

/// Whom an event goes to, in words: the endpoint, the default URL, the one that it names.
fn goes_to(table: &Table, event: &Event) -> Vec<&'static str> {
    let words = table.wanting(event).into_iter().map(|id| {
        let to = table.destination(event, id).expect("what is owed can be sent");
        assert_eq!((to.id, to.application), (id, event.application));
        match to.url.as_str() {
            OWN => "named",
            DEFAULT => "default",
            _ => "listed",
        }
    });
    words.collect()
}

/// An endpoint's state, the rule for the default URL, a type, what the event names; who gets it.
type Row<'a> = (EndpointState, DefaultUrlWhen, &'a str, Option<(&'a str, &'a str)>, &'a [&'a str]);

#[test]
fn an_event_goes_where_it_says_or_to_who_wants_it_or_to_the_default_url() {
    use DefaultUrlWhen::{NoMatch, NoOverride};
    use EndpointState::{Active, Disabled, Paused};
    let over = Some((OWN, "override"));
    let add = Some((OWN, "add"));
    let rows: [Row<'_>; 14] = [
        (Active, NoMatch, "job.done", over, &["named"]),
        (Active, NoOverride, "job.done", over, &["named"]),
        (Active, NoMatch, "ping", over, &["named"]),
        (Active, NoMatch, "job.done", add, &["listed", "named"]),
        (Active, NoOverride, "job.done", add, &["listed", "named"]),
        (Active, NoMatch, "ping", add, &["named"]),
        (Active, NoMatch, "job.done", None, &["listed"]),
        (Active, NoOverride, "job.done", None, &["listed", "default"]),
        (Active, NoMatch, "ping", None, &["default"]),
        (Active, NoOverride, "ping", None, &["default"]),
        (Paused, NoMatch, "job.done", None, &["listed"]),
        (Disabled, NoMatch, "job.done", None, &["default"]),
        (Paused, NoMatch, "job.done", add, &["listed", "named"]),
        (Disabled, NoMatch, "job.done", add, &["named"]),
    ];
    for (state, when, event_type, own, wanted) in rows {
        let (table, acme) = one_endpoint(state, |settings| settings.default_url_when = when);
        let found = goes_to(&table, &event(acme, event_type, own));
        assert_eq!(found, wanted, "{state:?} {when:?} {event_type} {own:?}");
    }
}

#[test]
fn without_a_default_url_what_nobody_wants_goes_nowhere() {
    for when in [DefaultUrlWhen::NoMatch, DefaultUrlWhen::NoOverride] {
        let (table, acme) = one_endpoint(EndpointState::Active, |settings| {
            (settings.default_url, settings.default_url_when) = (None, when);
        });
        assert_eq!(goes_to(&table, &event(acme, "ping", None)), [""; 0]);
        assert_eq!(goes_to(&table, &event(acme, "job.done", None)), ["listed"]);
    }
}

#[test]
fn an_application_that_is_off_owes_nothing_and_one_that_holds_owes_as_ever() {
    let active = EndpointState::Active;
    let (off, acme) = one_endpoint(active, |own| own.delivery = DeliverySwitch::Off);
    for own in [None, Some((OWN, "override")), Some((OWN, "add"))] {
        assert_eq!(goes_to(&off, &event(acme, "job.done", own)), [""; 0]);
    }
    let (holds, acme) = one_endpoint(active, |own| own.delivery = DeliverySwitch::Hold);
    assert_eq!(goes_to(&holds, &event(acme, "job.done", None)), ["listed"]);
    let (on, _) = one_endpoint(active, |_| ());
    assert_eq!([off.holds(acme), holds.holds(acme), on.holds(acme)], [true, true, false]);
}

#[test]
fn a_url_is_called_as_its_applications_settings_say_for_as_long_as_these_are_there() {
    let limit = |settings: &mut Settings| {
        settings.policy.timeout_ms = Some(7_000);
    };
    let (table, acme) = one_endpoint(EndpointState::Active, limit);
    let named = event(acme, "job.done", Some((OWN, "override")));
    let [id] = table.wanting(&named)[..] else { panic!("one") };

    let to = table.destination(&named, id).expect("there");
    assert_eq!((to.policy.timeout_ms, to.keys.len()), (7_000, 1));
    assert!(to.is_named_by_events() && table.still_names(&to));
    let other = event(acme, "job.done", Some(("https://own.example/b", "override")));
    assert_eq!(table.wanting(&other), [id], "one lane for a host");
    let other = table.destination(&other, id).expect("there");
    assert_eq!(other.url.path(), "/b", "and each event its own URL");

    let (cleared, _) = one_endpoint(EndpointState::Active, |own| own.default_url = None);
    let plain = event(acme, "ping", None);
    let default = default_of(acme);
    let to_default = table.destination(&plain, default).expect("there");
    assert!(cleared.destination(&plain, default).is_none());
    assert!(cleared.anew(&to_default).is_none() && !cleared.still_names(&to_default));
    assert_eq!(cleared.anew(&to).expect("there").policy.timeout_ms, 15_000);

    let nobody = Table::of(Snapshot::default());
    assert!(nobody.destination(&named, id).is_none() && nobody.anew(&to).is_none());
    assert!(!nobody.still_names(&to));
}

#[test]
fn each_endpoint_gets_what_its_filter_says_once_and_only_of_its_own_application() {
    let (acme, other) = (application("acme"), application("other"));
    let disabled = Arc::new(Endpoint {
        state: EndpointState::Disabled,
        ..endpoint(acme.id, "disabled", &[]).as_ref().clone()
    });
    let table = Table::of(Snapshot {
        version: 1,
        endpoints: vec![
            endpoint(acme.id, "all", &[]),
            endpoint(acme.id, "jobs", &["job.*", "job.completed"]),
            endpoint(acme.id, "done", &["job.completed", "job.completed"]),
            endpoint(acme.id, "documents", &["document.ready"]),
            endpoint(other.id, "stranger", &[]),
            disabled,
        ],
        applications: vec![acme, other],
        ..Snapshot::default()
    });

    assert_eq!(matching(&table, "acme", "job.completed"), ["all", "done", "jobs"]);
    assert_eq!(matching(&table, "acme", "job.failed"), ["all", "jobs"]);
    assert_eq!(matching(&table, "acme", "document.ready"), ["all", "documents"]);
    assert_eq!(matching(&table, "other", "job.completed"), ["stranger"]);
    assert_eq!(table.application(&"nobody".into()), None);
}

#[test]
fn an_endpoint_with_channels_gets_only_events_that_share_one() {
    let acme = application("acme");
    let on = |name: &str, patterns: &[&str], channels: &[&str]| {
        let channels = channels.iter().map(|name| (*name).to_owned()).collect();
        let endpoint = endpoint(acme.id, name, patterns);
        Arc::new(Endpoint { channels, ..endpoint.as_ref().clone() })
    };
    let table = Table::of(Snapshot {
        version: 1,
        endpoints: vec![
            on("all", &[], &[]),
            on("eu", &[], &["eu"]),
            on("both", &["job.*"], &["eu", "us"]),
            on("documents", &["document.ready"], &["us"]),
        ],
        applications: vec![acme],
        ..Snapshot::default()
    });

    let rows: [(&[&str], &[&str]); 5] = [
        (&[], &["all"]),
        (&["eu"], &["all", "both", "eu"]),
        (&["us"], &["all", "both"]),
        (&["asia", "us"], &["all", "both"]),
        (&["EU"], &["all"]),
    ];
    for (channels, wanted) in rows {
        assert_eq!(matching_on(&table, "acme", "job.completed", channels), wanted);
    }
}
