//! Receivers that do harm: each way to waste our time or memory, against the outcome it should have.
//!
//! Whatever they do, a request ends by its deadline, what is kept of an answer is bounded, and a head
//! that says 200 is a delivery. That a test ended is the proof about time; the one about memory
//! measures the process.

use std::future::Future;
use std::time::Duration;

use posthaste::domain::delivery::RESPONSE_KEPT_MAX;
use posthaste::domain::outcome::{Meaning, Outcome};
use posthaste::egress::{Reply, Sender as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

use super::receiver::{Receiver, read_request};
use super::{AMPLE, LONGER, answered, answered_with, request, send, sender};

/// For what goes on until we have had enough.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long a slow receiver thinks between two bytes: many come within the deadline.
const PACE: Duration = Duration::from_millis(100);
/// Ten million zero bytes, compressed.
const BOMB: &[u8] = include_bytes!("../data/ten-million-zeros.gz");

/// A receiver that reads a request and then does this.
async fn after_the_request<D, F>(deed: D) -> Receiver
where
    D: Fn(TcpStream) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    Receiver::start(move |mut stream: TcpStream| {
        let deed = deed.clone();
        async move {
            read_request(&mut stream).await;
            deed(stream).await;
        }
    })
    .await
}

/// Writes the same again and again, until nobody reads it; at most a gibibyte.
async fn flood(stream: &mut TcpStream, head: &[u8], piece: &[u8]) {
    const MOST: usize = 1 << 30;
    let piece = piece.repeat((64 * 1_024 / piece.len()).max(1));
    let mut written = stream.write_all(head).await;
    let mut bytes = 0;
    while written.is_ok() && bytes < MOST {
        written = stream.write_all(&piece).await;
        bytes += piece.len();
    }
}

/// A receiver that floods.
async fn flooding(head: &'static str, piece: &'static str) -> Receiver {
    after_the_request(move |mut stream| async move {
        flood(&mut stream, head.as_bytes(), piece.as_bytes()).await;
    })
    .await
}

/// A receiver that writes `head` at once, and then one byte of `drip` at a time for ever.
async fn dripping(head: &'static str, drip: u8) -> Receiver {
    after_the_request(move |mut stream| async move {
        let mut written = stream.write_all(head.as_bytes()).await;
        let mut beat = tokio::time::interval(PACE);
        while written.is_ok() {
            beat.tick().await;
            written = stream.write_all(&[drip]).await;
        }
    })
    .await
}

