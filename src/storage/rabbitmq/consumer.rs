//! Keeps consuming: connects, declares, consumes, and does it all again whenever anything of it is
//! lost.
//!
//! A connection for consuming alone, so that a broker that refuses publishes still hears what is
//! finished. One channel for each queue, so that neither's prefetch is the other's. Whatever is
//! lost (the connection, a channel, a consumer because its queue was deleted), everything is built
//! anew: one way of starting, and it is the one that is always tried.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, message};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::acks::{AckDesk, Channels, Note, Place, Source};
use super::connection::{Addresses, Complaint, Pause, Pulse, dial, hang_up, pulse, within};
use super::health::Health;
use super::inbox::AsItCame;
use super::message::{Raw, incoming, waiting};
use super::publisher::Publisher;
use super::topology::Topology;
use crate::storage::StorageError;
use crate::storage::inbox::{Arrival, Content, Desk, Receipt};

/// Longest wait for each step of getting ready: ten seconds, as for a declaration.
const STEP_DEADLINE: Duration = Duration::from_secs(10);

/// A connection that lasted this long was a good one: the pauses begin anew.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// How often the inbox's consumers are counted: after so long at the most the others know of a router that has joined, or is
/// gone. Two seconds; a question costs the broker next to nothing.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// How long a router that has joined others waits until they know of it, and leave it its part of what endpoints may be
/// sent. A second more than they take to count.
const KNOWN_AFTER: Duration = Duration::from_secs(3);

/// Consumes the inbox and the due queue.
pub(super) struct Consumer {
    pub addresses: Addresses,
    pub name: String,
    pub topology: Arc<Topology>,
    /// Most unfinished events that the broker hands over; half as many due deliveries.
    pub prefetch: u16,
    pub max_payload_bytes: usize,
    pub health: Arc<Health>,
    /// Who shares what endpoints may be sent.
    pub routers: watch::Sender<Option<NonZeroU16>>,
    pub publisher: Publisher,
    pub notes: mpsc::UnboundedSender<Note>,
    /// The last connection on which an acknowledgement could not be written.
    pub lost: watch::Receiver<u64>,
    pub arrivals: mpsc::Sender<(u64, Arrival)>,
    pub epoch: Arc<AtomicU64>,
    pub stop: CancellationToken,
    pub closing: CancellationToken,
}

/// Why consuming ended.
enum Ended {
    Stopped,
    Lost(String),
}

/// Consuming, on one connection.
struct Session {
    connection: Connection,
    pulse: watch::Receiver<Pulse>,
    channels: Channels,
    tag: ShortString,
    deliveries: BoxStream<'static, Brought>,
    _counting: AbortOnDropHandle<()>,
}

/// What a queue brought: a message, or the end of its consumer.
type Brought = (Source, Option<lapin::Result<message::Delivery>>);

/// The prefetch of the due queue beside that of the inbox.
pub(super) fn due_prefetch(prefetch: u16) -> u16 {
    (prefetch / 2).max(1)
}

impl Consumer {
    pub(super) async fn run(mut self) {
        let (mut pause, mut complaint) = (Pause::default(), Complaint::default());
        let mut epoch = 0;
        while !self.stop.is_cancelled() {
            epoch += 1;
            let begun = tokio::select! { biased;
                () = self.stop.cancelled() => return,
                begun = self.begin(epoch) => begun,
            };
            match begun {
                Err(error) => complaint.about(&self.name, &error),
                Ok(mut session) => {
                    complaint.settled();
                    let since = Instant::now();
                    self.opened(&session);
                    let ended = self.consume(&mut session).await;
                    if matches!(ended, Ended::Stopped) {
                        self.linger(&mut session).await;
                    }
                    self.epoch.store(0, Ordering::Release); // its receipts mean nothing any more
                    Health::set(&self.health.consume_connected, false);
                    if let Ended::Lost(why) = &ended {
                        warn!(connection = self.name, "consuming was interrupted: {why}");
                    }
                    hang_up(&session.connection).await;
                    if since.elapsed() > GOOD_AFTER {
                        pause.over();
                    }
                }
            }
            tokio::select! { biased;
                () = self.stop.cancelled() => return,
                () = pause.wait() => {}
            }
        }
    }

