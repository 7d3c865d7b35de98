//! One run's shared state: the scenario, the clock, the stores that outlive each life of the engine, and
//! all that has been seen from outside.
//!
//! Everything runs on one thread, so the lock is never waited for; it is there because the ports ask
//! for `Sync`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use posthaste::domain::delivery::{DeliveryKey, Turn};
use posthaste::domain::endpoint::EndpointState;
use posthaste::domain::id::{AttemptId, EndpointId, EventId};
use posthaste::domain::settings::DeliverySwitch;
use posthaste::domain::time::Timestamp;
use posthaste::storage::memory::Memory;
use posthaste::storage::memory::faults::{Call, Fault, Faults, Moment};
use tokio::sync::Notify;

use super::chance::Chance;
use super::clock::Clock;
use super::ports::Sabotage;
use super::scenario::Scenario;

/// So many calls within one millisecond are a circle: the largest burst here needs some hundreds.
const CALLS_AT_ONCE: u32 = 20_000;

/// Everything of one run.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) clock: Arc<Clock>,
    /// Rung when this life is over: somebody died, or a promise was broken.
    pub(crate) over: Notify,
    memory: OnceLock<Memory>,
    state: Mutex<State>,
}

/// What has been seen so far.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, none of which says another")]
pub(crate) struct State {
    /// No call of this life has an effect any more.
    pub(crate) dead: bool,
    /// The harness itself is calling.
    pub(crate) ours: bool,
    /// Receipts are not heard.
    pub(crate) deaf: bool,
    /// Nothing goes wrong any more.
    pub(crate) calm: bool,
    pub(crate) life: usize,
    /// Calls of this life that matter.
    calls: u64,
    /// Calls of this moment.
    calls_now: (Timestamp, u32),
    pub(crate) breach: Option<String>,
    /// Lines, when anybody wants them.
    pub(crate) trace: Option<Vec<String>>,
    pub(crate) counts: Counts,
    pub(crate) stories: BTreeMap<DeliveryKey, Story>,
    pub(crate) endpoints: Vec<Seen>,
    /// Whether the application sends, since when, and as the router has seen it since when.
    pub(crate) switch: DeliverySwitch,
    pub(crate) switched_at: Timestamp,
    pub(crate) router_sees_switch: (DeliverySwitch, Timestamp),
    /// It was off at some time: what was published then is owed to nobody.
    pub(crate) was_off: bool,
    /// Deliveries that this life has made requests for.
    pub(crate) touched: BTreeSet<DeliveryKey>,
    /// Attempts that this life was told are on record.
    pub(crate) answered: Vec<(DeliveryKey, AttemptId)>,
    /// Deliveries that the journal gave out: no message stands for them.
    pub(crate) claimed: BTreeSet<DeliveryKey>,
    /// What was taken over from its message: the journal gives it out again should we die, whatever its turn.
    pub(crate) taken_over: BTreeSet<DeliveryKey>,
    /// Until when something was wrong, with any store and with the catalogue.
    pub(crate) trouble_at: Timestamp,
    pub(crate) catalogue_trouble_at: Timestamp,
    pub(crate) stores: Chance,
    pub(crate) receivers: Chance,
    engine: Chance,
    /// When each event was published first.
    pub(crate) published: Vec<Option<Timestamp>>,
    names: BTreeMap<EventId, usize>,
    places: BTreeMap<EndpointId, usize>,
}

/// What happened, in numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) deliveries: u64,
    pub(crate) requests: u64,
    /// Requests of which the record knows nothing, since the engine died before it could say so.
    pub(crate) lost: u64,
    pub(crate) kills: u64,
    pub(crate) restarts: u64,
    pub(crate) faults: u64,
    pub(crate) checks: u64,
    /// Virtual time.
    pub(crate) seconds: u64,
}

/// One delivery, as it was seen.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts, none of which says another")]
pub(crate) struct Story {
    pub(crate) requests: usize,
    /// Requests that are not on record and never will be: their life was killed.
    pub(crate) lost: usize,
    pub(crate) open: usize,
    /// From which turn on it may go, and when.
    pub(crate) planned: Vec<(Turn, Timestamp)>,
    /// Not before this, as its receiver asked.
    pub(crate) asked: Option<Timestamp>,
    /// A person wanted it sooner.
    pub(crate) recalled: bool,
    pub(crate) succeeded: bool,
    pub(crate) refused_for_good: bool,
    /// When the lane gave leave for its one request, at most once; it begins when that is on record.
    pub(crate) let_go_at: Option<Timestamp>,
    /// A life ended while it was unknown: it stays so.
    pub(crate) unknown_for_good: bool,
}

