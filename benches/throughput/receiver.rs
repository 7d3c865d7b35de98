//! A receiver that does as little as a receiver can, in a process of its own: reads a request by its
//! `content-length`, answers 200, and counts.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(super) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The receiver's side.
pub(super) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("bound").port());
    let count = Arc::new(AtomicUsize::new(0));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(answer(stream, Arc::clone(&count)));
    }
}

async fn answer(mut stream: TcpStream, count: Arc<AtomicUsize>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        while let Some(length) = request_length(&buffer) {
            if buffer.starts_with(b"GET /count") {
                let text = format!("{:>12}", count.load(Ordering::Relaxed));
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n";
                if stream.write_all(format!("{head}{text}").as_bytes()).await.is_err() {
                    return;
                }
            } else {
                count.fetch_add(1, Ordering::Relaxed);
                if stream.write_all(ANSWER).await.is_err() {
                    return;
                }
            }
            buffer.drain(..length);
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// The length of the first whole request in the buffer.
pub(super) fn request_length(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?.to_ascii_lowercase();
    let body = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    (buffer.len() >= head + body).then_some(head + body)
}

/// The driver's side.
pub(super) struct Process {
    child: Child,
    port: u16,
}

impl Process {
    pub(super) fn start() -> Self {
        let mut child = super::process::own_role("receiver", &[]);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its port");
        Self { child, port: line.trim().parse().expect("its port") }
    }

    pub(super) fn url(&self, endpoint: usize) -> String {
        format!("http://127.0.0.1:{}/{endpoint}", self.port)
    }

    /// Waits until the first has come.
    pub(super) async fn wait_for_first(&mut self, patience: Duration) {
        self.wait_for(1, patience).await;
    }

    /// Waits until so many have come; how long it took from the first to the last.
    pub(super) async fn wait_for(&mut self, wanted: usize, patience: Duration) -> Duration {
        let counting = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("it runs");
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            let mut first = None;
            loop {
                ticks.tick().await;
                let count = asked(&mut stream).await;
                if count > 0 && first.is_none() {
                    first = Some(tokio::time::Instant::now());
                }
                if count >= wanted {
                    return first.expect("some have come").elapsed();
                }
            }
        };
        tokio::time::timeout(patience, counting).await.expect("all come in time")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn asked(stream: &mut TcpStream) -> usize {
    stream.write_all(b"GET /count HTTP/1.1\r\nhost: bench\r\n\r\n").await.expect("it runs");
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") || answer.len() < 50 {
        if stream.read_buf(&mut answer).await.expect("it runs") == 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer);
    text.rsplit_once("\r\n\r\n").and_then(|(_, count)| count.trim().parse().ok()).unwrap_or(0)
}
