//! Gives deliveries leave to be sent: a lane per endpoint, one task that owns them all.
//!
//! A delivery is offered to its endpoint's lane. The lane starts it, holds it for a moment, or says
//! when to come back; in that last case it is postponed and costs the window nothing more. The
//! number of requests on the way over all lanes is bounded too, and so is that to one host; lanes that
//! could start but for such a bound take turns.
//!
//! URLs that events name have a lane for each host and application: as many as events in the window name,
//! and those that were in use a moment ago.
//!
//! The dispatcher keeps nothing that matters: what is in a lane has its share of a receipt, and what
//! is dropped here comes again.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::info;

use super::recall::Recaller;
use super::route::Routes;
use super::send::Courier;
use super::settle::Settler;
use super::starting::Starting;
use super::{Job, World};
use crate::domain::breaker::Turned;
use crate::domain::delivery::{Delivery, Turn};
use crate::domain::destination::Destinations;
use crate::domain::endpoint::Endpoint;
use crate::domain::id::EndpointId;
use crate::domain::lane::{Lane, Permit, Refused};
use crate::domain::leave::instead;
use crate::domain::outcome::Sign;
use crate::domain::policy::Guarantee;
use crate::domain::retry::Chance;
use crate::domain::settlement::Settlement;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics::Metrics;

/// Messages taken from the queue before time is looked at again.
const BATCH_MAX: usize = 256;

/// Longest sleep of the dispatcher: it has nothing to do, but idle lanes are cleared away.
const IDLE: Duration = Duration::from_secs(30);

/// Lanes that are kept although nothing is in them: beyond, one that leads to a host which only events name
/// is forgotten as soon as it is empty.
///
/// 10,000: some megabytes. There may be more endpoints than that, and they are people's; but whoever
/// publishes can name a new host with each event.
const KEPT_MAX: usize = 10_000;

/// Speaks to the dispatcher. Its queue needs no bound: each message is about a delivery that has a
/// place in the window, or a request on the way, and there are at most three about each.
#[derive(Debug, Clone)]
pub struct Dispatcher(UnboundedSender<Message>);

#[derive(Debug)]
enum Message {
    Offer(Job),
    HoldUntil(Timestamp, Job),
    Begun(EndpointId),
    Finished(Ended),
    CatalogueChanged(oneshot::Sender<()>),
    Stop,
}

/// A request that has ended.
#[derive(Debug)]
struct Ended {
    endpoint: EndpointId,
    /// Where it went: the endpoint may have been edited since.
    host: Arc<str>,
    permit: Permit,
    took: Duration,
    /// What its end said about the endpoint.
    sign: Sign,
}

impl Dispatcher {
    /// A dispatcher's address, and its letter box.
    pub fn address() -> (Self, Letters) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Letters(receiver))
    }

    /// Offers a delivery that may be sent now.
    pub fn offer(&self, job: Job) {
        self.post(Message::Offer(job));
    }

    /// Offers a delivery that may be sent soon, within [`crate::domain::lane::HOLD_MAX`].
    ///
    /// # Errors
    /// The delivery, when the dispatcher has stopped: then it belongs on the ladder.
    pub fn hold_until(&self, due_at: Timestamp, job: Job) -> Result<(), Box<Job>> {
        match self.0.send(Message::HoldUntil(due_at, job)) {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendError(Message::HoldUntil(_, job))) => Err(Box::new(job)),
            Err(_) => unreachable!("a message that could not be sent comes back as it was"),
        }
    }

    /// Says that endpoints may have changed. When it returns, every request that was let go by what was
    /// known before has begun, and none begins by it any more.
    pub async fn catalogue_changed(&self) {
        let (tell, told) = oneshot::channel();
        self.post(Message::CatalogueChanged(tell));
        let _ = told.await; // a dispatcher that has stopped starts nothing
    }

    /// Says the same, and waits for nothing.
    pub fn catalogue_moved(&self) {
        let (tell, _) = oneshot::channel();
        self.post(Message::CatalogueChanged(tell));
    }

    /// Starts nothing more, hands on what is held, and ends when nothing is on the way.
    pub fn stop(&self) {
        self.post(Message::Stop);
    }

    fn post(&self, message: Message) {
        // Nobody is there only after a stop; what the message carried then comes again.
        let _ = self.0.send(message);
    }
}

/// The dispatcher's letter box.
#[derive(Debug)]
pub struct Letters(UnboundedReceiver<Message>);