/// One endpoint, as it is and as the router has seen it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) called: Called,
    /// It was disabled at some time: what was published meanwhile it was not owed.
    pub(crate) was_disabled: bool,
    /// Somebody has enabled it again.
    pub(crate) enabled: bool,
    pub(crate) changed_at: Timestamp,
    /// As the router's last look at the catalogue showed it.
    pub(crate) router_sees: Called,
    pub(crate) since: Timestamp,
    pub(crate) rate: Option<NonZeroU32>,
    pub(crate) cap: NonZeroU16,
    pub(crate) cap_before: NonZeroU16,
    pub(crate) numbers_changed_at: Timestamp,
    /// Requests on the way.
    pub(crate) open: usize,
    /// Requests of the last second of this life.
    pub(crate) starts: Vec<Timestamp>,
    /// It has asked to be called less.
    pub(crate) slowed: Option<Slowed>,
}

/// An endpoint has asked to be called less, and nothing has succeeded since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slowed {
    /// When it last said so.
    pub(crate) said_at: Timestamp,
    /// Not before this.
    pub(crate) until: Timestamp,
}

/// Whether an endpoint may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Called {
    Yes,
    Paused,
    /// It said itself that it is gone.
    Disabled,
    Deleted,
}

impl World {
    pub(crate) fn new(scenario: Scenario, sabotage: Option<Sabotage>, traced: bool) -> Arc<Self> {
        let clock = Arc::new(Clock::new());
        let shape = scenario.shape;
        let state = Mutex::new(State::new(&scenario, traced));
        let (over, memory) = (Notify::new(), OnceLock::new());
        let world =
            Arc::new(Self { scenario, sabotage, clock: Arc::clone(&clock), over, memory, state });
        let hook = Arc::new(Hook(Arc::downgrade(&world)));
        let memory = Memory::new(shape, Arc::new(move || clock.now()), hook);
        assert!(world.memory.set(memory).is_ok(), "it is set here alone");
        world
    }

    pub(crate) fn memory(&self) -> &Memory {
        self.memory.get().expect("it is set when the world is made")
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic ends the run")
    }

    /// Chance for the engine.
    pub(crate) fn bits(&self) -> u64 {
        self.state().engine.bits()
    }

    /// Ends this life: from here on no call has an effect.
    pub(crate) fn die(&self, what: impl fmt::Display) {
        let mut state = self.state();
        if !state.dead {
            state.dead = true;
            state.counts.kills += 1;
            self.note(&mut state, format_args!("killed: {what}"));
        }
        self.over.notify_one();
    }

    /// A promise was broken: the run ends.
    pub(crate) fn breach(&self, state: &mut State, what: impl fmt::Display) {
        self.note(state, format_args!("BREACH: {what}"));
        if state.breach.is_none() {
            state.breach = Some(what.to_string());
        }
        self.over.notify_one();
    }

    /// A settlement was written: whoever answered that it is gone is disabled by that.
    fn sees_who_is_disabled(&self) {
        let now = self.now();
        let mut state = self.state();
        for (endpoint, seen) in self.scenario.endpoints.iter().zip(&mut state.endpoints) {
            let found = self.memory().endpoint_of(endpoint.id);
            let disabled = found.is_some_and(|one| one.state == EndpointState::Disabled);
            if disabled && seen.called != Called::Disabled {
                (seen.called, seen.changed_at, seen.was_disabled) = (Called::Disabled, now, true);
            }
        }
    }

    /// Writes a line of the trace.
    pub(crate) fn note(&self, state: &mut State, what: fmt::Arguments<'_>) {
        if let Some(lines) = &mut state.trace {
            let ms = self.now().since(super::clock::START).as_millis();
            lines.push(format!("{:>6}.{:03} life {} {what}", ms / 1_000, ms % 1_000, state.life));
        }
    }

    /// Counts a step at which a life may end, and says whether it does.
    pub(crate) fn dies_here(&self, what: impl fmt::Display) -> bool {
        let mut state = self.state();
        if state.dead || state.calm {
            return state.dead;
        }
        state.calls += 1;
        let dies = self.scenario.trouble.kills(state.life, state.calls);
        drop(state);
        if dies {
            self.die(what);
        }
        dies
    }

    /// `e17 for ep2`.
    pub(crate) fn name(&self, state: &State, key: DeliveryKey) -> String {
        let event = state
            .names
            .get(&key.event)
            .map_or("an unknown event", |number| self.scenario.events[*number].name.as_str());
        match state.place(key.endpoint) {
            Some(place) => format!("{event} for ep{place}"),
            None => format!("{event} for an unknown endpoint"),
        }
    }
}