fn protocol_error(reply: &Reply, detail: &str) {
    assert_eq!((&reply.outcome, reply.detail.as_str()), (&Outcome::ProtocolError, detail));
    assert_eq!(reply.outcome.meaning(), Meaning::Failed);
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_given_up_at_the_deadline() {
    for head in ["", "HTTP/1.1 200 ", "HTTP/1.1 200 OK\r\nx-slow: "] {
        let receiver = dripping(head, if head.is_empty() { b'\n' } else { b'x' }).await;

        let reply = send(receiver.url(), DEADLINE).await;

        assert_eq!(reply.outcome, Outcome::TimedOut, "{head:?}");
        receiver.connections_ended(1).await;
    }
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_left_at_the_deadline_and_its_head_counts() {
    for status in [200, 500] {
        let head = match status {
            200 => "HTTP/1.1 200 So\r\ncontent-length: 1000000\r\n\r\n",
            _ => "HTTP/1.1 500 So\r\n\r\n",
        };
        let receiver = dripping(head, b'x').await;

        let reply = send(receiver.url(), LONGER).await;

        assert_eq!(reply.outcome, answered(status));
        assert_eq!(reply.detail, "the answer did not end before the deadline");
        assert!(!reply.body.is_empty() && reply.body.len() < 100, "{}", reply.body.len());
        receiver.connections_ended(1).await;
    }
}

#[tokio::test]
async fn a_compressed_bomb_is_kept_as_it_came() {
    for encoding in ["gzip", "deflate", "br, gzip"] {
        let receiver = after_the_request(move |mut stream| async move {
            let length = BOMB.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.expect("written");
            stream.write_all(BOMB).await.expect("written");
        })
        .await;

        let reply = send(receiver.url(), AMPLE).await;

        assert_eq!(reply.outcome, answered(200));
        assert_eq!(reply.body, BOMB, "{encoding}");
    }
}

#[tokio::test]
async fn a_head_beyond_32_kib_or_100_fields_is_a_protocol_error() {
    let field = |number: usize, bytes: usize| format!("x-{number}: {}\r\n", "v".repeat(bytes));
    let head = move |fields: usize, bytes: usize| {
        let fields: String = (0..fields).map(|number| field(number, bytes)).collect();
        format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{fields}\r\n")
    };

    assert_eq!(answered_with(head(60, 500), AMPLE).await.outcome, answered(200));
    assert_eq!(answered_with(head(99, 1), AMPLE).await.outcome, answered(200));
    for (fields, bytes) in [(200, 1), (80, 1_000), (1, 80_000), (20_000, 500)] {
        let receiver = after_the_request(move |mut stream| async move {
            // Field by field: the whole would count as memory of the test beside this that measures it.
            let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n").await;
            for number in 0..fields {
                // Whoever is not read any more cannot write it all.
                if written.is_ok() {
                    written = stream.write_all(field(number, bytes).as_bytes()).await;
                }
            }
            if written.is_ok() {
                let _ = stream.write_all(b"\r\n").await;
            }
            stream.read_to_end(&mut Vec::new()).await.ok();
        })
        .await;
        let reply = send(receiver.url(), AMPLE).await;
        protocol_error(&reply, "the head of the answer is too large");
    }
}

#[tokio::test]
async fn eight_interim_answers_are_passed_over_and_more_are_a_protocol_error() {
    for interim in ["100 Continue", "102 Processing", "103 Early Hints"] {
        let interim = format!("HTTP/1.1 {interim}\r\nlink: </a>\r\n\r\n");
        let end = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

        let eight = format!("{}{end}", interim.repeat(8));
        assert_eq!(answered_with(eight, AMPLE).await.outcome, answered(200));
        let nine = format!("{}{end}", interim.repeat(9));
        let reply = answered_with(nine, AMPLE).await;
        protocol_error(&reply, "more than 8 interim answers (1xx) came");
    }
}

#[tokio::test]
async fn a_flood_of_interim_answers_is_cut_off() {
    for piece in ["HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\n"] {
        let receiver = flooding("", piece).await;

        let reply = send(receiver.url(), AMPLE).await;

        protocol_error(&reply, "more than 8 interim answers (1xx) came");
        receiver.connections_ended(1).await; // or it would go on reading
    }
}

#[tokio::test]
async fn a_switch_to_another_protocol_is_an_answer_like_any_that_is_no_success() {
    let reply =
        answered_with("HTTP/1.1 101 Now\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", AMPLE);
    let reply = reply.await;
    assert_eq!(reply.outcome.meaning(), Meaning::Failed, "{reply:?}");
}

#[tokio::test]
async fn broken_chunks_break_the_body_and_not_the_head() {
    let endless_extension = format!("1;{}", "x".repeat(100_000));
    for chunks in [
        "zz\r\n",
        "5\r\nab",
        "-1\r\n",
        "5\r\nhelloX",
        "FFFFFFFFFFFFFFFFF\r\n",
        ";\r\n",
        &endless_extension,
    ] {
        for status in [200, 500] {
            let reply = answered_with(
                format!("HTTP/1.1 {status} So\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"),
                AMPLE,
            )
            .await;
            assert_eq!(reply.outcome, answered(status), "{chunks:.20}");
            assert_eq!(reply.detail, "the answer broke off", "{chunks:.20}");
            assert_eq!(reply.outcome.meaning() == Meaning::Delivered, status == 200);
        }
    }
}

#[tokio::test]
async fn a_length_that_is_too_short_ends_the_body_and_the_connection() {
    let lying = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and HTTP/1.1 200 OK\r\n\r\n";
    let receiver = Receiver::answering(lying).await;
    let sender = sender();

    for _ in 0..2 {
        let reply = sender.send(request(receiver.url(), AMPLE)).await;

        assert_eq!((reply.outcome, &reply.body[..]), (answered(200), &b"ok"[..]));
    }
    assert_eq!(receiver.connections(), 2, "nothing begins where something else was left");
}

#[tokio::test]
async fn a_length_that_is_too_long_breaks_the_body() {
    let reply =
        answered_with("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nhalf", AMPLE).await;

    assert_eq!((reply.outcome, &reply.body[..]), (answered(200), &b"half"[..]));
    assert_eq!(reply.detail, "the answer broke off");
}

#[tokio::test]
async fn a_head_that_contradicts_itself_or_is_of_another_age_is_a_protocol_error() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        "<html>HTTP/0.9</html>\r\n",
        "HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 1000 High\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 -20 Less\r\ncontent-length: 0\r\n\r\n",
        "HTTP/3.7 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nna me: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n folded\r\n\r\n",
    ] {
        let reply = answered_with(head, AMPLE).await;
        assert_eq!(reply.outcome, Outcome::ProtocolError, "{head:?}: {}", reply.detail);
    }
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_a_failure() {
    for status in [299, 600, 999] {
        let head = format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n");
        let outcome = answered_with(head, AMPLE).await.outcome;
        assert_eq!(outcome, answered(status));
        assert_eq!(outcome.meaning() == Meaning::Delivered, status == 299);
    }
}

#[tokio::test]
async fn a_loop_of_redirects_is_one_request() {
    let receiver = Receiver::answering(
        "HTTP/1.1 308 Again\r\nlocation: /\r\nrefresh: 0\r\ncontent-length: 0\r\n\r\n",
    )
    .await;

    let reply = send(receiver.url(), AMPLE).await;

    assert_eq!(reply.outcome, answered(308));
    assert_eq!((receiver.requests().len(), receiver.connections()), (1, 1));
}

#[tokio::test]
async fn a_reset_is_a_connection_lost_until_the_head_is_whole_and_a_broken_body_from_then_on() {
    // What is written before the line is cut; nothing: not even the request is read.
    for before in
        [None, Some(""), Some("HTT"), Some("HTTP/1.1 200 OK\r\n"), Some("HTTP/1.1 200 OK\r\nx: ")]
    {
        let receiver = Receiver::start(move |mut stream: TcpStream| async move {
            if let Some(before) = before {
                read_request(&mut stream).await;
                stream.write_all(before.as_bytes()).await.expect("written");
            }
            stream.set_zero_linger().expect("an option of the socket");
        })
        .await;
        let reply = send(receiver.url(), AMPLE).await;
        assert_eq!(reply.outcome, Outcome::ConnectionLost, "{before:?}: {}", reply.detail);
    }

    // A reset takes with it what was not read: the bytes between give time to read the head.
    let receiver = after_the_request(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n";
        stream.write_all(head).await.expect("written");
        let mut beat = tokio::time::interval(PACE);
        // On a machine that was held up, too: there is time between any two.
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..10 {
            beat.tick().await;
            stream.write_all(b"x").await.expect("written");
        }
        stream.set_zero_linger().expect("an option of the socket");
    })
    .await;
    let reply = send(receiver.url(), AMPLE).await;
    assert_eq!((reply.outcome, reply.detail.as_str()), (answered(200), "the answer broke off"));
}

