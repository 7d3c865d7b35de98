//! What happens in a run, drawn from its seed before it begins: who there is, what is published and
//! when, what people do, and what goes wrong.
//!
//! Small on purpose: a handful of endpoints and some dozens of events meet the same races as
//! thousands, and a failing seed can be read. Some seeds are calm, so that what needs no excuse is
//! checked without one.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use posthaste::domain::application::Application;
use posthaste::domain::endpoint::{Endpoint, EndpointKey, EndpointState, default_of, named_at};
use posthaste::domain::event::WebhookMode;
use posthaste::domain::filter::Filter;
use posthaste::domain::id::{ApplicationId, EndpointId, OrganisationId};
use posthaste::domain::policy::{Guarantee, OnExhausted, Policy, PolicyPart};
use posthaste::domain::retry::RetryPolicy;
use posthaste::domain::settings::{DefaultUrlWhen, DeliverySwitch, Settings};
use posthaste::domain::signature::SigningKey;
use posthaste::domain::time::Timestamp;
use posthaste::storage::memory::Shape;

use super::chance::Chance;
use super::clock::START;
use super::receivers::Behaviour;
use super::trouble::Trouble;

/// Types that are published.
const TYPES: [&str; 4] = ["job.created", "job.completed", "job.failed", "document.ready"];

/// The name of the only application.
pub(crate) const APPLICATION: &str = "acme";

/// Everything that a seed says.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) shape: Shape,
    /// Those that somebody lists first; then the default URL, and the host that events name.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) listed: usize,
    /// What the application sets, but for its switch.
    pub(crate) settings: Settings,
    pub(crate) behaviours: Vec<Behaviour>,
    pub(crate) events: Vec<Published>,
    /// In the order of time.
    pub(crate) actions: Vec<(Timestamp, Action)>,
    pub(crate) trouble: Trouble,
    /// When traffic and trouble end.
    pub(crate) ends_at: Timestamp,
    /// Deliveries in the router's memory, and requests on the way.
    pub(crate) window: usize,
    pub(crate) in_flight: usize,
}

/// An event that is published, once or twice.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) name: String,
    pub(crate) event_type: &'static str,
    pub(crate) deliver_at: Option<Timestamp>,
    /// Whether it names a URL of its own, and how.
    pub(crate) own: Option<WebhookMode>,
    pub(crate) payload: String,
}

/// What happens from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// Somebody or something does this.
    Do(Deed),
    /// The process is killed, and somebody starts it again after so long.
    Kill(Duration),
    /// The process is told to stop, and starts again.
    Restart(Duration),
}

/// What is done to the stores, whether a process lives or not.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deed {
    /// A producer publishes an event, or publishes it again.
    Publish(usize),
    Pause(usize),
    Resume(usize),
    Delete(usize),
    /// Sets whether anything is sent.
    Switch(DeliverySwitch),
    /// Changes an endpoint's rate and cap.
    Edit(usize, Option<NonZeroU32>, NonZeroU16),
    /// The broker's connection is lost; receipts of the last moments are lost with it.
    HangUp,
    /// Receipts are no longer heard, until the connection is lost.
    DeskIsDeaf,
}

/// How much happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// A few minutes and some dozens of events; now and then an hour.
    Usual,
    /// An hour, with thousands of events.
    DenseHour,
}

impl Scenario {
    /// What this seed says.
    pub(crate) fn draw(seed: u64, size: Size) -> Self {
        let mut chance = Chance::of(seed, "scenario");
        let calm = chance.one_in(4);
        let broker = Shape::Broker {
            prefetch: chance.pick(&[8, 64, 1_000]),
            hop_max: chance.ms(20_000..=90_000),
        };
        let shape = if chance.one_in(2) { Shape::OneStore } else { broker };
        let minutes = match size {
            Size::DenseHour => 60,
            Size::Usual if chance.one_in(32) => chance.between(30..=60),
            Size::Usual => chance.between(1..=6),
        };
        let ends_at = START + Duration::from_mins(minutes);
        let count = chance.between(2..=6);
        let mut policies = Chance::of(seed, "policies");
        let mut endpoints: Vec<_> =
            (0..count).map(|number| endpoint(number, &mut chance, &mut policies)).collect();
        let listed = endpoints.len();
        let settings = settings(&mut Chance::of(seed, "settings"));
        endpoints.extend(urls(&settings));
        let behaviours = endpoints.iter().map(|_| Behaviour::draw(&mut chance)).collect();
        let mut drawn = Self {
            seed,
            shape,
            behaviours,
            events: Vec::new(),
            actions: Vec::new(),
            trouble: Trouble::draw(calm, minutes, &mut Chance::of(seed, "trouble")),
            ends_at,
            window: chance.pick(&[100, 300, 2_000]),
            in_flight: chance.pick(&[4, 32, 500]),
            endpoints,
            listed,
            settings,
        };
        drawn.traffic(minutes, size, &mut Chance::of(seed, "traffic"));
        drawn.edits(&mut Chance::of(seed, "edits"));
        if !calm {
            drawn.ends(minutes, &mut Chance::of(seed, "ends"));
        }
        drawn.actions.sort_by_key(|(at, _)| *at); // stable: what is drawn first happens first
        drawn
    }

