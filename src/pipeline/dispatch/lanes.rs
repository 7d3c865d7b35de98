//! The dispatcher at work: every lane, and what they have to share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;

use super::outstanding::{Begins, Ended, Outstanding};
use super::{Dispatch, Message};
use crate::domain::breaker::Turned;
use crate::domain::crowd::{Crowd, Weight};
use crate::domain::delivery::{Delivery, Turn};
use crate::domain::destination::Destinations;
use crate::domain::endpoint::{Endpoint, EndpointState};
use crate::domain::id::EndpointId;
use crate::domain::lane::{Lane, Numbers, Permit, Refused};
use crate::domain::leave::instead;
use crate::domain::outcome::Sign;
use crate::domain::policy::Guarantee;
use crate::domain::retry::{Chance, Due};
use crate::domain::room::{Room, Standing};
use crate::domain::settlement::{Postponed, Settlement};
use crate::domain::time::Timestamp;
use crate::pipeline::Job;
use crate::pipeline::route::Table;
use crate::pipeline::starting::Starting;

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

/// The dispatcher at work.
pub(super) struct Lanes {
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
    /// Requests on the way, and lanes that could start if there were room.
    room: Room,
    /// What is in lanes and on the way, by application.
    crowd: Crowd,
    /// Requests on the way by host, and lanes that could start if there were room at theirs.
    destinations: Destinations,
    /// Routers that share what endpoints may be sent, as last heard.
    among: Option<NonZeroU16>,
    /// The index that lanes were adjusted to last.
    adjusted_to: Arc<Table>,
    swept_at: Timestamp,
    stopping: bool,
}

impl Lanes {
    /// None yet.
    pub(super) fn of(stage: Dispatch) -> Self {
        Self {
            destinations: Destinations::new(stage.max_in_flight_per_host),
            crowd: Crowd::new(
                stage.max_of_one_application,
                stage.max_payload_bytes_of_one_application,
            ),
            among: None,
            adjusted_to: stage.routes.table(),
            room: Room::new(stage.max_in_flight),
            stage,
            by_endpoint: BTreeMap::new(),
            leads_to: HashMap::new(),
            alarms: BTreeSet::new(),
            alarm_of: HashMap::new(),
            starting: Starting::default(),
            beginning: BTreeSet::new(),
            swept_at: Timestamp::default(),
            stopping: false,
        }
    }

