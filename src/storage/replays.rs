//! Port: replays, which go on behind the answer, step by step.
//!
//! A replay is begun with a selection that is fixed there and then, and is taken on in steps by whoever runs
//! them (`control::replays`). Each step offers a bounded number of deliveries and moves the replay's place
//! in the same transaction, so that one that is interrupted anywhere goes on where it was, and offers each
//! delivery once. Which replay offered a delivery is kept with it: that is its lineage, and how a replay's
//! outcomes are counted, in the transaction of each settlement.
//!
//! On SQLite alone, as [`history`](super::history), and for the same reason.

use async_trait::async_trait;

use super::StorageError;
use super::dead_letters::DeadLetterFilter;
use super::page::Page;
use crate::domain::delivery::{DeliveryKey, Turn};
use crate::domain::filter::Pattern;
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId, ReplayId};
use crate::domain::replay::{Pulse, Rate, ReplayState, Scope};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;

/// Most replays of one organisation that may be active at the same time: each has a share of the writer's time.
pub const ACTIVE_MAX: u32 = 64;

/// Most of these that may be about one application: an eighth, so that no tenant has the places of all.
pub const ACTIVE_MAX_OF_APPLICATION: u32 = 8;

/// Most endpoints that one replay may be about: each is taken by it, in the transaction that begins it.
pub const ENDPOINTS_MAX: u32 = 10_000;

/// Which deliveries, fixed: what comes to match later is not in it. Of an endpoint's, the events are fixed:
/// those that are there when it begins.
#[derive(Debug, Clone)]
pub enum Selection {
    /// Dead letters that match, laid down before the replay was begun.
    DeadLetters(DeadLetterFilter),
    /// What an endpoint was owed, or was not, of the events that were received in a span of time.
    OfEndpoint(OfEndpoint),
}

/// What an endpoint was owed, or was not.
#[derive(Debug, Clone)]
pub struct OfEndpoint {
    /// Which: not [`Scope::DeadLetters`].
    pub scope: Scope,
    /// Whose it is.
    pub application: ApplicationId,
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Of a type that this pattern matches.
    pub event_type: Option<Pattern>,
    /// For events received at this moment or later.
    pub since: Timestamp,
    /// For events received before this; `None`: for those that are there now.
    pub until: Option<Timestamp>,
}

impl Selection {
    /// What it is about.
    pub const fn scope(&self) -> Scope {
        match self {
            Self::DeadLetters(_) => Scope::DeadLetters,
            Self::OfEndpoint(of) => of.scope,
        }
    }

    /// How many deliveries it names.
    pub const fn named(&self) -> u64 {
        match self {
            Self::DeadLetters(filter) => filter.ids.len() as u64,
            Self::OfEndpoint(_) => 0,
        }
    }
}

/// A replay that is to begin.
#[derive(Debug, Clone)]
pub struct NewReplay {
    /// Its id.
    pub id: ReplayId,
    /// Within which organisation.
    pub organisation: OrganisationId,
    /// What it offers.
    pub selection: Selection,
    /// To this endpoint of the same application instead of those that the deliveries were for: they stay as they are,
    /// and it is owed the events.
    pub to: Option<EndpointId>,
    /// How fast.
    pub rate: Rate,
    /// Who begins it, in the words of the audit log.
    pub actor: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// How many have to match, if anybody has counted before.
    pub expect: Option<u64>,
}

/// What a replay would do now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// Deliveries that match; `None` when they are more than could be counted in the time that there is.
    pub matched: Option<u64>,
    /// Those that would be offered, by the endpoint that they were for and why they were given up (`None`: they
    /// were not, or it is not kept), most first.
    pub by_endpoint: Vec<(EndpointId, Option<DeathReason>, u64)>,
    /// Those that would be left where they are, by what stands in the way.
    pub not_replayable: Vec<(Obstacle, u64)>,
    /// Payload bytes that would be sent.
    pub bytes: u64,
    /// When the oldest and the newest that would be offered were given up; of an endpoint's, when their events
    /// were received.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Endpoints among those that are paused: what is offered to them waits until they are resumed, and goes then
    /// as fast as they take it, behind live traffic. The replay goes on meanwhile: its rate is that of offering,
    /// and it waits for nobody who waits for a person.
    pub paused: Vec<EndpointId>,
}

impl Preview {
    /// Deliveries that would be offered, of those that were counted.
    pub fn replayable(&self) -> u64 {
        self.by_endpoint.iter().map(|(.., count)| count).sum()
    }
}

/// Why a delivery cannot be offered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obstacle {
    /// Its endpoint was deleted, or its application.
    EndpointGone,
    /// Its endpoint is disabled.
    EndpointDisabled,
    /// It went to its application's default URL, which there is no more.
    NoDefaultUrl,
    /// The payload of its event was deleted.
    PayloadForgotten,
    /// Its event was of use until a moment that is past: it would be given up without an attempt.
    Expired,
}

impl Obstacle {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::EndpointGone,
        Self::EndpointDisabled,
        Self::NoDefaultUrl,
        Self::PayloadForgotten,
        Self::Expired,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndpointGone => "endpoint_gone",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::NoDefaultUrl => "no_default_url",
            Self::PayloadForgotten => "payload_forgotten",
            Self::Expired => "expired",
        }
    }
}