/// The stage.
pub struct Dispatch {
    /// Where endpoints are looked up.
    pub routes: Routes,
    /// What is told to whoever sends: where permits go back to.
    pub dispatcher: Dispatcher,
    /// Who makes requests.
    pub courier: Arc<Courier>,
    /// Who hears of what was not sent.
    pub settler: Settler,
    /// Clock and chance.
    pub world: World,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Requests that may be on the way at the same time, to all endpoints together.
    pub max_in_flight: usize,
    /// Those of them that may be to one host.
    pub max_in_flight_per_host: usize,
    /// Who brings back what waited for a circuit.
    pub recaller: Recaller,
}

/// The dispatcher at work.
struct Lanes {
    stage: Dispatch,
    /// In order, so that going through them is the same in each run of the same traffic.
    by_endpoint: BTreeMap<EndpointId, Lane<Job>>,
    /// Whom each lane leads to, as last seen.
    leads_to: HashMap<EndpointId, Arc<Endpoint>>,
    /// When to look at a lane again.
    alarms: BTreeSet<(Timestamp, EndpointId)>,
    alarm_of: HashMap<EndpointId, Timestamp>,
    /// Held by every request that was let go since the catalogue changed last, until it has begun.
    starting: Starting,
    /// Lanes with a rate whose last request was let go and has not begun: what is put on record first begins
    /// when the record is there, and several that waited for it would begin together.
    beginning: BTreeSet<EndpointId>,
    /// Lanes that could start if there were room, in turn.
    starved: VecDeque<EndpointId>,
    in_flight: usize,
    /// The same by host, and lanes that could start if there were room at theirs.
    destinations: Destinations,
    swept_at: Timestamp,
    stopping: bool,
}

impl Dispatch {
    /// Serves the letter box until it was told to stop and nothing is on the way.
    pub async fn run(self, letters: Letters) {
        let mut lanes = Lanes {
            destinations: Destinations::new(self.max_in_flight_per_host),
            stage: self,
            by_endpoint: BTreeMap::new(),
            leads_to: HashMap::new(),
            alarms: BTreeSet::new(),
            alarm_of: HashMap::new(),
            starting: Starting::default(),
            beginning: BTreeSet::new(),
            starved: VecDeque::new(),
            in_flight: 0,
            swept_at: Timestamp::default(),
            stopping: false,
        };
        lanes.run(letters.0).await;
    }
}

impl Lanes {
    async fn run(&mut self, mut letters: UnboundedReceiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while !(self.stopping && self.in_flight == 0) {
            let sleep = self.alarms.first().map_or(IDLE, |(at, _)| {
                at.since(self.stage.world.now()).clamp(Duration::from_millis(1), IDLE)
            });
            // A time-out is not an error here: it is the next alarm.
            let read = letters.recv_many(&mut batch, BATCH_MAX);
            if tokio::time::timeout(sleep, read).await == Ok(0) {
                return;
            }
            let now = self.stage.world.now();
            for message in batch.drain(..) {
                self.hear(message, now);
            }
            self.ring(now);
            self.share_room(now);
            self.clear_away_idle_lanes(now);
            self.stage.metrics.in_flight(self.in_flight);
        }
    }

    fn hear(&mut self, message: Message, now: Timestamp) {
        match message {
            Message::Offer(job) => self.offer(job, now),
            Message::HoldUntil(due_at, job) => self.hold(due_at, job, now),
            Message::Begun(id) => {
                self.beginning.remove(&id);
                self.move_on(id, now);
            }
            Message::Finished(Ended { endpoint, host, permit, took, sign }) => {
                self.in_flight -= 1;
                self.destinations.finish(&host);
                self.take_back(endpoint, permit, took, sign, now);
                self.call_next_at(&host);
                self.move_on(endpoint, now);
            }
            Message::CatalogueChanged(heard) => {
                self.adjust(now);
                self.starting.tell_when_begun(heard);
            }
            Message::Stop => self.stop(),
        }
    }

    fn offer(&mut self, job: Job, now: Timestamp) {
        let id = job.delivery.endpoint;
        if self.stopping {
            return; // its share is dropped: it comes again
        }
        let Some(lane) = self.lane(&job.delivery) else {
            self.stage.settler.refused(job, Settlement::Cancelled);
            return;
        };
        if job.trigger.is_by_hand() {
            lane.try_now(now);
        }
        let offered =
            if stands_behind(&job) { lane.offer_behind(job, now) } else { lane.offer(job, now) };
        match offered {
            Ok(()) => self.move_on(id, now),
            Err(refused) => self.postpone(refused),
        }
    }

