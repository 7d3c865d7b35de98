//! What is checked at the moment when it happens: each request, each acceptance and each settlement,
//! against what was published, what people have edited and what is on record.

use std::time::Duration;

use posthaste::domain::delivery::{Delivery, DeliveryKey, DeliveryState, Standing, Turn};
use posthaste::domain::event::{Event, WebhookMode};
use posthaste::domain::id::{EndpointId, EventId};
use posthaste::domain::lane::SLOWED_MAX;
use posthaste::domain::outcome::{Meaning, Outcome, Pressure, RetryAfter};
use posthaste::domain::policy::{Guarantee, OnExhausted, Policy};
use posthaste::domain::retry::RetryPolicy;
use posthaste::domain::settings::DefaultUrlWhen;
use posthaste::domain::settlement::{DeathReason, Settlement};
use posthaste::domain::signature;
use posthaste::domain::time::Timestamp;
use posthaste::egress::Request;
use posthaste::storage::journal::{Owed, Recorded, Settled};

use super::ports::not_before;
use super::receivers::Behaviour;
use super::world::{Called, Seen, Slowed, State, World};

/// How long a router may not know of an edit: the README says so.
const UNKNOWN_FOR: Duration = Duration::from_millis(250);

const SECOND: Duration = Duration::from_secs(1);

/// A lane that nothing has been in for so long may be forgotten.
const LANE_KEPT: Duration = Duration::from_secs(30);

/// How long behind the end of all trouble a receiver goes on as it did; then it is well.
///
/// Two hours: every schedule here has come to its end by then, for those whose circuit let it. What waits for a circuit
/// costs no attempt, and would wait for ever for one that is never mended.
const MENDED_AFTER: Duration = Duration::from_hours(2);

impl World {
    /// A request has come: which delivery it is for, and what happens to it. `None` when we are dead.
    pub(crate) fn request_begins(
        &self,
        request: &Request,
    ) -> Option<(DeliveryKey, Duration, Outcome)> {
        let now = self.now();
        let mut guard = self.state();
        let state = &mut *guard;
        if state.dead {
            return None;
        }
        let (place, key) = self.addressed(state, request)?;
        // What was let go at most once is on its way while it is put on record.
        let since = state.stories.get(&key).and_then(|story| story.let_go_at).unwrap_or(now);
        if let Err(fault) = self
            .is_whole(state, request, place, key)
            .and_then(|()| may_leave(state, since))
            .and_then(|()| may_be_called(state, place, now, since))
            .and_then(|()| self.is_its_turn(state, place, key, now))
        {
            let name = self.name(state, key);
            self.breach(state, format_args!("a request of {name} {fault}"));
        }
        state.counts.requests += 1;
        state.touched.insert(key);
        let seen = &mut state.endpoints[place];
        seen.open += 1;
        seen.starts.push(now);
        let story = state.stories.entry(key).or_default();
        story.requests += 1;
        story.open += 1;
        let number = story.requests;
        let mended = now.since(self.scenario.ends_at) > MENDED_AFTER;
        let behaviour = if mended { Behaviour::Well } else { self.scenario.behaviours[place] };
        let (wait, outcome) = behaviour.answer(now, request.timeout, &mut state.receivers);
        let name = self.name(state, key);
        self.note(state, format_args!("request {number} of {name}"));
        Some((key, wait, outcome))
    }

