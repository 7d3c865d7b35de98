//! Runs a scenario: one life of the engine after the other on one thread, each in a runtime of its own
//! with a paused clock, until everything has come to an end.
//!
//! A death is what it is outside: calls have no effect any more, and everything that was in memory is
//! dropped with the runtime. The stores, the receivers and the people go on.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use posthaste::domain::endpoint::EndpointState;
use posthaste::domain::event::Webhook;
use posthaste::domain::settings::{DeliverySwitch, Settings};
use posthaste::domain::time::Timestamp;
use posthaste::failpoint;
use posthaste::pipeline;
use posthaste::pipeline::engine::{Engine, Parts};
use posthaste::pipeline::request::Options;
use posthaste::storage::StorageError;
use posthaste::storage::catalogue::Catalogue as _;
use posthaste::storage::inbox::{Publication, Publish as _};
use posthaste::storage::journal::Ledger as _;
use posthaste::storage::memory::Shape;
use posthaste::storage::outlet::{self, Outlet};
use posthaste::storage::rollups::{Counted, Of, Rollups, Tally};
use posthaste::storage::routers;
use posthaste::telemetry::metrics::Metrics;
use tokio::sync::watch;

use super::clock::START;
use super::ports::{Sabotage, Watched};
use super::receivers::Receivers;
use super::scenario::{APPLICATION, Action, Deed, OWN, Scenario, application};
use super::world::{Called, Counts, World};

/// How often the books are checked.
const CHECK_EVERY: Duration = Duration::from_mins(1);

/// How often it is looked whether everything has come to an end.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long a stop may take before requests are interrupted.
const GRACE: Duration = Duration::from_secs(3);

/// How long the engine is given to come to an end once nothing goes wrong any more. Six hours: more
/// than any schedule here, and a run that comes near it has been found late before.
const END_MOST: Duration = Duration::from_hours(6);

/// What came of a run.
pub(crate) struct Run {
    /// The promise that was broken, as a sentence.
    pub(crate) breach: Option<String>,
    pub(crate) counts: Counts,
    pub(crate) trace: Vec<String>,
}

/// Nobody looks at charts here: what they are drawn from is no promise.
struct NoCharts;

#[async_trait]
impl Rollups for NoCharts {
    async fn add_up(&self, _: &[Counted]) -> Result<(), StorageError> {
        Ok(())
    }

    async fn tallies(
        &self,
        _: Of,
        _: Timestamp,
        _: Timestamp,
        _: Duration,
    ) -> Result<Vec<(Timestamp, Tally)>, StorageError> {
        Ok(Vec::new())
    }
}

/// How a life ended.
enum End {
    /// It was killed, and begins again after so long.
    Killed(Duration),
    /// It stopped when it was told to.
    Stopped(Duration),
    /// There is nothing more to do.
    Over,
}

/// Runs a scenario to its end, or to the first breach.
pub(crate) fn run(scenario: Scenario, sabotage: Option<Sabotage>, traced: bool) -> Run {
    failpoint::sabotage((sabotage == Some(Sabotage::GivesBackEarly)).then_some("give_back_early"));
    let world = World::new(scenario, sabotage, traced);
    world.furnish();
    let metrics = Arc::new(Metrics::new("simulated"));
    let mut course = Course { world: Arc::clone(&world), metrics, next: 0 };
    loop {
        let end = course.life();
        world.check_end_of_life(!matches!(end, End::Killed(_)));
        world.check_books();
        if world.state().breach.is_some() {
            break;
        }
        match end {
            End::Killed(down) | End::Stopped(down) => course.down(down),
            End::Over => {
                world.check_end();
                break;
            }
        }
    }
    failpoint::sabotage(None);
    let seconds = world.now().since(START).as_secs();
    let mut state = world.state();
    Run {
        breach: state.breach.take(),
        counts: Counts { seconds, ..state.counts },
        trace: state.trace.take().unwrap_or_default(),
    }
}