    /// Gives a lane its permit back, and tells what has become of its circuit.
    fn take_back(
        &mut self,
        id: EndpointId,
        permit: Permit,
        took: Duration,
        sign: Sign,
        now: Timestamp,
    ) {
        let chance = Chance::from_bits(self.stage.world.chance());
        let lane = self.by_endpoint.get_mut(&id);
        let lane = lane.expect("a lane with a permit out is kept");
        let Some(turned) = lane.finished(permit, took, sign, now, chance) else { return };
        self.stage.metrics.circuit_turned(turned);
        match turned {
            Turned::Open(until) => {
                info!(endpoint_id = %id, until = %until, "circuit open: it does nothing but fail");
            }
            Turned::HalfOpen => info!(endpoint_id = %id, "circuit half open: the probe succeeded"),
            Turned::Closed => {
                info!(endpoint_id = %id, "circuit closed: what waits for it is brought back");
                self.stage.recaller.bring_back(id, lane.interval(now));
            }
        }
    }

    fn hold(&mut self, due_at: Timestamp, job: Job, now: Timestamp) {
        let id = job.delivery.endpoint;
        if self.stopping {
            self.stage.settler.put_off(job, due_at);
            return;
        }
        let Some(lane) = self.lane(&job.delivery) else {
            self.stage.settler.refused(job, Settlement::Cancelled);
            return;
        };
        let held = if stands_behind(&job) {
            lane.hold_behind_until(due_at, job)
        } else {
            lane.hold_until(due_at, job)
        };
        match held {
            Ok(()) => self.move_on(id, now),
            Err(job) => self.stage.settler.put_off(job, due_at),
        }
    }

    /// The delivery's lane, made when it is first needed; `None` when its endpoint is gone.
    fn lane(&mut self, delivery: &Delivery) -> Option<&mut Lane<Job>> {
        use std::collections::btree_map::Entry;
        match self.by_endpoint.entry(delivery.endpoint) {
            Entry::Occupied(lane) => Some(lane.into_mut()),
            Entry::Vacant(place) => {
                let table = self.stage.routes.table();
                let endpoint = table.destination(&delivery.event, delivery.endpoint)?;
                let lane = Lane::new(endpoint.throttle_rate, endpoint.policy.max_in_flight);
                self.leads_to.insert(delivery.endpoint, endpoint);
                Some(place.insert(lane))
            }
        }
    }

    /// Starts what a lane may start, sends away what has waited too long, and sets its alarm.
    fn move_on(&mut self, id: EndpointId, now: Timestamp) {
        loop {
            let Some(lane) = self.by_endpoint.get_mut(&id) else { return };
            if let Some(refused) = lane.expelled(now) {
                self.postpone(refused);
                continue;
            }
            // Also when there is room but others have waited for it longer: or a lane would take again
            // what its own requests left, and those of a slow endpoint would keep everybody out.
            if self.in_flight >= self.stage.max_in_flight || !self.starved.is_empty() {
                if lane.waiting() > 0 && !self.starved.contains(&id) {
                    self.starved.push_back(id);
                }
                break;
            }
            if self.beginning.contains(&id) {
                break;
            }
            let waiting = lane.waiting() > 0;
            let to = self.leads(id);
            let host = host_of(to.as_deref());
            if !self.destinations.may_start(host) {
                if waiting {
                    self.destinations.wait(host, id);
                }
                break;
            }
            let lane = self.by_endpoint.get_mut(&id).expect("it was there just now");
            let Some((permit, job)) = lane.next(now) else { break };
            self.start(permit, job, now);
        }
        self.set_alarm(id);
        self.forget_if_spare(id);
    }

    /// Whom a lane leads to; `None` when that is gone. Of URLs that events name it is the one that was called
    /// last: their host is the same.
    fn leads(&self, id: EndpointId) -> Option<Arc<Endpoint>> {
        let table = self.stage.routes.table();
        let known = table.endpoint(id).map(Arc::clone);
        known.or_else(|| {
            let last = self.leads_to.get(&id).filter(|last| table.still_names(last));
            last.map(Arc::clone)
        })
    }