    /// The answer is out.
    pub(crate) fn request_answered(&self, key: DeliveryKey, outcome: &Outcome) {
        let now = self.now();
        let mut state = self.state();
        let name = self.name(&state, key);
        self.note(&mut state, format_args!("answer to {name}: {}", outcome.class()));
        let story = state.stories.get_mut(&key).expect("its request has begun");
        match outcome.meaning() {
            Meaning::Delivered => story.succeeded = true,
            Meaning::Gone => story.refused_for_good = true,
            Meaning::Failed | Meaning::Refused | Meaning::NotTheirDoing => {
                story.asked = outcome.retry_after().map(|asked| moment(asked, now));
            }
        }
        let place = state.place(key.endpoint).expect("its request has begun");
        let seen = &mut state.endpoints[place];
        let until = seen.slowed.map_or(now, |slowed| slowed.until);
        match outcome.sign(outcome.meaning()).pressure {
            Pressure::Eased if until <= now => seen.slowed = None,
            Pressure::Eased | Pressure::Overrun | Pressure::Unsaid => {}
            Pressure::SlowDown(asked) => {
                let again = until <= now;
                let least = asked
                    .map_or(now + if again { SECOND } else { Duration::ZERO }, |asked| {
                        moment(asked, now).min(now + SLOWED_MAX)
                    });
                seen.slowed = Some(Slowed { said_at: now, until: until.max(least) });
            }
        }
    }

    /// The request is over, answered or cut off.
    pub(crate) fn request_ends(&self, key: DeliveryKey) {
        let mut state = self.state();
        let place = state.place(key.endpoint).expect("its request has begun");
        state.endpoints[place].open -= 1;
        state.stories.get_mut(&key).expect("its request has begun").open -= 1;
    }

    /// Which delivery a request is for.
    fn addressed(&self, state: &mut State, request: &Request) -> Option<(usize, DeliveryKey)> {
        let mut endpoints = self.scenario.endpoints.iter();
        let place = endpoints.position(|endpoint| endpoint.url == request.url);
        let event = header(request, "webhook-id").and_then(|id| id.parse::<EventId>().ok());
        let (Some(place), Some(event)) = (place, event) else {
            let id = header(request, "webhook-id").unwrap_or("nothing").to_owned();
            let what = format!("a request went to {} with the webhook-id {id}", request.url);
            self.breach(state, what);
            return None;
        };
        Some((place, DeliveryKey { event, endpoint: self.scenario.endpoints[place].id }))
    }

    /// Whether it is what was published, for somebody who wanted it, and signed.
    fn is_whole(
        &self,
        state: &State,
        request: &Request,
        place: usize,
        key: DeliveryKey,
    ) -> Result<(), String> {
        let Some(number) = state.number(key.event) else {
            return Err("is about an event that nobody published".into());
        };
        let published = &self.scenario.events[number];
        if request.body != published.payload.as_bytes() {
            return Err("has another body than its event".into());
        }
        if published.deliver_at.is_some_and(|moment| self.now() < moment) {
            return Err("came before its event was to be delivered".into());
        }
        let keys = &self.scenario.endpoints[place].keys;
        let keys: Vec<_> = keys.iter().map(|entry| entry.key.for_receiver()).collect();
        let (id, timestamp) = (key.event.to_string(), header(request, "webhook-timestamp"));
        let token = header(request, "webhook-signature").unwrap_or_default();
        let now_s = self.now().as_seconds();
        let timestamp = timestamp.unwrap_or_default();
        signature::verify(&keys, &id, timestamp, token, &request.body, now_s)
            .map_err(|error| format!("cannot be verified: {error}"))
    }