/// The way through a scenario.
struct Course {
    world: Arc<World>,
    metrics: Arc<Metrics>,
    /// The next action.
    next: usize,
}

impl Course {
    /// One life of the engine, from its start to its end.
    fn life(&mut self) -> End {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without threads");
        let world = Arc::clone(&self.world);
        runtime.block_on(async {
            world.clock.begin_life();
            world.state().lives();
            let end = tokio::select! { biased;
                end = ends_early(&world) => end,
                end = self.live() => end,
            };
            world.state().dead = true; // what is dropped now has no effect any more
            world.clock.end_life();
            end
        })
    }

    async fn live(&mut self) -> End {
        let world = Arc::clone(&self.world);
        let engine = self.start().await;
        let mut check_at = world.now() + CHECK_EVERY;
        let mut look_at = world.scenario.ends_at;
        loop {
            let act_at = self.upcoming().map_or(Timestamp::NEVER, |(at, _)| at);
            let wake_at = act_at.min(check_at).min(look_at);
            tokio::time::sleep(wake_at.since(world.now())).await;
            let now = world.now();
            while let Some((at, action)) = self.upcoming()
                && at <= now
            {
                self.next += 1;
                match action {
                    Action::Kill(_) if world.state().calm => {}
                    Action::Kill(down) => {
                        world.die("by somebody");
                        return End::Killed(down);
                    }
                    Action::Restart(down) => {
                        engine.stop(GRACE).await;
                        world.state().counts.restarts += 1;
                        return End::Stopped(down);
                    }
                    Action::Do(deed) => world.act(deed),
                }
            }
            if check_at <= now {
                world.check_books();
                check_at = now + CHECK_EVERY;
            }
            if look_at <= now {
                look_at = now + LOOK_EVERY;
                world.calms_down();
                world.sees_to_the_disabled();
                if self.upcoming().is_none() && world.is_quiet() {
                    engine.stop(GRACE).await;
                    return End::Over;
                }
                if now.since(world.scenario.ends_at) > END_MOST {
                    let mut state = world.state();
                    let (books, backlog) =
                        (world.memory().books_counted(), world.memory().backlog());
                    let what = format!("it does not come to an end: {books:?}, {backlog:?}");
                    world.breach(&mut state, what);
                }
            }
        }
    }