    /// Serves the letter box until it was told to stop and nothing is on the way.
    pub(super) async fn run(&mut self, mut letters: UnboundedReceiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while !(self.stopping && self.room.in_flight() == 0) {
            let sleep = self.alarms.first().map_or(IDLE, |(at, _)| {
                at.since(self.stage.world.now()).clamp(Duration::from_millis(1), IDLE)
            });
            let read = letters.recv_many(&mut batch, BATCH_MAX);
            tokio::select! {
                biased; // what there is to hear comes first: it may end a request
                count = read => if count == 0 { return },
                () = changed(&mut self.stage.routers_here) => {}
                () = tokio::time::sleep(sleep) => {} // the next alarm
            }
            let now = self.stage.world.now();
            self.share_anew(now);
            for message in batch.drain(..) {
                self.hear(message, now);
            }
            self.ring(now);
            self.share_room(now);
            self.clear_away_idle_lanes(now);
            self.stage.metrics.in_flight(self.room.in_flight());
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
            Message::Finished(Ended { endpoint, host, weight, permit, taken, took, sign }) => {
                self.room.finish(taken);
                self.crowd.left(weight, now);
                self.destinations.finish(&host);
                self.take_back(endpoint, permit, took, sign, now);
                self.call_next_at(&host, now);
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
        let weight = weight(&job);
        if !job.trigger.is_by_hand() {
            let was_put_off = job.delivery.turn != Turn::FIRST;
            if let Err(at) = self.crowd.admits(weight, was_put_off, now) {
                let due = Due::exactly(at);
                return self.postpone(Refused { job, due, why: Postponed::Crowded });
            }
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
            Ok(()) => {
                self.crowd.entered(weight);
                self.move_on(id, now);
            }
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
        self.stage.circuits.turned(id, turned, now);
        match turned {
            Turned::Open(until) => {
                info!(endpoint_id = %id, until = %until, "circuit open: it does nothing but fail");
            }
            Turned::HalfOpen => info!(endpoint_id = %id, "circuit half open: the probe succeeded"),
            Turned::Closed => {
                info!(endpoint_id = %id, "circuit closed: what waits for it is brought back");
                self.stage.recaller.bring_back(id, lane.interval_of_all(now));
            }
        }
    }

    fn hold(&mut self, due_at: Timestamp, job: Job, now: Timestamp) {
        let id = job.delivery.endpoint;
        if self.stopping {
            self.stage.settler.put_off(job, due_at);
            return;
        }
        let weight = weight(&job);
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
            Ok(()) => {
                self.crowd.entered(weight);
                self.move_on(id, now);
            }
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
                let lane = Lane::new(Numbers::of(&endpoint, self.among));
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
                self.crowd.left(weight(&refused.job), now);
                self.postpone(refused);
                continue;
            }
            let (waiting, standing) = (lane.waiting() > 0, lane.standing(now));
            if !self.room.may_start(standing) {
                if waiting {
                    self.room.wait(id, standing);
                }
                break;
            }
            if self.beginning.contains(&id) {
                break;
            }
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
            self.start(permit, standing, job, now);
        }
        self.set_alarm(id, now);
        self.forget_if_spare(id, now);
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

    fn start(&mut self, permit: Permit, standing: Standing, job: Job, now: Timestamp) {
        let id = job.delivery.endpoint;
        let table = self.stage.routes.table();
        // Looked up at the last moment: an edit holds from the next attempt on.
        let endpoint = table.destination(&job.delivery.event, id);
        let held = table.holds(job.delivery.event.application);
        let instead = match &endpoint {
            None => Some(Settlement::Cancelled),
            Some(endpoint) => instead(endpoint, held, &job.delivery.event, job.trigger, now),
        };
        let weight = weight(&job);
        if let Some(settlement) = instead {
            self.crowd.left(weight, now);
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
        let taken = self.room.start(standing);
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
            weight,
            leave: Some((permit, taken)),
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
        while let Some(id) = self.room.call_next() {
            let Some(lane) = self.by_endpoint.get(&id) else { continue };
            let (waiting, standing) = (lane.waiting() > 0, lane.standing(now));
            let to = self.leads(id);
            let host = host_of(to.as_deref());
            if waiting && !self.room.has_room(standing) {
                self.room.wait(id, standing); // it is of the other kind by now
            } else if waiting && !self.destinations.has_room(host) {
                self.destinations.wait(host, id);
            } else if waiting && !self.beginning.contains(&id) {
                // One each, then to the end of the queue: nobody takes all that became free.
                let lane = self.by_endpoint.get_mut(&id).expect("it was there just now");
                if let Some((permit, job)) = lane.next(now) {
                    self.start(permit, standing, job, now);
                    let lane = self.by_endpoint.get(&id).filter(|lane| lane.waiting() > 0);
                    if let Some(standing) = lane.map(|lane| lane.standing(now)) {
                        self.room.wait(id, standing);
                    }
                }
            }
            self.call_next_at(host, now); // where this one took nothing, or one only
            self.set_alarm(id, now);
        }
    }

    /// Lets the lane whose turn it is at a host take its turn among all, if there is room there.
    fn call_next_at(&mut self, host: &str, now: Timestamp) {
        while let Some(next) = self.destinations.next(host) {
            let Some(lane) = self.by_endpoint.get(&next).filter(|lane| lane.waiting() > 0) else {
                continue; // what waited there was sent away, or taken back
            };
            self.room.wait(next, lane.standing(now));
            if host_of(self.leads(next).as_deref()) == host {
                break; // else it was edited, and the room is another's
            }
        }
    }

    fn set_alarm(&mut self, id: EndpointId, now: Timestamp) {
        let lane = self.by_endpoint.get(&id);
        let may_start = lane.is_some_and(|lane| self.room.has_room(lane.standing(now)))
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

    /// Takes over another number of routers, if it has changed.
    fn share_anew(&mut self, now: Timestamp) {
        let among = *self.stage.routers_here.borrow_and_update();
        if among != self.among {
            self.stage.metrics.routers(among);
            info!(
                routers = among.map_or(0, NonZeroU16::get),
                "endpoints' rates and caps are shared anew"
            );
            self.among = among;
            self.adjust(now);
        }
    }

    /// Takes over edited endpoints; what waits for one that is gone is taken back.
    fn adjust(&mut self, now: Timestamp) {
        let table = self.stage.routes.table();
        for endpoint in table.changed_since(&self.adjusted_to) {
            if let Some(before) = self.adjusted_to.endpoint(endpoint.id) {
                self.recall_if_wider(before, endpoint, now);
            }
        }
        self.adjusted_to = Arc::clone(&table);
        let ids: Vec<EndpointId> = self.by_endpoint.keys().copied().collect();
        for id in ids {
            let last = self.leads_to.get(&id).expect("a lane leads somewhere");
            let lane = self.by_endpoint.get_mut(&id).expect("its key was just read");
            match table.anew(last) {
                Some(endpoint) => {
                    lane.adjust(Numbers::of(&endpoint, self.among));
                    // What was asked for was asked by another URL, or before a person stepped in.
                    if is_another(last, &endpoint) {
                        lane.forgive();
                    }
                    if endpoint.is_named_by_events() {
                        self.recall_if_wider(last, &endpoint, now); // no table knows it
                    }
                    self.leads_to.insert(id, endpoint);
                }
                None => {
                    for job in lane.clear() {
                        self.crowd.left(weight(&job), now);
                        self.stage.settler.refused(job, Settlement::Cancelled);
                    }
                }
            }
            self.move_on(id, now);
        }
        self.show_circuits();
    }

    /// Takes those off the board that are closed because somebody stepped in, and those that are gone.
    fn show_circuits(&self) {
        let lanes = &self.by_endpoint;
        self.stage.circuits.keep(|id| lanes.get(&id).is_some_and(Lane::is_tripped));
    }

    /// Has what waits for room at an endpoint brought back, if there is more of it by what it is now.
    fn recall_if_wider(&self, before: &Endpoint, now_is: &Endpoint, now: Timestamp) {
        let numbers = Numbers::of(now_is, self.among);
        let wider = numbers.are_wider_than(&Numbers::of(before, self.among));
        if now_is.state == EndpointState::Active && (wider || is_another(before, now_is)) {
            // One that was edited to take more is taken at its word, whatever it did before.
            let interval = Lane::<Job>::new(numbers).interval_of_all(now);
            self.stage.recaller.bring_back(now_is.id, interval);
        }
    }

    /// What has not started goes back where it came from; what is held goes on the ladder.
    fn stop(&mut self) {
        self.stopping = true;
        self.alarms.clear();
        for lane in self.by_endpoint.values_mut() {
            for job in lane.clear() {
                let due_at = job.ready_at;
                let comes_again = job.delivery.turn == Turn::FIRST && !job.share.is_taken_over();
                if comes_again || job.trigger.is_by_hand() {
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
    fn forget_if_spare(&mut self, id: EndpointId, now: Timestamp) {
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
            self.set_alarm(id, now);
        }
    }

    /// Forgets lanes that nothing has been in for a while; not at once, or their limiters would forget
    /// the last second.
    fn clear_away_idle_lanes(&mut self, now: Timestamp) {
        if now.since(self.swept_at) >= IDLE {
            self.swept_at = now;
            self.by_endpoint.retain(|_, lane| !lane.is_idle_since(now - IDLE));
            self.leads_to.retain(|id, _| self.by_endpoint.contains_key(id));
            self.crowd.forget_the_absent();
            self.show_circuits();
        }
    }
}

/// Waits until another number of routers is known: for ever, where there is only one.
async fn changed(routers: &mut watch::Receiver<Option<NonZeroU16>>) {
    if routers.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Whether live traffic goes before it: what a replay has offered, unless a person asked for it by name.
const fn stands_behind(job: &Job) -> bool {
    job.delivery.replayed && !job.trigger.is_by_hand()
}

/// What a delivery takes of its application's part.
fn weight(job: &Job) -> Weight {
    let event = &job.delivery.event;
    Weight { application: event.application, bytes: event.payload.len() }
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