impl State {
    fn new(scenario: &Scenario, traced: bool) -> Self {
        let seed = scenario.seed;
        let application = super::scenario::application().id;
        let id = |name: &str| EventId::derived(&[application.as_bytes(), name.as_bytes()]);
        let names = scenario.events.iter().enumerate();
        let places = scenario.endpoints.iter().enumerate();
        let long_ago = Timestamp::default();
        let endpoints = scenario.endpoints.iter().map(|endpoint| Seen {
            called: Called::Yes,
            was_disabled: false,
            enabled: false,
            changed_at: long_ago,
            router_sees: Called::Yes,
            since: long_ago,
            rate: endpoint.throttle_rate,
            cap: endpoint.policy.max_in_flight,
            cap_before: endpoint.policy.max_in_flight,
            numbers_changed_at: long_ago,
            open: 0,
            starts: Vec::new(),
            slowed: None,
        });
        Self {
            dead: false,
            ours: false,
            deaf: false,
            calm: false,
            life: 0,
            calls: 0,
            calls_now: (long_ago, 0),
            breach: None,
            trace: traced.then(Vec::new),
            counts: Counts::default(),
            stories: BTreeMap::new(),
            endpoints: endpoints.collect(),
            switch: DeliverySwitch::On,
            switched_at: long_ago,
            router_sees_switch: (DeliverySwitch::On, long_ago),
            was_off: false,
            touched: BTreeSet::new(),
            answered: Vec::new(),
            claimed: BTreeSet::new(),
            taken_over: BTreeSet::new(),
            trouble_at: long_ago,
            catalogue_trouble_at: long_ago,
            stores: Chance::of(seed, "stores"),
            receivers: Chance::of(seed, "receivers"),
            engine: Chance::of(seed, "engine"),
            published: vec![None; scenario.events.len()],
            names: names.map(|(number, event)| (id(&event.name), number)).collect(),
            places: places.map(|(number, endpoint)| (endpoint.id, number)).collect(),
        }
    }

    /// The number of an event.
    pub(crate) fn number(&self, event: EventId) -> Option<usize> {
        self.names.get(&event).copied()
    }

    /// The id of an event.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (EventId, usize)> {
        self.names.iter().map(|(id, number)| (*id, *number))
    }

    /// Which endpoint it is.
    pub(crate) fn place(&self, endpoint: EndpointId) -> Option<usize> {
        self.places.get(&endpoint).copied()
    }

    /// A new life begins.
    pub(crate) fn lives(&mut self) {
        (self.dead, self.calls) = (false, 0);
        for seen in &mut self.endpoints {
            seen.starts.clear();
            seen.slowed = None; // a lane is in memory alone
        }
    }

    /// Counts the calls of this moment; whether there are too many.
    fn stands_still(&mut self, now: Timestamp) -> bool {
        let (moment, calls) = self.calls_now;
        self.calls_now = if moment == now { (now, calls + 1) } else { (now, 0) };
        self.calls_now.1 >= CALLS_AT_ONCE
    }

    fn fault(&mut self, call: Call, until: Timestamp) {
        self.counts.faults += 1;
        self.trouble_at = self.trouble_at.max(until);
        if matches!(call, Call::Version | Call::Snapshot) {
            self.catalogue_trouble_at = self.catalogue_trouble_at.max(until);
        }
    }
}

/// The scenario's trouble, at the stores' door.
struct Hook(Weak<World>);

impl Faults for Hook {
    fn at(&self, call: Call, moment: Moment) -> Fault {
        let Some(world) = self.0.upgrade() else { return Fault::None };
        if world.state().ours {
            return Fault::None;
        }
        // It is written, whether its router dies of it or not.
        if (call, moment) == (Call::Record, Moment::After) {
            world.sees_who_is_disabled();
        }
        // Questions that are asked by the clock would use up all chances to die elsewhere.
        let by_the_clock = matches!(call, Call::Version | Call::Books | Call::Claim);
        if !by_the_clock && world.dies_here(format_args!("{moment:?} {call}")) {
            return Fault::Hang;
        }
        let now = world.now();
        let mut state = world.state();
        if state.dead {
            return Fault::Hang;
        }
        if state.stands_still(now) {
            let what =
                format!("{CALLS_AT_ONCE} calls at one moment, the last of {call}: they go round");
            world.breach(&mut state, what);
            state.dead = true;
            return Fault::Hang;
        }
        let mut fault = Fault::None;
        if call == Call::GiveBack && state.deaf {
            fault = Fault::Away;
        } else if !state.calm {
            fault = world.scenario.trouble.at(call, moment, now, &mut state.stores);
        }
        match fault {
            Fault::None => {}
            Fault::Late(wait) => state.fault(call, now + wait),
            Fault::Away | Fault::Hang => state.fault(call, now),
        }
        if fault != Fault::None {
            world.note(&mut state, format_args!("fault: {fault:?} {moment:?} {call}"));
        }
        if (call, moment, fault) == (Call::Snapshot, Moment::After, Fault::None) {
            if state.router_sees_switch.0 != state.switch {
                state.router_sees_switch = (state.switch, now);
            }
            for seen in &mut state.endpoints {
                if seen.router_sees != seen.called {
                    (seen.router_sees, seen.since) = (seen.called, now);
                }
            }
        }
        fault
    }
}