    /// Whether it is owed, not finished, due, and the only one of its delivery.
    fn is_its_turn(
        &self,
        state: &State,
        place: usize,
        key: DeliveryKey,
        now: Timestamp,
    ) -> Result<(), String> {
        let Some(Standing { turn, state: standing, .. }) = self.memory().standing_of(key) else {
            return Err("is owed to nobody on record".into());
        };
        let before = state.stories.get(&key).map_or(0, |story| story.requests);
        let at_most_once = self.scenario.at_most_once(place);
        if at_most_once && before > 0 {
            return Err("was made a second time, at most once".into());
        }
        match standing {
            DeliveryState::Unknown if at_most_once => {}
            _ if at_most_once => {
                let stands = standing.as_str();
                return Err(format!("was made when it was {stands}, and not let go on record"));
            }
            DeliveryState::Delivered => return Err("was made when it was delivered".into()),
            DeliveryState::Dead | DeliveryState::Dropped | DeliveryState::Discarded => {
                return Err("was made when it was given up".into());
            }
            DeliveryState::Unknown => return Err("was made when it was unknown".into()),
            // Taken back while it was on its way: whether that had to be known is checked above.
            DeliveryState::Cancelled => return Ok(()),
            DeliveryState::Pending | DeliveryState::Waiting { .. } => {}
        }
        let Some(story) = state.stories.get(&key) else { return Ok(()) };
        let planned = story.planned.iter().rev().find(|(from, _)| *from <= turn);
        if let Some((_, moment)) = planned
            && now < *moment
        {
            let early = moment.since(now);
            return Err(format!("came {early:?} before it was due at turn {turn}"));
        }
        if let Some(moment) = story.asked
            && now < moment
        {
            let early = moment.since(now);
            return Err(format!("came {early:?} before its receiver wanted it again"));
        }
        let on_record = self.memory().attempts_on_record(key);
        if story.requests > story.lost + on_record {
            return Err(format!(
                "repeats one of {} before: {on_record} are on record, and {} were cut off by a \
                 death",
                story.requests, story.lost
            ));
        }
        Ok(())
    }

    /// Events are about to be accepted: each is owed to those who want it.
    pub(crate) fn accepts(&self, batch: &[Owed]) {
        let mut guard = self.state();
        let state = &mut *guard;
        for Owed { event, endpoints } in batch {
            let number = state.number(event.id);
            let own = number.and_then(|number| self.scenario.events[number].own);
            for (place, endpoint) in self.scenario.endpoints.iter().enumerate() {
                let owed = endpoints.contains(&endpoint.id);
                let wanted = self.wants(place, own, event, endpoints);
                let seen = &state.endpoints[place];
                let there = seen.called != Called::Deleted && !seen.was_disabled && !state.was_off;
                if (owed && !wanted) || (!owed && wanted && there) {
                    let name =
                        self.name(state, DeliveryKey { event: event.id, endpoint: endpoint.id });
                    let what = if owed { "is owed and was not wanted" } else { "is not owed" };
                    self.breach(state, format_args!("{name} {what}"));
                }
            }
        }
    }

    /// Whether an event goes to one of ours: as its filter says, or as the rules for URLs do.
    fn wants(
        &self,
        place: usize,
        own: Option<WebhookMode>,
        event: &Event,
        owed: &[EndpointId],
    ) -> bool {
        let endpoints = &self.scenario.endpoints;
        let [default, named] = [self.scenario.listed, self.scenario.listed + 1];
        if place == named {
            return own.is_some();
        }
        if place == default {
            // Who was deleted or disabled in the meantime does not count: those that it was owed to tell.
            let nobody = || owed.iter().all(|id| *id == endpoints[default].id);
            let when = self.scenario.settings.default_url_when;
            return own.is_none() && (when == DefaultUrlWhen::NoOverride || nobody());
        }
        own != Some(WebhookMode::Override) && endpoints[place].filter.wants(&event.event_type)
    }

    /// Settlements are about to be recorded: each is one that the rules allow.
    pub(crate) fn records(&self, batch: &[Settled]) {
        let mut guard = self.state();
        let state = &mut *guard;
        for settled in batch {
            let Some(place) = state.place(settled.key.endpoint) else { continue };
            let policy = &self.scenario.endpoints[place].policy;
            let name = self.name(state, settled.key);
            let (turn, attempts) = (settled.turn, settled.attempts);
            let what = format_args!(
                "{name} at turn {turn}: {:?}, {attempts} attempts",
                settled.settlement
            );
            self.note(state, what);
            if let Err(fault) = by_the_policy(settled, policy) {
                self.breach(state, format_args!("{name} {fault}"));
            }
            if settled.settlement == Settlement::LetGo {
                let story = state.stories.entry(settled.key).or_default();
                story.let_go_at = settled.attempt.as_ref().map(|attempt| attempt.started_at);
            }
            let standing = self.memory().standing_of(settled.key);
            let current = standing.is_some_and(|one| one.turn <= turn && !one.state.is_final());
            if current && let Some(moment) = not_before(settled) {
                let story = state.stories.entry(settled.key).or_default();
                story.planned.retain(|(from, _)| *from != turn.next());
                story.planned.push((turn.next(), moment));
            }
        }
    }

