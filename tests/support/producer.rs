//! A producer in the test itself: publishes with confirms, and looks into queues.

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm,
};

use super::router::Posthaste;
use super::until;

/// A connection of its own.
pub(crate) struct Producer {
    _connection: Connection,
    channel: Channel,
    exchange: ShortString,
}

/// A message taken out of a queue.
pub(crate) struct Taken {
    /// Its body.
    pub(crate) body: Vec<u8>,
    headers: FieldTable,
}

impl Taken {
    /// A header as text; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> String {
        match self.headers.inner().get(name) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            Some(AMQPValue::ShortString(text)) => text.to_string(),
            _ => String::new(),
        }
    }
}

impl Producer {
    /// Connects to the broker of this posthaste.
    pub(crate) async fn connect(posthaste: &Posthaste) -> Self {
        let connection = Connection::connect(posthaste.broker(), ConnectionProperties::default())
            .await
            .expect("the broker is up");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let exchange = format!("{}.events", posthaste.prefix()).into();
        Self { _connection: connection, channel, exchange }
    }

    /// Publishes one event, and waits for its confirm.
    pub(crate) async fn publish(&self, routing_key: &str, body: &str) {
        self.send(routing_key, body.as_bytes(), BasicProperties::default()).await;
    }

    /// The same, with an id of its own.
    pub(crate) async fn publish_named(&self, routing_key: &str, id: &str, body: &str) {
        let properties = BasicProperties::default().with_message_id(id.into());
        self.send(routing_key, body.as_bytes(), properties).await;
    }

    /// The same, with a type beside the routing key.
    pub(crate) async fn publish_typed(&self, routing_key: &str, event_type: &str, body: &[u8]) {
        let properties = BasicProperties::default().with_type(event_type.into());
        self.send(routing_key, body, properties).await;
    }

    /// Publishes events that differ, as fast as may be; waits until all are confirmed.
    pub(crate) async fn publish_many(&self, routing_key: &str, count: usize) {
        let mut confirms = Vec::new();
        for number in 0..count {
            let body = format!(r#"{{"n":{number}}}"#);
            let sent = self.submit(routing_key, body.as_bytes(), BasicProperties::default()).await;
            confirms.push(sent.expect("published"));
        }
        for confirm in confirms {
            assert!(confirm.await.expect("answered").is_ack(), "confirmed");
        }
    }

    /// Publishes one event; whether it was confirmed. For a broker that may die.
    pub(crate) async fn try_publish(&self, routing_key: &str, id: &str, body: &str) -> bool {
        let properties = BasicProperties::default().with_message_id(id.into());
        match self.submit(routing_key, body.as_bytes(), properties).await {
            Ok(confirm) => matches!(confirm.await, Ok(Confirmation::Ack(None))),
            Err(_) => false,
        }
    }

    async fn send(&self, routing_key: &str, body: &[u8], properties: BasicProperties) {
        let confirm = self.submit(routing_key, body, properties).await.expect("published");
        assert!(confirm.await.expect("answered").is_ack(), "confirmed");
    }

    async fn submit(
        &self,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> lapin::Result<PublisherConfirm> {
        let (exchange, options) = (self.exchange.clone(), BasicPublishOptions::default());
        let properties = properties.with_delivery_mode(2);
        self.channel.basic_publish(exchange, routing_key.into(), options, body, properties).await
    }

    /// Makes a queue that hears what comes to an exchange under such keys.
    pub(crate) async fn listen(&self, exchange: &str, pattern: &str, queue: &str) {
        let made = self.channel.queue_declare(
            queue.into(),
            QueueDeclareOptions::default(),
            FieldTable::default(),
        );
        made.await.expect("declared");
        let bound = self.channel.queue_bind(
            queue.into(),
            exchange.into(),
            pattern.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        bound.await.expect("bound");
    }

    /// Takes a message out of a queue, once there is one.
    pub(crate) async fn take(&self, queue: &str) -> Taken {
        let found = std::cell::RefCell::new(None);
        until(&format!("{queue} has a message"), super::PATIENCE, async || {
            let got = self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await;
            *found.borrow_mut() = got.expect("the queue is there");
            found.borrow().is_some()
        })
        .await;
        let message = found.into_inner().expect("waited for").delivery;
        let headers = message.properties.headers().clone().unwrap_or_default();
        Taken { body: message.data, headers }
    }

    /// Messages that are ready in a queue.
    pub(crate) async fn waiting_in(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(queue.into(), options, FieldTable::default());
        declared.await.expect("the queue is there").message_count()
    }
}