    fn start(&mut self, permit: Permit, job: Job, now: Timestamp) {
        let id = job.delivery.endpoint;
        let table = self.stage.routes.table();
        // Looked up at the last moment: an edit holds from the next attempt on.
        let endpoint = table.destination(&job.delivery.event, id);
        let held = table.holds(job.delivery.event.application);
        let instead = match &endpoint {
            None => Some(Settlement::Cancelled),
            Some(endpoint) => instead(endpoint, held, &job.delivery.event, job.trigger, now),
        };
        if let Some(settlement) = instead {
            self.stage.settler.refused(job, settlement);
            self.take_back(id, permit, Duration::ZERO, Sign::NONE, now);
            return;
        }
        let endpoint = endpoint.expect("or it would have been taken back");
        // What its answer will say is said of this endpoint, though the change may be heard of later.
        let before = self.leads_to.insert(id, Arc::clone(&endpoint));
        if before.is_some_and(|it| is_another(&it, &endpoint)) {
            self.by_endpoint.get_mut(&id).expect("the permit came from it").forgive();
        }
        self.in_flight += 1;
        let host = self.destinations.start(host_of(Some(&endpoint)));
        self.stage.metrics.attempt_starts(&job.delivery, now.since(job.ready_at));
        let courier = Arc::clone(&self.stage.courier);
        let waits_for_record = endpoint.policy.guarantee == Guarantee::AtMostOnce;
        let told = (waits_for_record && endpoint.throttle_rate.is_some()).then(|| {
            self.beginning.insert(id);
            Begins { dispatcher: self.stage.dispatcher.clone(), endpoint: id }
        });
        let begins = (self.starting.clone(), told);
        let mut outstanding = Outstanding {
            dispatcher: self.stage.dispatcher.clone(),
            endpoint: id,
            host,
            permit: Some(permit),
            begun: Instant::now(),
            sign: Sign::NONE,
        };
        tokio::spawn(async move {
            outstanding.sign = courier.deliver(job, endpoint, begins).await;
            drop(outstanding);
        });
    }

    fn postpone(&mut self, Refused { job, due, why }: Refused<Job>) {
        self.stage.settler.refused(job, Settlement::Postpone(due, why));
    }

    /// Looks at every lane whose alarm has come.
    fn ring(&mut self, now: Timestamp) {
        // Each once: a lane may set its next alarm for this same moment, and that one is for later.
        let mut due = Vec::new();
        while let Some((at, id)) = self.alarms.first().copied()
            && at <= now
        {
            self.alarms.pop_first();
            self.alarm_of.remove(&id);
            due.push(id);
        }
        for id in due {
            self.move_on(id, now);
        }
    }

    /// Gives lanes that were short of room their turn.
    fn share_room(&mut self, now: Timestamp) {
        while self.in_flight < self.stage.max_in_flight
            && let Some(id) = self.starved.pop_front()
        {
            let to = self.leads(id);
            let host = host_of(to.as_deref());
            if !self.destinations.has_room(host) {
                if self.by_endpoint.get(&id).is_some_and(|lane| lane.waiting() > 0) {
                    self.destinations.wait(host, id);
                }
                self.set_alarm(id);
                continue;
            }
            // One each, then to the end of the queue: nobody takes all that became free.
            if !self.beginning.contains(&id)
                && let Some(lane) = self.by_endpoint.get_mut(&id)
                && let Some((permit, job)) = lane.next(now)
            {
                self.start(permit, job, now);
                if self.by_endpoint.get(&id).is_some_and(|lane| lane.waiting() > 0) {
                    self.starved.push_back(id);
                }
            }
            self.call_next_at(host); // where this one took nothing, or one only
            self.set_alarm(id);
        }
    }

    /// Lets the lane whose turn it is at a host take its turn among all, if there is room there.
    fn call_next_at(&mut self, host: &str) {
        while let Some(next) = self.destinations.next(host) {
            if self.by_endpoint.get(&next).is_none_or(|lane| lane.waiting() == 0) {
                continue; // what waited there was sent away, or taken back
            }
            if !self.starved.contains(&next) {
                self.starved.push_back(next);
            }
            if host_of(self.leads(next).as_deref()) == host {
                break; // else it was edited, and the room is another's
            }
        }
    }

    fn set_alarm(&mut self, id: EndpointId) {
        let may_start = self.in_flight < self.stage.max_in_flight
            && !self.beginning.contains(&id)
            && self.destinations.has_room(host_of(self.leads(id).as_deref()));
        let wanted = self.by_endpoint.get(&id).and_then(|lane| lane.wake_at(may_start));
        if self.alarm_of.get(&id).copied() == wanted {
            return;
        }
        if let Some(old) = self.alarm_of.remove(&id) {
            self.alarms.remove(&(old, id));
        }
        if let Some(at) = wanted {
            self.alarms.insert((at, id));
            self.alarm_of.insert(id, at);
        }
    }