    /// Starts the engine, again and again while a store is away.
    async fn start(&self) -> Engine {
        loop {
            let world = &self.world;
            if let Ok(inbox) = world.memory().inbox().await {
                let ports = Arc::new(Watched(Arc::clone(world)));
                let outlet: Arc<dyn Outlet> = match world.scenario.shape {
                    Shape::OneStore => Arc::new(outlet::Nobody),
                    Shape::Broker { .. } => Arc::new(world.memory().clone()),
                };
                let (clock, chance) = (Arc::clone(&world.clock), Arc::clone(world));
                let started = Engine::start(Parts {
                    catalogue: Arc::new(world.memory().clone()),
                    routers: Arc::new(routers::Nobody),
                    operator: None,
                    journal: ports.clone(),
                    inbox: Box::new(inbox),
                    ladder: ports,
                    outlet,
                    rollups: Arc::new(NoCharts),
                    sender: Arc::new(Receivers(Arc::clone(world))),
                    world: pipeline::World {
                        now: Arc::new(move || clock.now()),
                        chance: Arc::new(move || chance.bits()),
                    },
                    metrics: Arc::clone(&self.metrics),
                    max_deliveries_in_memory: world.scenario.window,
                    max_payload_bytes_in_memory: 1 << 30,
                    max_of_one_application: world.scenario.window / 2,
                    max_in_flight: world.scenario.in_flight,
                    routers_here: watch::Sender::new(Some(NonZeroU16::MIN)).subscribe(),
                    escrow_after: Duration::from_secs(2),
                    max_in_flight_per_host: 3, // fewer than most endpoints may have: all wait for it
                    options: Options::default(),
                });
                if let Ok(engine) = started.await {
                    return engine;
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Nobody is there for a while; the world goes on.
    fn down(&mut self, down: Duration) {
        let world = Arc::clone(&self.world);
        let until = world.now() + down;
        while let Some((at, action)) = self.upcoming()
            && at <= until
        {
            self.next += 1;
            world.clock.set(at);
            match action {
                Action::Kill(_) | Action::Restart(_) => {}
                Action::Do(deed) => world.act(deed),
            }
        }
        world.clock.set(until);
        let mut state = world.state();
        state.life += 1;
        state.trouble_at = state.trouble_at.max(until);
    }

    fn upcoming(&self) -> Option<(Timestamp, Action)> {
        self.world.scenario.actions.get(self.next).copied()
    }
}

/// Waits for a death or a breach.
async fn ends_early(world: &World) -> End {
    loop {
        world.over.notified().await;
        let mut state = world.state();
        if state.dead || state.breach.is_some() {
            return End::Killed(state.stores.ms(1..=15_000));
        }
    }
}

impl World {
    /// Makes everybody who is in the scenario.
    fn furnish(&self) {
        let acme = application();
        self.do_it(|| self.memory().add_application(&acme));
        for endpoint in &self.scenario.endpoints[..self.scenario.listed] {
            self.do_it(|| self.memory().add_endpoint(endpoint));
        }
        self.do_it(|| self.memory().put_settings(&self.scenario.settings));
    }

    /// Does what people do: at once, and without the stores' trouble.
    fn do_it<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(
        &self,
        what: impl FnOnce() -> F,
    ) -> T {
        self.state().ours = true;
        let done = what().now_or_never().expect("a call without trouble does not wait");
        self.state().ours = false;
        done.expect("a call without trouble does not fail")
    }

    fn act(&self, deed: Deed) {
        self.note(&mut self.state(), format_args!("{deed:?}"));
        match deed {
            Deed::Publish(number) => self.publish(number),
            Deed::Pause(place) => self.set_state(place, Called::Paused, EndpointState::Paused),
            Deed::Resume(place) => self.resume(place),
            Deed::Delete(place) => self.delete(place),
            Deed::Switch(switch) => self.switch(switch),
            Deed::Edit(place, rate, cap) => self.edit(place, rate, cap),
            Deed::DeskIsDeaf => self.state().deaf = true,
            Deed::HangUp => self.hang_up(),
        }
    }

    fn publish(&self, number: usize) {
        let event = &self.scenario.events[number];
        let publication = Publication {
            application: APPLICATION.into(),
            event_type: event.event_type.into(),
            event_id: event.name.clone(),
            deliver_at: event.deliver_at,
            webhook: event.own.map(|mode| Webhook { url: OWN.parse().expect("a url"), mode }),
            payload: event.payload.clone().into(),
            ..Publication::default()
        };
        let batch = [publication];
        self.do_it(|| self.memory().publish(&batch));
        let now = self.now();
        self.state().published[number].get_or_insert(now);
    }

    /// Whether the endpoint was there to be changed.
    fn set_state(&self, place: usize, called: Called, state: EndpointState) {
        if self.state().endpoints[place].called == Called::Deleted {
            return;
        }
        let (endpoint, now) = (&self.scenario.endpoints[place], self.now());
        let (tenant, id) = (endpoint.tenant(), endpoint.id);
        self.do_it(|| self.memory().set_endpoint_state(tenant, id, state, None, now));
        let seen = &mut self.state().endpoints[place];
        (seen.called, seen.changed_at) = (called, now);
        seen.slowed = None; // a person has stepped in
    }

    /// An application holds back what it sends, or sends nothing, or lets everything go on.
    fn switch(&self, switch: DeliverySwitch) {
        let mut settings = Settings { delivery: switch, ..self.scenario.settings.clone() };
        let known = self.do_it(|| self.memory().settings(settings.tenant()));
        settings.revision = known.revision;
        let now = self.now();
        self.do_it(|| self.memory().put_settings(&settings));
        {
            let mut state = self.state();
            (state.switch, state.switched_at) = (switch, now);
            state.was_off |= switch == DeliverySwitch::Off;
        }
        if switch.sends() {
            self.recalls(|| self.memory().recall_held(settings.application, now));
        }
    }

    fn resume(&self, place: usize) {
        self.set_state(place, Called::Yes, EndpointState::Active);
        let (id, now) = (self.scenario.endpoints[place].id, self.now());
        self.recalls(|| self.memory().recall(id, now));
    }

    /// Somebody wants now what waits.
    fn recalls<F: Future<Output = Result<u64, StorageError>>>(&self, recall: impl FnOnce() -> F) {
        let now = self.now();
        let before = self.memory().unfinished();
        self.do_it(recall);
        let mut state = self.state();
        for (key, standing) in before {
            let after = self.memory().standing_of(key).expect("it was there just now");
            if after.turn != standing.turn {
                // A person wants it now, whatever was planned or asked.
                let story = state.stories.entry(key).or_default();
                story.planned.push((after.turn, now));
                story.asked = None;
                story.recalled = true;
            }
        }
    }

    fn delete(&self, place: usize) {
        if self.state().endpoints[place].called == Called::Deleted {
            return;
        }
        let (endpoint, now) = (&self.scenario.endpoints[place], self.now());
        let (tenant, id) = (endpoint.tenant(), endpoint.id);
        self.do_it(|| self.memory().delete_endpoint(tenant, id, now));
        self.do_it(|| self.memory().cancel(id, now));
        let seen = &mut self.state().endpoints[place];
        (seen.called, seen.changed_at) = (Called::Deleted, now);
    }

    fn edit(&self, place: usize, rate: Option<NonZeroU32>, cap: NonZeroU16) {
        if self.state().endpoints[place].called == Called::Deleted {
            return;
        }
        let (id, now) = (self.scenario.endpoints[place].id, self.now());
        let found = self.do_it(|| self.memory().any_endpoint(id));
        let mut endpoint = found.expect("it is not deleted");
        endpoint.throttle_rate = rate;
        endpoint.policy_part.max_in_flight = Some(cap);
        self.do_it(|| self.memory().edit_endpoint(&endpoint));
        let seen = &mut self.state().endpoints[place];
        seen.cap_before = seen.cap;
        (seen.rate, seen.cap, seen.numbers_changed_at) = (rate, cap, now);
    }

    fn hang_up(&self) {
        self.memory().hang_up();
        let now = self.now();
        let mut state = self.state();
        state.deaf = false;
        state.counts.faults += 1;
        state.trouble_at = state.trouble_at.max(now);
    }

    /// Somebody enables who is disabled, to see; and gives up whoever is so again.
    fn sees_to_the_disabled(&self) {
        for place in 0..self.scenario.endpoints.len() {
            let (called, enabled) = {
                let seen = &mut self.state().endpoints[place];
                let disabled = seen.called == Called::Disabled;
                (seen.called, disabled && std::mem::replace(&mut seen.enabled, true))
            };
            match called {
                Called::Disabled if enabled => self.act(Deed::Delete(place)),
                Called::Disabled => self.act(Deed::Resume(place)),
                Called::Yes | Called::Paused | Called::Deleted => {}
            }
        }
    }

    /// Nothing goes wrong from here on, and nobody stays paused.
    fn calms_down(&self) {
        if std::mem::replace(&mut self.state().calm, true) {
            return;
        }
        if self.state().deaf {
            self.hang_up(); // a connection that hears nothing is found out
        }
        for place in 0..self.scenario.endpoints.len() {
            if self.state().endpoints[place].called == Called::Paused {
                self.act(Deed::Resume(place));
            }
        }
        if !self.state().switch.sends() {
            self.act(Deed::Switch(DeliverySwitch::On));
        }
    }
}