    /// Everything from the connection to the consumers.
    async fn begin(&self, epoch: u64) -> Result<Session, StorageError> {
        let connection = dial(&self.addresses, &self.name).await?;
        let pulse = pulse(&connection);
        let inbox = channel(&connection).await?;
        let due = channel(&connection).await?;
        self.topology.declare(&inbox).await?;
        let tag = ShortString::from(format!("posthaste.{epoch}"));
        let from_inbox = consume(&inbox, &self.topology.inbox(), &tag, self.prefetch).await?;
        let from_due =
            consume(&due, &self.topology.due(), &tag, due_prefetch(self.prefetch)).await?;
        let counting = tokio::spawn(count_routers(
            channel(&connection).await?,
            self.topology.inbox(),
            self.health.clone(),
            self.routers.clone(),
        ));
        Ok(Session {
            connection,
            pulse,
            channels: Channels { epoch, inbox, due },
            tag,
            // Turn by turn, so that neither queue starves the other.
            deliveries: stream::select(
                brought(Source::Inbox, from_inbox),
                brought(Source::Due, from_due),
            )
            .boxed(),
            _counting: AbortOnDropHandle::new(counting),
        })
    }

    /// The desk hears of the channels before anyone can give a receipt of theirs back.
    fn opened(&self, session: &Session) {
        let _ = self.notes.send(Note::Opened(Box::new(session.channels.clone())));
        self.epoch.store(session.channels.epoch, Ordering::Release);
        Health::count(&self.health.consume_connects, 1);
        Health::set(&self.health.consume_connected, true);
        info!(connection = self.name, "consuming");
    }

    /// Hands over what comes until something ends it.
    async fn consume(&mut self, session: &mut Session) -> Ended {
        let epoch = session.channels.epoch;
        let desk: Arc<dyn Desk> = Arc::new(AckDesk(self.notes.clone()));
        loop {
            // What ends it first, and then work.
            let (source, delivery) = tokio::select! { biased;
                () = self.stop.cancelled() => return Ended::Stopped,
                why = lost(&mut session.pulse) => return Ended::Lost(why),
                changed = self.lost.changed() => {
                    if changed.is_err() || *self.lost.borrow_and_update() == epoch {
                        return Ended::Lost("an acknowledgement could not be written".into());
                    }
                    continue;
                }
                brought = session.deliveries.next() => match brought {
                    Some((source, Some(Ok(delivery)))) => (source, delivery),
                    Some((source, Some(Err(error)))) => {
                        return Ended::Lost(format!("consuming {}: {error}", self.queue(source)));
                    }
                    Some((source, None)) => {
                        return Ended::Lost(format!(
                            "the broker ended the consumer of {}",
                            self.queue(source)
                        ));
                    }
                    None => return Ended::Lost("the broker ended the consumers".into()),
                },
            };
            Health::count(&self.health.delivered, 1);
            let place = Place { epoch, source, tag: delivery.delivery_tag };
            let arrival = self.arrival(place, delivery, &desk);
            // There is room for all that the prefetches allow; only leftovers of a lost connection
            // can be in the way, and they are cleared away by whoever asks for the next arrival.
            tokio::select! { biased;
                () = self.stop.cancelled() => return Ended::Stopped,
                sent = self.arrivals.send((epoch, arrival)) => if sent.is_err() {
                    return Ended::Stopped; // nobody is there to hand it to
                },
            }
        }
    }