    /// Whether what an endpoint is owed is delivered at most once.
    pub(crate) fn at_most_once(&self, place: usize) -> bool {
        self.endpoints[place].policy.guarantee == Guarantee::AtMostOnce
    }

    /// Bursts, and a trickle between them.
    fn traffic(&mut self, minutes: u64, size: Size, chance: &mut Chance) {
        let (bursts, most) = match size {
            Size::Usual => (chance.between(1..=4), 24),
            Size::DenseHour => (60, 80),
        };
        for _ in 0..bursts {
            let begin = self.moment(chance);
            let spread = chance.between(0..=3_000);
            for _ in 0..chance.between(1..=most) {
                let at = begin + chance.ms(0..=spread);
                self.publish(at, chance);
            }
        }
        let trickle = match size {
            Size::Usual => chance.between(4..=20),
            Size::DenseHour => 40 * minutes,
        };
        for _ in 0..trickle {
            let at = self.moment(chance);
            self.publish(at, chance);
        }
    }

    fn publish(&mut self, at: Timestamp, chance: &mut Chance) {
        let number = self.events.len();
        let later = chance.one_in(16).then(|| at + chance.ms(100..=120_000));
        let own = chance.one_in(6).then(|| chance.pick(&[WebhookMode::Override, WebhookMode::Add]));
        self.events.push(Published {
            name: format!("e{number}"),
            event_type: chance.pick(&TYPES),
            deliver_at: later,
            own,
            payload: format!(r#"{{"run":{number},"left":{}}}"#, chance.bits()),
        });
        self.actions.push((at, Action::Do(Deed::Publish(number))));
        if chance.one_in(12) {
            let again = at + chance.ms(0..=90_000);
            self.actions.push((again, Action::Do(Deed::Publish(number))));
        }
    }

    fn edits(&mut self, chance: &mut Chance) {
        if chance.one_in(2) {
            let switch = chance.pick(&[DeliverySwitch::Hold, DeliverySwitch::Off]);
            let at = self.moment(chance);
            self.actions.push((at, Action::Do(Deed::Switch(switch))));
            let on = Action::Do(Deed::Switch(DeliverySwitch::On));
            self.actions.push((at + chance.ms(1..=120_000), on));
        }
        for number in 0..self.listed {
            if chance.one_in(3) {
                let at = self.moment(chance);
                self.actions.push((at, Action::Do(Deed::Pause(number))));
                self.actions.push((at + chance.ms(1..=120_000), Action::Do(Deed::Resume(number))));
            }
            if chance.one_in(3) {
                let edit = Action::Do(Deed::Edit(number, rate(chance), cap(chance)));
                self.actions.push((self.moment(chance), edit));
            }
            if chance.one_in(8) {
                self.actions.push((self.moment(chance), Action::Do(Deed::Delete(number))));
            }
        }
    }

    /// Ends of processes and of connections.
    fn ends(&mut self, minutes: u64, chance: &mut Chance) {
        for _ in 0..chance.between(0..=2 + minutes / 10) {
            // Now and then for longer than the journal waits for what everybody has forgotten.
            let most = if chance.one_in(8) { 1_200_000 } else { 20_000 };
            let down = chance.ms(1..=most);
            self.actions.push((self.moment(chance), Action::Kill(down)));
        }
        if chance.one_in(2) {
            let down = chance.ms(1..=5_000);
            self.actions.push((self.moment(chance), Action::Restart(down)));
        }
        for _ in 0..chance.between(0..=3) {
            let at = self.moment(chance);
            self.actions.push((at, Action::Do(Deed::DeskIsDeaf)));
            self.actions.push((at + chance.ms(0..=50), Action::Do(Deed::HangUp)));
        }
    }

    fn moment(&self, chance: &mut Chance) -> Timestamp {
        START + chance.ms(1..=u64::try_from(self.ends_at.since(START).as_millis()).expect("hours"))
    }
}

/// The only application.
pub(crate) fn application() -> Application {
    Application {
        id: ApplicationId::derived(&[APPLICATION.as_bytes()]),
        organisation: OrganisationId::DEFAULT,
        uid: Some(APPLICATION.into()),
        name: "Acme".into(),
        throttle_rate: None,
        metadata: std::collections::BTreeMap::new(),
        created_at: START,
        updated_at: START,
    }
}

fn endpoint(number: u64, chance: &mut Chance, policies: &mut Chance) -> Endpoint {
    let patterns: &[&str] = chance.pick(&[&[][..], &["job.*"], &["job.completed"], &["*"]]);
    let patterns = patterns.iter().map(|text| text.parse().expect("a pattern")).collect();
    let throttle_rate = rate(chance);
    let policy_part = PolicyPart {
        retry: Some(retry(chance)),
        timeout_ms: Some(u32::try_from(chance.between(1_000..=10_000)).expect("small")),
        max_in_flight: Some(cap(chance)),
        ..ending(policies)
    };
    let key = SigningKey::from_bytes(vec![u8::try_from(number).expect("few"); 32]).expect("a key");
    Endpoint {
        id: EndpointId::derived(&[&number.to_be_bytes()]),
        application: application().id,
        uid: None,
        description: String::new(),
        url: format!("https://ep{number}.example/hook").parse().expect("a url"),
        filter: Filter::of(patterns),
        channels: Vec::new(),
        state: EndpointState::Active,
        disabled_because: None,
        throttle_rate,
        policy: Arc::new(policy_part.over(&Policy::default()).into()),
        policy_part,
        headers: Vec::new(),
        auth: None,
        keys: vec![EndpointKey { key, created_at: START, expires_at: None }],
        metadata: std::collections::BTreeMap::new(),
        version: NonZeroU16::MIN,
        created_at: START,
        updated_at: START,
    }
}

/// What a policy says of how deliveries end.
fn ending(chance: &mut Chance) -> PolicyPart {
    PolicyPart {
        guarantee: chance.one_in(3).then_some(Guarantee::AtMostOnce),
        on_exhausted: chance.one_in(4).then_some(OnExhausted::Drop),
        give_up_status: chance
            .one_in(2)
            .then(|| serde_json::from_str("[404]").expect("a list of statuses")),
        ..PolicyPart::default()
    }
}

/// The URL that events name.
pub(crate) const OWN: &str = "https://own.example/hook";

fn settings(chance: &mut Chance) -> Settings {
    let key = SigningKey::from_bytes(vec![99; 32]).expect("a key");
    Settings {
        default_url: Some("https://default.example/hook".parse().expect("a url")),
        default_url_when: chance.pick(&[DefaultUrlWhen::NoMatch, DefaultUrlWhen::NoOverride]),
        policy: PolicyPart {
            retry: Some(retry(chance)),
            max_in_flight: Some(cap(chance)),
            ..PolicyPart::default()
        },
        keys: vec![EndpointKey { key, created_at: START, expires_at: None }],
        updated_at: Some(START),
        ..Settings::unset(application().id)
    }
}

/// What is called by these settings, as endpoints that nobody lists. Their policies go by the settings,
/// but what endpoints say of theirs is over it.
fn urls(settings: &Settings) -> [Endpoint; 2] {
    let policy = Arc::new(settings.policy_of_urls());
    let acme = settings.application;
    let default = settings.default_url.clone().expect("there is one");
    let own = OWN.parse().expect("a url");
    [(default_of(acme), default), (named_at(acme, &own), own)]
        .map(|(id, url)| settings.endpoint_at(id, url, Arc::clone(&policy)))
}

fn rate(chance: &mut Chance) -> Option<NonZeroU32> {
    if chance.one_in(2) {
        return None;
    }
    NonZeroU32::new(u32::try_from(chance.between(1..=20)).expect("small"))
}

fn cap(chance: &mut Chance) -> NonZeroU16 {
    NonZeroU16::new(chance.pick(&[1, 2, 8, 32])).expect("none is 0")
}

fn retry(chance: &mut Chance) -> RetryPolicy {
    let jitter = chance.pick(&[0.0, 0.2]);
    match chance.between(0..=3) {
        0 => RetryPolicy::None,
        1 => RetryPolicy::Schedule { delays_ms: vec![500, 1_000, 2_000], jitter },
        2 => RetryPolicy::Schedule { delays_ms: vec![5_000, 30_000, 120_000, 240_000], jitter },
        _ => RetryPolicy::Exponential {
            base_ms: 1_000,
            factor: 2.0,
            max_delay_ms: 60_000,
            max_attempts: u32::try_from(chance.between(3..=8)).expect("small"),
            max_age_ms: None,
            jitter,
        },
    }
}
