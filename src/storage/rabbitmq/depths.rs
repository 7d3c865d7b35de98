//! The queues' port on RabbitMQ: asks the broker how each queue stands, by declaring it passively.
//!
//! On a connection of its own, so that what goes wrong with a question is nobody else's trouble; and each queue on a channel of its
//! own, since a broker closes the channel on which a queue is asked for that is not there. Most rungs of the ladder are not: they
//! are declared on first use.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Connection, ErrorKind};

use super::connection::{Addresses, dial, hang_up, unavailable, within};
use super::rungs::Rungs;
use super::topology::Topology;
use crate::storage::StorageError;
use crate::storage::queues::{Count, Depth, Depths, Queues, Role};

/// Longest wait for all of it: a page's patience.
const ALL_DEADLINE: Duration = Duration::from_secs(10);

/// Longest wait for one answer: less, so that the queue which does not answer is named.
const ONE_DEADLINE: Duration = Duration::from_secs(5);

/// Queues that are asked for at the same time. Some eighty three-step conversations, one by one, would be ten seconds with a
/// broker 40 ms away.
const AT_ONCE: usize = 8;

/// The queues of a broker.
pub(super) struct RabbitQueues {
    pub addresses: Addresses,
    /// What the broker's operators see beside the connection.
    pub name: String,
    pub topology: Arc<Topology>,
    pub rungs: Rungs,
}

#[async_trait]
impl Queues for RabbitQueues {
    async fn depths(&self) -> Result<Depths, StorageError> {
        let asking = async {
            let connection = dial(&self.addresses, &self.name).await?;
            let depths = self.ask(&connection).await;
            hang_up(&connection).await;
            depths
        };
        tokio::time::timeout(ALL_DEADLINE, asking).await.unwrap_or_else(|_| {
            Err(StorageError::Unavailable(format!(
                "the broker has not said within {ALL_DEADLINE:?} how its queues stand"
            )))
        })
    }
}

impl RabbitQueues {
    async fn ask(&self, connection: &Connection) -> Result<Depths, StorageError> {
        let all: Vec<_> = stream::iter(self.all())
            .map(|(name, role)| async move { ask_one(connection, name, role).await })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut depths = Depths::default();
        for found in all {
            match found {
                Ok(depth) => depths.queues.push(depth),
                Err((_, Role::Rung(_))) => {} // nobody has waited for so long
                Err((name, _)) => depths.missing.push(name),
            }
        }
        Ok(depths)
    }

    /// Every queue that there may be, in the order in which they are shown.
    fn all(&self) -> Vec<(String, Role)> {
        let topology = &self.topology;
        let rung = |ms| (topology.rung(ms), Role::Rung(Duration::from_millis(ms)));
        let mut all = vec![(topology.inbox(), Role::Inbox), (topology.due(), Role::Due)];
        all.extend(self.rungs.iter().map(rung));
        all.extend([
            (topology.dead_letters(), Role::DeadLetters),
            (topology.quarantine(), Role::Quarantine),
            (topology.unroutable(), Role::Unroutable),
            (topology.orphans(), Role::Orphans),
            (topology.poison(), Role::Poison),
        ]);
        all
    }
}

/// How one queue stands; its name, when there is none.
async fn ask_one(
    connection: &Connection,
    name: String,
    role: Role,
) -> Result<Result<Depth, (String, Role)>, StorageError> {
    let opening = connection.create_channel();
    let channel = within(ONE_DEADLINE, "opening a channel", opening).await?;
    let passive = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
    let asking = channel.queue_declare(name.as_str().into(), passive, FieldTable::default());
    let what = format!("asking how queue `{name}` stands");
    let answer = tokio::time::timeout(ONE_DEADLINE, asking).await.map_err(|_| {
        StorageError::Unavailable(format!(
            "{what}: no answer from the broker within {ONE_DEADLINE:?}"
        ))
    })?;
    match answer {
        Ok(queue) => {
            let depth = Depth {
                name,
                role,
                ready: Count::exactly(queue.message_count().into()),
                consumers: Some(queue.consumer_count()),
            };
            within(ONE_DEADLINE, "closing a channel", channel.close(200, "OK".into())).await?;
            Ok(Ok(depth))
        }
        Err(error) if is_not_there(&error) => Ok(Err((name, role))),
        Err(error) => Err(unavailable(&what, &error)),
    }
}

fn is_not_there(error: &lapin::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ProtocolError(amqp) if *amqp.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
    )
}
