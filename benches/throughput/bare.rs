//! The bare loop: consume, sign, POST, acknowledge. The same libraries, and none of the promises.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use posthaste::domain::signature::{SigningKey, sign};
use tokio::sync::Semaphore;

/// Requests on the way at once, and events in memory: as the router has for one endpoint, and for
/// its window.
const AT_ONCE: usize = 32;
const PREFETCH: u16 = 1_000;

pub(super) async fn run(arguments: &[String]) {
    let [url, queue, endpoints] = arguments else { panic!("URL QUEUE ENDPOINTS") };
    let endpoints: Vec<String> = endpoints.split(',').map(Into::into).collect();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client");
    let key = SigningKey::generated([7; 32]);

    let connection =
        Connection::connect(url, ConnectionProperties::default()).await.expect("the broker is up");
    let channel = connection.create_channel().await.expect("a channel");
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.expect("qos");
    let mut arrivals = channel
        .basic_consume(
            queue.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("the queue is there");
    let room = Arc::new(Semaphore::new(AT_ONCE * endpoints.len()));
    while let Some(Ok(arrival)) = arrivals.next().await {
        let id = format!("msg_{}", arrival.delivery_tag);
        let now = posthaste::runtime::clock::now().as_seconds();
        let body = bytes::Bytes::from(arrival.data.clone());
        let mut posts = Vec::with_capacity(endpoints.len());
        for endpoint in &endpoints {
            let place = Arc::clone(&room).acquire_owned().await.expect("never closed");
            let signature = sign([&key], &id, now, &body);
            let request = client
                .post(endpoint)
                .header("content-type", "application/json")
                .header("webhook-id", &id)
                .header("webhook-timestamp", now)
                .header("webhook-signature", signature)
                .body(body.clone());
            posts.push(async move {
                let answered = request.send().await.and_then(reqwest::Response::error_for_status);
                drop(place);
                answered.is_ok()
            });
        }
        let acker = arrival.acker;
        tokio::spawn(async move {
            if futures_util::future::join_all(posts).await.into_iter().all(|sent| sent) {
                let _ = acker.ack(BasicAckOptions::default()).await;
            }
        });
    }
}
