//! Replays of the whole: a router that is killed in the middle of one, and what people and the replay itself do
//! to it on its way; embedded, and on a broker.
//!
//! What was offered is read from the record, what was received from the receiver's own book.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use posthaste::domain::delivery::{DeliveryKey, Holder, Trigger, Turn};
use posthaste::domain::event::Event;
use posthaste::domain::id::{ApplicationId, EndpointId, EventId, OrganisationId, ReplayId};
use posthaste::domain::replay::{Rate, ReplayState};
use posthaste::domain::settlement::{DeathReason, Settlement};
use posthaste::storage::StorageError;
use posthaste::storage::catalogue::Catalogue as _;
use posthaste::storage::dead_letters::DeadLetterFilter;
use posthaste::storage::journal::{Journal as _, Owed, Settled};
use posthaste::storage::replays::{Change, NewReplay, Replay, Replays, Selection};
use posthaste::storage::sql::{Settings, Sql};
use posthaste::storage::sqlite;
use posthaste::storage::vault::Vault;
use secrecy::SecretBox;
use support::broker::Broker;
use support::receiver::{Receiver, Script};
use support::router::Posthaste;
use support::{PATIENCE, clock, eventually, unique_prefix, until};

/// A router with one endpoint that has given up on much, and its record beside it.
struct Case {
    posthaste: Posthaste,
    receiver: Receiver,
    store: Sql,
    application: ApplicationId,
    endpoint: EndpointId,
}

impl Case {
    /// With so many dead letters.
    async fn new(posthaste: Posthaste, answer: Script, dead: u32) -> Self {
        let posthaste = posthaste.with_application();
        let receiver = Receiver::start().await;
        let url = receiver.endpoint("hook", answer);
        // A replay that fails is to be seen failing, and not waiting for its endpoint's circuit.
        let more = ["--retry", "none", "--circuit-breaker", "false"];
        let (endpoint, _) = posthaste.endpoint("hook", &url, &more);
        let key = SecretBox::new(Box::new([7; 32]));
        let vault = Arc::new(Vault::new(vec![(1, key)]).expect("a keyring"));
        let settings =
            Settings::Sqlite(sqlite::Settings { path: posthaste.folder().join("posthaste.db") });
        let store = Sql::open(&settings, vault).expect("opens");
        let found = store.application(OrganisationId::DEFAULT, &"acme".into()).await;
        let application = found.expect("read").expect("it is there").id;
        let endpoint = endpoint.parse().expect("an endpoint's id");
        let case = Self { posthaste, receiver, store, application, endpoint };
        case.bury(dead).await;
        case
    }