    /// Takes over edited endpoints; what waits for one that is gone is taken back.
    fn adjust(&mut self, now: Timestamp) {
        let table = self.stage.routes.table();
        let ids: Vec<EndpointId> = self.by_endpoint.keys().copied().collect();
        for id in ids {
            let lane = self.by_endpoint.get_mut(&id).expect("its key was just read");
            let last = self.leads_to.get(&id).expect("a lane leads somewhere");
            match table.anew(last) {
                Some(endpoint) => {
                    lane.adjust(endpoint.throttle_rate, endpoint.policy.max_in_flight);
                    // What was asked for was asked by another URL, or before a person stepped in.
                    if is_another(last, &endpoint) {
                        lane.forgive();
                    }
                    self.leads_to.insert(id, endpoint);
                }
                None => {
                    for job in lane.clear() {
                        self.stage.settler.refused(job, Settlement::Cancelled);
                    }
                }
            }
            self.move_on(id, now);
        }
    }

    /// What has not started goes back where it came from; what is held goes on the ladder.
    fn stop(&mut self) {
        self.stopping = true;
        self.alarms.clear();
        for lane in self.by_endpoint.values_mut() {
            for job in lane.clear() {
                let due_at = job.ready_at;
                if job.delivery.turn == Turn::FIRST || job.trigger.is_by_hand() {
                    // Never settled: its event comes again, to another router or to us. What a person asked
                    // for is claimed again when its lease has ended.
                    drop(job);
                } else {
                    self.stage.settler.put_off(job, due_at);
                }
            }
        }
    }

    /// Forgets an empty lane of a host that events name, when there are many. It has no rate to keep; what it
    /// was asked for is forgotten with it, and asked again.
    fn forget_if_spare(&mut self, id: EndpointId) {
        if self.by_endpoint.len() <= KEPT_MAX {
            return;
        }
        let empty = self
            .by_endpoint
            .get(&id)
            .is_some_and(|lane| lane.in_flight() == 0 && lane.waiting() == 0);
        if empty && self.leads_to.get(&id).is_some_and(|to| to.is_named_by_events()) {
            self.by_endpoint.remove(&id);
            self.leads_to.remove(&id);
            self.set_alarm(id);
        }
    }

    /// Forgets lanes that nothing has been in for a while; not at once, or their limiters would forget
    /// the last second.
    fn clear_away_idle_lanes(&mut self, now: Timestamp) {
        if now.since(self.swept_at) >= IDLE {
            self.swept_at = now;
            self.by_endpoint.retain(|_, lane| !lane.is_idle_since(now - IDLE));
            self.leads_to.retain(|id, _| self.by_endpoint.contains_key(id));
        }
    }
}

/// A request on the way: its permit goes back however it ends, by a panic too.
struct Outstanding {
    dispatcher: Dispatcher,
    endpoint: EndpointId,
    host: Arc<str>,
    permit: Option<Permit>,
    begun: Instant,
    sign: Sign,
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.dispatcher.post(Message::Finished(Ended {
                endpoint: self.endpoint,
                host: Arc::clone(&self.host),
                permit,
                took: self.begun.elapsed(),
                sign: self.sign,
            }));
        }
    }
}

/// A request that the next of its lane waits for until it has begun: tells when it is dropped.
struct Begins {
    dispatcher: Dispatcher,
    endpoint: EndpointId,
}

impl Drop for Begins {
    fn drop(&mut self) {
        self.dispatcher.post(Message::Begun(self.endpoint));
    }
}

/// Whether live traffic goes before it: what a replay has offered, unless a person asked for it by name.
const fn stands_behind(job: &Job) -> bool {
    job.delivery.replayed && !job.trigger.is_by_hand()
}

/// Where an endpoint's requests go; one that is gone has none on the way.
fn host_of(to: Option<&Endpoint>) -> &str {
    to.and_then(|endpoint| endpoint.url.host_str()).unwrap_or_default()
}

/// Whether what was said of the one does not hold for the other, which has the same id. Each event may name
/// another URL at the same host: they are one receiver.
fn is_another(before: &Endpoint, now: &Endpoint) -> bool {
    before.state != now.state || (before.url != now.url && !now.is_named_by_events())
}