    /// The journal has answered: what was recorded is on record, whatever comes.
    pub(crate) fn recorded(&self, batch: &[Settled], answers: &[Recorded]) {
        let mut state = self.state();
        for (settled, answer) in batch.iter().zip(answers) {
            if *answer == Recorded::Stale {
                // What its receiver asked for went by with its turn.
                state.stories.entry(settled.key).or_default().asked = None;
            }
            let not_made = settled.settlement == Settlement::LetGo && *answer == Recorded::Stale;
            if let Some(attempt) = settled.attempt.as_ref().filter(|_| !not_made) {
                state.answered.push((settled.key, attempt.id));
            }
        }
    }

    /// The journal has taken deliveries over from their messages.
    pub(crate) fn takes_over(&self, batch: Vec<(DeliveryKey, Turn)>) {
        let mut state = self.state();
        for (key, turn) in batch {
            let name = self.name(&state, key);
            self.note(&mut state, format_args!("took over {name} at turn {turn}"));
            state.taken_over.insert(key);
        }
    }

    /// The journal has given deliveries out.
    pub(crate) fn claims(&self, claimed: &[Delivery]) {
        let mut state = self.state();
        for delivery in claimed {
            let name = self.name(&state, delivery.key());
            self.note(&mut state, format_args!("claimed {name} at turn {}", delivery.turn));
            state.claimed.insert(delivery.key());
        }
    }
}

/// Whether its application sends, by what the router knows and has to know.
fn may_leave(state: &State, now: Timestamp) -> Result<(), String> {
    let (sees, since) = state.router_sees_switch;
    let heard = state.catalogue_trouble_at.max(state.switched_at) + UNKNOWN_FOR;
    let knows = (sees == state.switch && now > since) || now > heard;
    if knows && !state.switch.sends() {
        return Err("left an application that holds back what it sends".into());
    }
    Ok(())
}

/// Whether its endpoint may be called now: by what the router knew when it gave leave, and by what it had to
/// know.
fn may_be_called(
    state: &mut State,
    place: usize,
    now: Timestamp,
    since: Timestamp,
) -> Result<(), String> {
    let trouble_at = state.catalogue_trouble_at;
    // From when on the router has to know of an edit.
    let known_from = |edited_at: Timestamp| {
        let heard = if trouble_at >= edited_at { trouble_at } else { edited_at };
        heard + UNKNOWN_FOR
    };
    let endpoint = &mut state.endpoints[place];
    // One that was starting at the very moment when the router saw is on its way.
    let knows = endpoint.called == endpoint.router_sees && since > endpoint.since;
    let has_to = since > known_from(endpoint.changed_at);
    let called = if knows || has_to { endpoint.called } else { Called::Yes };
    match called {
        Called::Yes => {}
        Called::Paused => return Err("went to an endpoint that is paused".into()),
        Called::Disabled => return Err("went to an endpoint that is disabled".into()),
        Called::Deleted => return Err("went to an endpoint that is deleted".into()),
    }
    let known_from = known_from(endpoint.numbers_changed_at);
    let cap = if since > known_from { endpoint.cap } else { endpoint.cap.max(endpoint.cap_before) };
    if endpoint.open >= usize::from(cap.get()) {
        return Err(format!("was one more on the way than its endpoint's {cap}"));
    }
    is_spared(endpoint, now, since)?;
    endpoint.starts.retain(|start| now.since(*start) < SECOND);
    if let Some(rate) = endpoint.rate
        && since > known_from + SECOND
    {
        // A tenth of the rate may come at once after a pause (`lane`). And what waited for its record begins
        // so much nearer to the next.
        let most = rate.get() + rate.get().div_ceil(10) + u32::from(since < now);
        if endpoint.starts.len() >= most as usize {
            return Err(format!("was one more within a second than the rate of {rate} allows"));
        }
    }
    Ok(())
}