    /// Lays down dead letters, as a router would have.
    async fn bury(&self, count: u32) {
        let now = clock();
        let event = |number: u32| {
            let name = format!("dead-{number}");
            Arc::new(Event {
                id: EventId::derived(&[name.as_bytes()]),
                application: self.application,
                event_type: "job.completed".parse().expect("a type"),
                event_id: Some(name.into()),
                subject: None,
                occurred_at: now,
                received_at: now,
                deliver_at: None,
                expires_at: None,
                content_type: None,
                traceparent: None,
                channels: Box::default(),
                payload: Bytes::from(format!(r#"{{"n":{number}}}"#)),
                webhook: None,
                attributes: Box::default(),
            })
        };
        let events: Vec<_> = (0..count).map(event).collect();
        let owed =
            |event: &Arc<Event>| Owed { event: Arc::clone(event), endpoints: vec![self.endpoint] };
        self.store.accept(events.iter().map(owed).collect()).await.expect("accepted");
        let given_up = |event: &Arc<Event>| Settled {
            key: DeliveryKey { event: event.id, endpoint: self.endpoint },
            turn: Turn::FIRST,
            trigger: Trigger::Turn,
            attempts: 1,
            attempt: None,
            settlement: Settlement::DeadLetter(DeathReason::AttemptsExhausted),
            held_by: Holder::Router,
            at: now,
            tells: false,
        };
        self.store.record(events.iter().map(given_up).collect()).await.expect("recorded");
    }

    /// Begins to replay all of them, at so many a second.
    async fn begin(&self, number: u8, per_second: u32) -> Result<Replay, StorageError> {
        let filter =
            DeadLetterFilter { endpoint: Some(self.endpoint), ..DeadLetterFilter::default() };
        let new = NewReplay {
            id: ReplayId::from_bytes([number; 20]),
            organisation: OrganisationId::DEFAULT,
            selection: Selection::DeadLetters(filter),
            to: None,
            rate: Rate::try_from(per_second).expect("a rate"),
            actor: "a test".into(),
            reason: None,
            expect: None,
        };
        self.store.begin(new, clock()).await
    }

    async fn replay(&self, id: ReplayId) -> Replay {
        let found = self.store.replay(OrganisationId::DEFAULT, id).await;
        found.expect("read").expect("it is there")
    }

    async fn change(&self, id: ReplayId, change: Change) -> Replay {
        let changed = self.store.change(OrganisationId::DEFAULT, id, change, clock()).await;
        changed.expect("changed").expect("it is there")
    }

    /// Waits until something is so of a replay.
    async fn sees(&self, what: &str, id: ReplayId, is_so: impl Fn(&Replay) -> bool) -> Replay {
        eventually(what, async || Some(self.replay(id).await).filter(&is_so)).await
    }

    /// One number that the record knows.
    fn number(&self, sql: &str) -> i64 {
        let file = self.posthaste.folder().join("posthaste.db");
        let connection = rusqlite::Connection::open(file).expect("opens");
        connection.query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    /// Nothing was offered twice, and the sum of all states is what was made.
    async fn each_was_offered_once(&self, dead: i64) {
        let twice = "SELECT count(*) FROM \
                     (SELECT 1 FROM offers GROUP BY event, endpoint HAVING count(*) > 1)";
        assert_eq!(self.number("SELECT count(*) FROM offers"), dead);
        assert_eq!(self.number(twice), 0);
        let books = self.store.books().await.expect("books");
        assert_eq!((books.owed, books.unaccounted()), (dead.unsigned_abs(), 0));
    }
}

/// Killed three times in the middle of a step, before its commit and behind it.
async fn killed_three_times(posthaste: Posthaste) {
    const DEAD: u32 = 600;
    let mut case = Case::new(posthaste, Script::Answer(200), DEAD).await;
    let id = case.begin(1, 150).await.expect("begun").id;

    for (life, step) in
        ["replay.offered=2", "replay.stepped=2", "replay.offered=1"].iter().enumerate()
    {
        case.posthaste.set("FAILPOINT_KILL_AT", step);
        // What a killed router had claimed is claimed again when its lease has ended.
        let ahead_ms = (life + 1) * 180_000;
        case.posthaste.set("FAILPOINT_CLOCK_AHEAD_MS", &ahead_ms.to_string());
        let mut doomed = case.posthaste.start();
        let ended = doomed.end().await;
        assert!(!ended.success(), "{step}: {ended}");
        assert_eq!(case.replay(id).await.state, ReplayState::Running, "{step}");
    }
    let before = case.replay(id).await.offered;
    assert!(before > 0 && before < u64::from(DEAD), "in the middle: {before}");
    case.posthaste.environment.retain(|(name, _)| name != "FAILPOINT_KILL_AT");
    case.posthaste.set("FAILPOINT_CLOCK_AHEAD_MS", "720000");
    let _router = case.posthaste.serve().await;

    // That there is no more to offer may be found a step behind the last.
    let all = |replay: &Replay| {
        replay.delivered == u64::from(DEAD) && replay.state == ReplayState::Finished
    };
    let done = case.sees("all is delivered, and it has ended", id, all).await;
    assert_eq!((done.offered, done.dead), (DEAD.into(), 0));
    case.each_was_offered_once(DEAD.into()).await;
    assert_eq!(case.receiver.accepted("hook").len(), DEAD as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_three_times_in_the_middle_each_dead_letter_is_offered_once() {
    killed_three_times(Posthaste::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_three_times_on_a_broker_each_dead_letter_is_offered_once() {
    let broker = Broker::shared().await;
    killed_three_times(Posthaste::new(&broker.url(), &unique_prefix())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_paused_resumed_and_sped_up_on_its_way_and_another_is_refused() {
    let case = Case::new(Posthaste::embedded(), Script::Answer(200), 300).await;
    let id = case.begin(1, 10).await.expect("begun").id;
    let router = case.posthaste.serve().await;
    case.sees("some are delivered", id, |replay| replay.delivered > 0).await;

    let refused = case.begin(2, 10).await;
    let Err(StorageError::Conflict(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains(&id.to_string()), "{why}");

    let paused = case.change(id, Change::Pause).await;
    assert_eq!(paused.state, ReplayState::Paused);
    // What it had offered goes its way; nothing is added to it, over a restart too.
    let all_of_it = |replay: &Replay| replay.delivered == paused.offered;
    case.sees("what was offered is delivered", id, all_of_it).await;
    drop(router);
    let _router = case.posthaste.serve().await;
    let still = case.replay(id).await;
    assert_eq!((still.state, still.offered), (ReplayState::Paused, paused.offered));

    case.change(id, Change::Rate(Rate::try_from(2_000).expect("a rate"))).await;
    let resumed = case.change(id, Change::Resume).await;
    assert_eq!(resumed.state, ReplayState::Running);
    let all = |replay: &Replay| replay.delivered == 300 && replay.state == ReplayState::Finished;
    case.sees("all is delivered, and it has ended", id, all).await;
    case.each_was_offered_once(300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_replay_leaves_the_rest_where_it_is() {
    let case = Case::new(Posthaste::embedded(), Script::Answer(200), 300).await;
    let id = case.begin(1, 20).await.expect("begun").id;
    let _router = case.posthaste.serve().await;
    case.sees("some are delivered", id, |replay| replay.delivered > 0).await;

    let cancelled = case.change(id, Change::Cancel).await;

    let all_of_it = |replay: &Replay| replay.delivered == cancelled.offered;
    let end = case.sees("what was offered is delivered", id, all_of_it).await;
    assert_eq!(end.state, ReplayState::Cancelled);
    let dead = case.number("SELECT count(*) FROM dead_letters");
    assert_eq!(dead.unsigned_abs(), 300 - cancelled.offered);
    assert!(case.begin(2, 20).await.is_ok(), "its endpoint is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_makes_it_worse_pauses_itself_says_why_and_goes_on_when_it_is_told_to() {
    let case = Case::new(Posthaste::embedded(), Script::Answer(500), 1_500).await;
    let id = case.begin(1, 50).await.expect("begun").id;
    let _router = case.posthaste.serve().await;

    let paused =
        case.sees("it pauses itself", id, |replay| replay.state == ReplayState::Paused).await;
    let because = paused.because.expect("it says why");
    assert!(because.contains("first attempts failed (100 %)"), "{because}");
    assert!(paused.offered < 1_500, "long before its end: {}", paused.offered);

    case.receiver.endpoint("hook", Script::Answer(200));
    let all_of_it = |replay: &Replay| replay.delivered + replay.dead == paused.offered;
    case.sees("what was offered has ended", id, all_of_it).await;
    case.change(id, Change::Rate(Rate::try_from(2_000).expect("a rate"))).await;
    case.change(id, Change::Resume).await;
    let done = case.sees("it ends", id, |replay| replay.state == ReplayState::Finished).await;
    assert_eq!(done.offered, 1_500, "what died again is not offered once more");
    until("all has ended", PATIENCE, async || {
        let now = case.replay(id).await;
        now.delivered + now.dead == 1_500
    })
    .await;
    let books = case.store.books().await.expect("books");
    assert_eq!((books.delivered + books.dead, books.unaccounted()), (1_500, 0));
    assert!(books.dead > 0, "those of the first try");
}
