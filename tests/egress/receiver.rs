//! A receiver on the loopback interface that does to each connection what a test tells it to, and
//! remembers what it saw.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

/// Never reached, unless something hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// Listens until dropped.
pub(crate) struct Receiver {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    /// Connections begun and ended.
    counts: watch::Receiver<(usize, usize)>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Receiver {
    /// Treats each connection with `serve`.
    pub(crate) async fn start<S, F>(serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::seeing(Arc::default(), serve).await
    }

    async fn seeing<S, F>(requests: Arc<Mutex<Vec<String>>>, serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (begun_ended, counts) = watch::channel((0, 0));
        let begun_ended = Arc::new(begun_ended);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                begun_ended.send_modify(|(begun, _)| *begun += 1);
                let served = serve(stream);
                let begun_ended = Arc::clone(&begun_ended);
                tokio::spawn(async move {
                    served.await;
                    begun_ended.send_modify(|(_, ended)| *ended += 1);
                });
            }
        });
        Self { port, requests, counts, accepting }
    }

    /// Gives every request the same answer, and keeps connections open.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::answering_each(answer, usize::MAX).await
    }

    /// Gives one request per connection this answer, and closes.
    pub(crate) async fn answering_once(answer: &'static str) -> Self {
        Self::answering_each(answer, 1).await
    }

    async fn answering_each(answer: &'static str, per_connection: usize) -> Self {
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        Self::seeing(requests, move |mut stream: TcpStream| {
            let seen = Arc::clone(&seen);
            async move {
                for _ in 0..per_connection {
                    let Some(request) = read_request(&mut stream).await else { break };
                    seen.lock().expect("not poisoned").push(request);
                    stream.write_all(answer.as_bytes()).await.expect("written");
                }
            }
        })
        .await
    }

    /// Where it is.
    pub(crate) fn url(&self) -> Url {
        self.url_by_name("127.0.0.1")
    }

    /// Where it is, for those who would talk TLS to it.
    pub(crate) fn url_over_tls(&self) -> Url {
        format!("https://127.0.0.1:{}/", self.port).parse().expect("a URL")
    }

    /// Where it is, by another name.
    pub(crate) fn url_by_name(&self, name: &str) -> Url {
        format!("http://{name}:{}/", self.port).parse().expect("a URL")
    }

    /// The requests seen by [`Receiver::answering`], head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }

    /// Connections that were made.
    pub(crate) fn connections(&self) -> usize {
        self.counts.borrow().0
    }

    /// Waits until so many connections have been made and have ended.
    pub(crate) async fn connections_ended(&self, wanted: usize) {
        let mut counts = self.counts.clone();
        let ended = counts.wait_for(|(_, ended)| *ended >= wanted);
        tokio::time::timeout(PATIENCE, ended).await.expect("in time").expect("still counting");
    }
}

/// Reads a request, head and body; `None` when the other side has hung up.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().expect("a length"));
            if bytes.len() >= end + 4 + length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}