    fn arrival(&self, place: Place, delivery: message::Delivery, desk: &Arc<dyn Desk>) -> Arrival {
        let message = Raw {
            exchange: delivery.exchange,
            routing_key: delivery.routing_key,
            properties: delivery.properties,
            body: Bytes::from(delivery.data),
        };
        let content = match place.source {
            Source::Inbox => incoming::event(&message, self.max_payload_bytes)
                .map(|event| Content::Event(Box::new(event))),
            Source::Due => waiting::delivery(&message)
                .map(|(delivery, due_at)| Content::Due { delivery: Box::new(delivery), due_at }),
        };
        Arrival {
            content: content.unwrap_or_else(Content::Unreadable),
            redelivered: delivery.redelivered,
            receipt: Receipt::new(place.number(), desk.clone()),
            original: Box::new(AsItCame {
                message,
                publisher: self.publisher.clone(),
                topology: self.topology.clone(),
            }),
        }
    }

    /// Consumes nothing more, but keeps the connection for the receipts that are still out.
    async fn linger(&self, session: &mut Session) {
        for channel in [&session.channels.inbox, &session.channels.due] {
            let cancelled =
                channel.basic_cancel(session.tag.clone(), BasicCancelOptions::default());
            if let Err(error) = within(STEP_DEADLINE, "cancelling a consumer", cancelled).await {
                warn!("{error}");
                return; // the connection is gone, and every receipt with it
            }
        }
        tokio::select! { biased;
            () = self.closing.cancelled() => {}
            _ = lost(&mut session.pulse) => {}
        }
    }

    fn queue(&self, source: Source) -> String {
        match source {
            Source::Inbox => self.topology.inbox(),
            Source::Due => self.topology.due(),
        }
    }
}

async fn channel(connection: &Connection) -> Result<Channel, StorageError> {
    within(STEP_DEADLINE, "opening a channel", connection.create_channel()).await
}

/// Begins to consume a queue. The prefetch first: it holds for consumers that come after it.
async fn consume(
    channel: &Channel,
    queue: &str,
    tag: &ShortString,
    prefetch: u16,
) -> Result<lapin::Consumer, StorageError> {
    let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
    within(STEP_DEADLINE, "setting the prefetch", qos).await?;
    let consuming = channel.basic_consume(
        queue.into(),
        tag.clone(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    within(STEP_DEADLINE, &format!("consuming {queue}"), consuming).await
}

fn brought(source: Source, consumer: lapin::Consumer) -> impl StreamExt<Item = Brought> + Send {
    consumer
        .map(move |delivery| (source, Some(delivery)))
        .chain(stream::once(async move { (source, None) }))
}

/// Returns when the connection is lost, with the reason.
async fn lost(pulse: &mut watch::Receiver<Pulse>) -> String {
    loop {
        match &*pulse.borrow_and_update() {
            Pulse::Lost(why) => return why.clone(),
            Pulse::Up | Pulse::Blocked(_) => {} // blocked is for those who publish
        }
        if pulse.changed().await.is_err() {
            return "the connection was closed".into();
        }
    }
}

/// Keeps the count of the inbox's consumers, over all routers, until its channel is gone. Who is alone says so at once;
/// who has joined others only when they have had the time to hear of it.
async fn count_routers(
    channel: Channel,
    inbox: String,
    health: Arc<Health>,
    routers: watch::Sender<Option<NonZeroU16>>,
) {
    let joined_at = Instant::now();
    routers.send_replace(None);
    let mut time = tokio::time::interval(COUNT_EVERY);
    loop {
        time.tick().await;
        let passive = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
        let asked = channel.queue_declare(inbox.as_str().into(), passive, FieldTable::default());
        match within(STEP_DEADLINE, "counting routers", asked).await {
            Ok(queue) => {
                let count = queue.consumer_count();
                health.routers.store(u64::from(count), Ordering::Relaxed);
                if count == 1 || joined_at.elapsed() >= KNOWN_AFTER {
                    let count = NonZeroU16::new(u16::try_from(count).unwrap_or(u16::MAX));
                    routers.send_if_modified(|known| std::mem::replace(known, count) != count);
                }
                health.inbox_ready.store(u64::from(queue.message_count()), Ordering::Relaxed);
            }
            Err(_) => return, // the supervisor finds out by itself what is lost
        }
    }
}