/// The moment that an endpoint named.
fn moment(asked: RetryAfter, now: Timestamp) -> Timestamp {
    match asked {
        RetryAfter::In(wait) => now + wait,
        RetryAfter::At(moment) => moment,
    }
}

/// Whether an endpoint that has asked to be called less is. What starts at the very moment when it says
/// so is on its way; a lane that nothing has been in for a while is forgotten.
fn is_spared(endpoint: &Seen, now: Timestamp, since: Timestamp) -> Result<(), String> {
    let Some(Slowed { said_at, until }) = endpoint.slowed else { return Ok(()) };
    if since <= said_at {
        return Ok(());
    }
    if now < until {
        let early = until.since(now);
        return Err(format!("came {early:?} before its endpoint wanted to be called again"));
    }
    if now < until + LANE_KEPT && endpoint.open > 0 {
        return Err("was not the only one to an endpoint that wants it slower".into());
    }
    Ok(())
}

/// Whether attempts and waits are what the endpoint's policy says.
fn by_the_policy(settled: &Settled, policy: &Policy) -> Result<(), String> {
    let most = policy.retry.max_attempts();
    let attempts = settled.attempts;
    if attempts > most {
        return Err(format!("counts {attempts} attempts: its policy has {most}"));
    }
    let at_most_once = policy.guarantee == Guarantee::AtMostOnce;
    let drops = policy.on_exhausted == OnExhausted::Drop;
    let status = settled.attempt.as_ref().map_or(0, |attempt| attempt.outcome.status());
    match settled.settlement {
        Settlement::Retry(_) if at_most_once => Err("is tried again, at most once".into()),
        Settlement::LetGo if !at_most_once => Err("is let go, and not at most once".into()),
        Settlement::DeadLetter(why) | Settlement::Drop(why)
            if drops != matches!(settled.settlement, Settlement::Drop(_)) =>
        {
            Err(format!("was given up ({why}) by {:?}, against its policy", settled.settlement))
        }
        Settlement::DeadLetter(DeathReason::Refused) | Settlement::Drop(DeathReason::Refused)
            if !policy.give_up_status.contains(status) =>
        {
            Err(format!("was given up at {status}, and its policy does not say so"))
        }
        Settlement::Retry(_) if policy.give_up_status.contains(status) => {
            Err(format!("is tried again behind {status}, at which its policy gives up"))
        }
        Settlement::DeadLetter(DeathReason::AttemptsExhausted)
        | Settlement::Drop(DeathReason::AttemptsExhausted)
            if attempts != most =>
        {
            Err(format!("was given up after {attempts} attempts: its policy has {most}"))
        }
        Settlement::Retry(due) => {
            let wait = due.earliest.since(settled.at);
            let least = least_wait(&policy.retry, attempts);
            if wait + Duration::from_millis(1) < least {
                return Err(format!("waits {wait:?} after attempt {attempts}: at least {least:?}"));
            }
            Ok(())
        }
        Settlement::Delivered
        | Settlement::Postpone(..)
        | Settlement::DeadLetter(_)
        | Settlement::Drop(_)
        | Settlement::LetGo
        | Settlement::Cancelled
        | Settlement::Unchanged => Ok(()),
    }
}

/// The shortest wait behind so many attempts that the policy's jitter allows.
fn least_wait(retry: &RetryPolicy, attempts: u32) -> Duration {
    let jitter = match retry {
        RetryPolicy::None => 0.0,
        RetryPolicy::Schedule { jitter, .. } | RetryPolicy::Exponential { jitter, .. } => *jitter,
    };
    let before = usize::try_from(attempts.saturating_sub(1)).expect("small");
    let wait = retry.waits_ms().nth(before).unwrap_or(0);
    Duration::from_millis(wait).mul_f64(1.0 - jitter)
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
