//! A receiver that does as little as a receiver can, in a process of its own: reads a request by its
//! `content-length`, answers, and keeps a book of what came when.
//!
//! The book is by its own clock, which is the machine's, as the load generator's is: the age of an event is the time
//! from its publishing, which its payload says, to its receipt here. How an endpoint behaves is said by the first word
//! of its path. One thread, so that it takes the same share of the machine whoever sends to it.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::process::{now_us, own_role};

pub(super) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

/// How long a slow endpoint takes before it refuses.
const SLOW: Duration = Duration::from_secs(5);

/// How an endpoint behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Answers 200 at once.
    Well,
    /// Reads, and never answers.
    Hangs,
    /// Cuts the connection instead of answering.
    Resets,
    /// Answers 503 behind five seconds.
    Refuses,
}

impl Manner {
    /// The first word of a path.
    const fn word(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Hangs => "hangs",
            Self::Resets => "resets",
            Self::Refuses => "refuses",
        }
    }

    fn of(request: &[u8]) -> Self {
        let is = |manner: Self| {
            let path = request.get(b"POST /".len()..).unwrap_or_default();
            path.starts_with(manner.word().as_bytes())
        };
        [Self::Hangs, Self::Resets, Self::Refuses]
            .into_iter()
            .find(|one| is(*one))
            .unwrap_or(Self::Well)
    }
}

/// What came.
#[derive(Debug, Default)]
struct Book {
    count: usize,
    first_us: u64,
    last_us: u64,
    /// Of each that came well: the endpoint's number, when the event was published, and when it came.
    received: Vec<Received>,
}

/// An event that came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    /// The number in the endpoint's path.
    pub(super) endpoint: u32,
    pub(super) published_us: u64,
    pub(super) came_us: u64,
}

impl Received {
    /// How old it was when it came.
    pub(super) const fn age_us(&self) -> u64 {
        self.came_us.saturating_sub(self.published_us)
    }
}

impl Book {
    fn note(&mut self, request: &[u8]) {
        let now = now_us();
        if self.count == 0 {
            self.first_us = now;
        }
        self.count += 1;
        self.last_us = now;
        let endpoint = number_behind(request, b"POST /well/").unwrap_or_default();
        let published_us = number_behind(request, br#""at":"#).unwrap_or_default();
        let endpoint = u32::try_from(endpoint).unwrap_or_default();
        self.received.push(Received { endpoint, published_us, came_us: now });
    }

    /// What the driver asks for.
    fn answer(&self, request: &[u8]) -> Vec<u8> {
        let text = if request.starts_with(b"GET /book") {
            let line =
                |one: &Received| format!("{} {} {}\n", one.endpoint, one.published_us, one.came_us);
            self.received.iter().map(line).collect()
        } else {
            format!("{} {} {}\n", self.count, self.first_us, self.last_us)
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        [head.into_bytes(), text.into_bytes()].concat()
    }
}

/// The receiver's side.
pub(super) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("bound").port());
    let book = Arc::new(Mutex::new(Book::default()));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(answer(stream, Arc::clone(&book)));
    }
}

async fn answer(mut stream: TcpStream, book: Arc<Mutex<Book>>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        while let Some(length) = request_length(&buffer) {
            let request = &buffer[..length];
            let answered = if request.starts_with(b"GET /") {
                let answer = book.lock().expect("no panic").answer(request);
                stream.write_all(&answer).await
            } else {
                match Manner::of(request) {
                    Manner::Well => {
                        book.lock().expect("no panic").note(request);
                        stream.write_all(ANSWER).await
                    }
                    Manner::Hangs => std::future::pending().await,
                    Manner::Resets => {
                        let _ = stream.set_zero_linger();
                        return;
                    }
                    Manner::Refuses => {
                        tokio::time::sleep(SLOW).await;
                        stream.write_all(REFUSAL).await
                    }
                }
            };
            if answered.is_err() {
                return;
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
    let name = b"content-length:";
    let at = buffer[..head].windows(name.len()).position(|some| some.eq_ignore_ascii_case(name));
    let body = at.map_or(0, |at| digits(&buffer[at + name.len()..head]));
    let whole = head + usize::try_from(body).ok()?;
    (buffer.len() >= whole).then_some(whole)
}

/// The number that stands behind these words.
fn number_behind(request: &[u8], words: &[u8]) -> Option<u64> {
    let at = request.windows(words.len()).position(|some| some == words)?;
    Some(digits(&request[at + words.len()..]))
}

/// The number at the beginning, behind spaces; 0 where there is none.
fn digits(text: &[u8]) -> u64 {
    let text = text.trim_ascii_start();
    let number = text.iter().take_while(|byte| byte.is_ascii_digit());
    number.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// The driver's side.
pub(super) struct Process {
    child: Child,
    port: u16,
}

/// How much came, and when the first and the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) came: usize,
    pub(super) first_us: u64,
    pub(super) last_us: u64,
}

impl Process {
    pub(super) fn start() -> Self {
        let mut child = own_role("receiver", &[]);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its port");
        Self { child, port: line.trim().parse().expect("its port") }
    }

    /// The URL of the endpoint of that number.
    pub(super) fn url(&self, endpoint: usize) -> String {
        self.url_of(Manner::Well, endpoint)
    }

    pub(super) fn url_of(&self, manner: Manner, endpoint: usize) -> String {
        format!("http://127.0.0.1:{}/{}/{endpoint}", self.port, manner.word())
    }

    /// Waits until so many have come; how long it took from the first to the last.
    pub(super) async fn wait_for(&self, wanted: usize, patience: Duration) -> Duration {
        let count = self.until(wanted, patience).await;
        Duration::from_micros(count.last_us - count.first_us)
    }

    /// Waits until so many have come.
    pub(super) async fn until(&self, wanted: usize, patience: Duration) -> Count {
        let counting = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            loop {
                ticks.tick().await;
                let count = self.count().await;
                if count.came >= wanted {
                    return count;
                }
            }
        };
        let counted = tokio::time::timeout(patience, counting).await;
        let Ok(count) = counted else {
            panic!("{wanted} wanted, and there are {:?}", self.count().await);
        };
        count
    }

    pub(super) async fn count(&self) -> Count {
        let text = self.ask("/count").await;
        let mut numbers = text.split_whitespace().map(|word| word.parse().expect("a number"));
        let mut next = || numbers.next().expect("three numbers");
        let count = usize::try_from(next()).expect("a count");
        Count { came: count, first_us: next(), last_us: next() }
    }

    /// All that came, in its order.
    pub(super) async fn book(&self) -> Vec<Received> {
        let received = |line: &str| {
            let mut numbers = line.split(' ').map(|word| word.parse::<u64>().expect("a number"));
            let mut next = || numbers.next().expect("three numbers");
            let endpoint = u32::try_from(next()).expect("an endpoint");
            Received { endpoint, published_us: next(), came_us: next() }
        };
        self.ask("/book").await.lines().map(received).collect()
    }

    async fn ask(&self, what: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("it runs");
        let request = format!("GET {what} HTTP/1.1\r\nhost: bench\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it runs");
        let mut answer = Vec::new();
        let body = loop {
            let read = stream.read_buf(&mut answer).await.expect("it runs");
            if let Some(whole) = request_length(&answer) {
                let head = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
                break answer[head + 4..whole].to_vec();
            }
            assert!(read > 0, "the receiver has gone");
        };
        String::from_utf8(body).expect("text")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