/// The most that this process has had in memory, in KiB.
fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn a_gibibyte_of_anything_costs_next_to_no_memory() {
    let floods = [
        ("HTTP/1.1 200 OK\r\n\r\n", "x"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n", "x"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40000000\r\n", "x"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1;e=e\r\nx\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x-trailer: y\r\n"),
        ("HTTP/1.1 200 OK\r\nx: ", "x"),
        ("HTTP/1.1 200 OK\r\n", "x-many: y\r\n"),
        ("HTTP/1.1 200 ", "x"),
        ("", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    ];
    let mut receivers = Vec::new();
    for (head, piece) in floods {
        receivers.push(flooding(head, piece).await);
    }
    let sender = sender();
    sender.send(request(receivers[0].url(), AMPLE)).await; // what is made on first use is made
    let before = peak_kib();

    // Eight of each at once.
    let urls = receivers.iter().flat_map(|receiver| vec![receiver.url(); 8]);
    let all = urls.map(|url| sender.send(request(url, AMPLE)));
    let replies = futures_util::future::join_all(all).await;

    for reply in replies {
        assert!(reply.body.len() <= RESPONSE_KEPT_MAX);
        assert_ne!(reply.outcome, Outcome::TimedOut, "it ended because there was enough of it");
    }
    let grown = peak_kib() - before;
    assert!(grown < 32 * 1_024, "{grown} KiB more than before");
}