/// A replay.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Its id.
    pub id: ReplayId,
    /// Within which organisation.
    pub organisation: OrganisationId,
    /// Whose deliveries, when it is about one application's.
    pub application: Option<ApplicationId>,
    /// For which endpoint, when it is about one's.
    pub endpoint: Option<EndpointId>,
    /// What it offers. In a list without the deliveries that it names: they may be ten thousand in each.
    pub selection: Selection,
    /// How many deliveries it names.
    pub named: u64,
    /// To whom, when not to those that the deliveries were for.
    pub to: Option<EndpointId>,
    /// How fast.
    pub rate: Rate,
    /// Where it is.
    pub state: ReplayState,
    /// Why it does not go on, in a sentence, when that is its own doing. Of one that runs: why it offers nothing for
    /// the moment.
    pub because: Option<String>,
    /// Deliveries that matched when it was begun; `None` when nobody counted (what is missing has to be looked for).
    pub matched: Option<u64>,
    /// Deliveries that it has offered.
    pub offered: u64,
    /// Those that it passed over: replayed, discarded or removed meanwhile, or without somebody to go to.
    pub skipped: u64,
    /// Of the offered ones: whose first attempt has ended, or that were taken back before it. What is offered and not
    /// tried waits for its turn, or for a person.
    pub tried: u64,
    /// Of the offered ones: delivered since.
    pub delivered: u64,
    /// Of the offered ones: given up once more.
    pub dead: u64,
    /// Who began it, in the words of the audit log.
    pub actor: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
}

/// What a person may do to a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Offer nothing for now.
    Pause,
    /// Go on; what has failed so far is forgiven.
    Resume,
    /// Offer nothing more, ever.
    Cancel,
    /// Go on as fast as this.
    Rate(Rate),
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stepped {
    /// Deliveries that it offered.
    pub offered: u64,
    /// Those that it passed over.
    pub skipped: u64,
    /// Where the replay is now.
    pub state: ReplayState,
}

/// A delivery was offered by a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// By which.
    pub replay: ReplayId,
    /// The turn that it was given.
    pub turn: Turn,
    /// When.
    pub at: Timestamp,
}

/// A replay that is running, as its runner needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Which.
    pub id: ReplayId,
    /// How fast.
    pub rate: Rate,
    /// Whether it says why it offers nothing for the moment.
    pub waits: bool,
}

/// The port.
#[async_trait]
pub trait Replays: Send + Sync {
    /// What a replay of this selection, to its own endpoints or to this one, would do now. Of dead letters it
    /// counts those that were laid down until `now`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn preview(
        &self,
        organisation: OrganisationId,
        selection: &Selection,
        to: Option<EndpointId>,
        now: Timestamp,
    ) -> Result<Preview, StorageError>;

    /// Begins one. When this returns `Ok`, it is durable, and goes on whoever dies.
    ///
    /// # Errors
    /// `Conflict` when another one is active for one of its endpoints, with that one's id, or too many are
    /// active in the organisation or in the application, or there is no such endpoint, or it is about more than [`ENDPOINTS_MAX`], or another number
    /// matches than is expected.
    async fn begin(&self, replay: NewReplay, now: Timestamp) -> Result<Replay, StorageError>;

    /// One of an organisation's.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn replay(
        &self,
        organisation: OrganisationId,
        id: ReplayId,
    ) -> Result<Option<Replay>, StorageError>;

    /// A part of the list of an organisation's, or of one application's.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn replays(
        &self,
        organisation: OrganisationId,
        application: Option<ApplicationId>,
        page: &Page<ReplayId>,
    ) -> Result<Vec<Replay>, StorageError>;

    /// Does what a person asks of one of an organisation's; `None` when there is none. What has ended stays
    /// as it is.
    ///
    /// # Errors
    /// `Conflict` when it has ended, and the change is not what it is already.
    async fn change(
        &self,
        organisation: OrganisationId,
        id: ReplayId,
        change: Change,
        now: Timestamp,
    ) -> Result<Option<Replay>, StorageError>;

    /// Those that are running.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn running(&self) -> Result<Vec<Running>, StorageError>;

    /// What is counted of one, and of the traffic that it goes behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn pulse(&self, id: ReplayId, now: Timestamp) -> Result<Pulse, StorageError>;

    /// Takes one step: offers at most so many.
    ///
    /// # Errors
    /// `Unavailable`: taken or not, the same call goes on; `Corrupt` for what cannot be read.
    async fn step(&self, id: ReplayId, most: u32, now: Timestamp) -> Result<Stepped, StorageError>;

    /// Says of one that runs why it offers nothing for the moment, or that it does again.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn waits(&self, id: ReplayId, because: Option<&str>) -> Result<(), StorageError>;

    /// It stops by itself, for this reason: paused, or failed.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn halt(
        &self,
        id: ReplayId,
        state: ReplayState,
        because: &str,
        now: Timestamp,
    ) -> Result<(), StorageError>;

    /// Every time that a delivery was offered by a replay, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn offers(&self, key: DeliveryKey) -> Result<Vec<Offer>, StorageError>;
}
