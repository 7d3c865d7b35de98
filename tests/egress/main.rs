//! The way out, over real sockets on the loopback interface: every way in which a receiver can
//! answer, or not, and every hostile URL of the table, against the outcome it should have.
//!
//! Where a deadline is what is tested it is real and short; everything else waits for the thing
//! itself, under a deadline that no run comes near.

mod abuse;
mod hostile_urls;
mod live_targets;
mod own_headers;
mod receiver;
mod stub_names;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use posthaste::domain::delivery::RESPONSE_KEPT_MAX;
use posthaste::domain::id::{ApplicationId, EndpointId};
use posthaste::domain::outcome::{Outcome, RetryAfter};
use posthaste::domain::time::Timestamp;
use posthaste::egress::blocked::{BlockedLog, Whose};
use posthaste::egress::guard::EgressPolicy;
use posthaste::egress::http::HttpSender;
use posthaste::egress::{Reply, Request, Sender as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use receiver::{Receiver, read_request};
use stub_names::StubNames;

/// For what does not wait: never reached, unless something hangs.
const AMPLE: Duration = Duration::from_mins(1);
/// For tests that wait it out, where nothing has to come before.
const SHORT: Duration = Duration::from_millis(300);
/// For tests that wait it out, where something has to come before: a busy machine has time for that.
const LONGER: Duration = Duration::from_secs(3);

/// Policy of these tests: receivers on this machine, over plain http.
fn loopback() -> EgressPolicy {
    EgressPolicy {
        allow_http: true,
        allow_cidrs: vec!["127.0.0.0/8".parse().expect("a network")],
        ..EgressPolicy::default()
    }
}

fn sender() -> HttpSender {
    HttpSender::with_names(loopback(), "posthaste/test", StubNames::none()).expect("a sender")
}

fn request(url: Url, timeout: Duration) -> Request {
    let headers = vec![
        ("webhook-id".to_owned(), "custom".to_owned()),
        ("x-tenant".to_owned(), "acme".to_owned()),
        ("content-type".to_owned(), "application/json".to_owned()),
        ("webhook-id".to_owned(), "msg_1".to_owned()),
    ];
    let body = r#"{"a":1}"#.into();
    Request { url, headers, body, timeout, allow_http: true, once: false, whose: None }
}

/// One request to `url`, with a sender of its own.
fn acme() -> Whose {
    Whose {
        application: ApplicationId::derived(&[b"acme"]),
        endpoint: EndpointId::derived(&[b"endpoint"]),
    }
}

async fn send(url: Url, timeout: Duration) -> Reply {
    sender().send(request(url, timeout)).await
}

/// A request to a receiver that answers with this text and closes.
async fn answered_with(answer: impl Into<String>, timeout: Duration) -> Reply {
    let answer = answer.into();
    let receiver = Receiver::start(move |mut stream: TcpStream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.expect("written");
        }
    })
    .await;
    send(receiver.url(), timeout).await
}

fn answered(status: u16) -> Outcome {
    Outcome::Answered { status, retry_after: None }
}

#[tokio::test]
async fn whatever_the_status_the_answer_is_the_outcome() {
    for status in [200, 204, 299, 301, 404, 410, 500, 503] {
        let body = if status == 204 { "" } else { "hm" };
        let length = body.len();
        let reply = answered_with(
            format!("HTTP/1.1 {status} So\r\ncontent-length: {length}\r\n\r\n{body}"),
            AMPLE,
        )
        .await;

        assert_eq!(reply.outcome, answered(status));
        assert_eq!(&reply.body[..], body.as_bytes());
        assert_eq!(reply.detail, "");
    }
}

#[tokio::test]
async fn a_request_is_sent_as_given_with_our_own_headers_last() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;

    send(receiver.url().join("/hook?x=1").expect("a URL"), AMPLE).await;

    let seen = receiver.requests().remove(0);
    let (head, body) = seen.split_once("\r\n\r\n").expect("a head and a body");
    let has = |line: &str| head.lines().any(|seen| seen.eq_ignore_ascii_case(line));
    assert!(head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(has("webhook-id: msg_1") && !has("webhook-id: custom"), "{head}");
    assert!(has("x-tenant: acme") && has("content-type: application/json"), "{head}");
    assert!(has("content-length: 7") && has("accept: */*"), "{head}");
    assert!(has("user-agent: posthaste/test"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("accept-encoding"), "{head}");
    assert_eq!(body, r#"{"a":1}"#);
}

#[tokio::test]
async fn plain_http_that_its_own_policy_does_not_want_is_not_called() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let refused = Request { allow_http: false, ..request(receiver.url(), AMPLE) };

    let reply = sender().send(refused).await;

    assert_eq!(reply.outcome, Outcome::TargetNotAllowed);
    assert!(reply.detail.contains("allowHttp"), "{}", reply.detail);
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn of_an_endless_answer_the_beginning_is_kept_and_the_line_is_dropped() {
    let receiver = Receiver::start(|mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while written.is_ok() {
            written = stream.write_all(&[b'x'; 4_096]).await;
        }
    })
    .await;

    let reply = send(receiver.url(), AMPLE).await;

    assert_eq!(reply.outcome, answered(200));
    assert_eq!(reply.body.len(), RESPONSE_KEPT_MAX);
    assert_eq!(reply.detail, "only the first 16384 bytes of the answer were kept");
    receiver.connections_ended(1).await; // or this would wait for ever
}

#[tokio::test]
async fn an_answer_of_exactly_what_is_kept_is_whole() {
    let body = "x".repeat(RESPONSE_KEPT_MAX);
    let length = body.len();
    let reply =
        answered_with(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"), AMPLE)
            .await;

    assert_eq!((reply.body.len(), reply.detail.as_str()), (RESPONSE_KEPT_MAX, ""));
}

#[tokio::test]
async fn the_head_decides_when_the_body_stalls() {
    for status in [200, 500] {
        let receiver = Receiver::start(move |mut stream: TcpStream| async move {
            read_request(&mut stream).await;
            let head = format!("HTTP/1.1 {status} So\r\ncontent-length: 9\r\n\r\nhalf");
            stream.write_all(head.as_bytes()).await.expect("written");
            read_request(&mut stream).await; // until the other side hangs up
        })
        .await;

        let reply = send(receiver.url(), LONGER).await;

        assert_eq!(reply.outcome, answered(status));
        assert_eq!(&reply.body[..], b"half");
        assert_eq!(reply.detail, "the answer did not end before the deadline");
        receiver.connections_ended(1).await;
    }
}

#[tokio::test]
async fn the_head_decides_when_the_body_breaks() {
    let reply = answered_with("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", AMPLE).await;

    assert_eq!(reply.outcome, answered(200));
    assert_eq!(&reply.body[..], b"half");
    assert_eq!(reply.detail, "the answer broke off");
}

#[tokio::test]
async fn no_head_by_the_deadline_is_a_timeout_at_the_deadline() {
    let receiver = Receiver::start(|mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        read_request(&mut stream).await; // until the other side hangs up
    })
    .await;
    let began = std::time::Instant::now();

    let reply = send(receiver.url(), SHORT).await;

    assert_eq!(reply.outcome, Outcome::TimedOut);
    let took = began.elapsed();
    assert!(took >= SHORT && took < AMPLE, "{took:?}");
    receiver.connections_ended(1).await;
}

#[tokio::test]
async fn a_line_that_ends_before_the_head_is_a_connection_lost() {
    let closes = Receiver::start(|mut stream: TcpStream| async move {
        read_request(&mut stream).await;
    })
    .await;
    let resets = Receiver::start(|mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        stream.set_zero_linger().expect("an option of the socket");
    })
    .await;

    for receiver in [closes, resets] {
        let reply = send(receiver.url(), AMPLE).await;
        assert_eq!(reply.outcome, Outcome::ConnectionLost);
        assert_eq!(reply.detail, "the connection ended before an answer came");
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_error() {
    for garbage in ["SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "\0\0\0\r\n\r\n"] {
        let reply = answered_with(garbage, AMPLE).await;
        assert_eq!(reply.outcome, Outcome::ProtocolError, "{garbage:?}");
        assert_eq!(reply.detail, "the answer is not HTTP");
    }
}

#[tokio::test]
async fn a_head_without_end_is_a_protocol_error_and_not_a_matter_of_memory() {
    let receiver = Receiver::start(|mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while written.is_ok() {
            written = stream.write_all(&[b'x'; 4_096]).await;
        }
    })
    .await;

    assert_eq!(send(receiver.url(), AMPLE).await.outcome, Outcome::ProtocolError);
}

#[tokio::test]
async fn a_port_that_nobody_listens_at_is_a_failure_to_connect() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("an address").port()
    };

    let reply = send(format!("http://127.0.0.1:{closed}/").parse().expect("a URL"), AMPLE).await;

    assert_eq!(reply.outcome, Outcome::ConnectFailed);
    assert_eq!(reply.detail, "no connection: connection refused");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let receiver = Receiver::answering(
        "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
    )
    .await;

    let reply = send(receiver.url(), AMPLE).await;

    assert_eq!(reply.outcome, answered(302));
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn retry_after_is_understood_in_its_two_forms_and_in_no_other() {
    let seconds = |s| Some(RetryAfter::In(Duration::from_secs(s)));
    let date = RetryAfter::At(Timestamp::from_seconds(1_445_412_480));
    for (text, expected) in [
        ("7", seconds(7)),
        ("0", seconds(0)),
        ("999999999", seconds(999_999_999)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", Some(date)),
        ("1e300", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("99999999999999999999", None),
        ("999999999999", None),
        (
            "Fri, 31 Dec 9999 23:59:59 GMT",
            Some(RetryAfter::At(Timestamp::from_seconds(253_402_300_799))),
        ),
        ("Thu, 01 Jan 1601 00:00:00 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ] {
        let reply = answered_with(
            format!("HTTP/1.1 503 No\r\nretry-after: {text}\r\ncontent-length: 0\r\n\r\n"),
            AMPLE,
        )
        .await;
        let expected = Outcome::Answered { status: 503, retry_after: expected };
        assert_eq!(reply.outcome, expected, "{text:?}");
    }
}

#[tokio::test]
async fn tls_that_one_side_does_not_speak_or_breaks_off_is_a_tls_failure() {
    let plain = Receiver::start(|mut stream: TcpStream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        read_request(&mut stream).await;
    })
    .await;
    let closes = Receiver::start(|stream: TcpStream| async move { drop(stream) }).await;

    let reply = send(plain.url_over_tls(), AMPLE).await;
    assert_eq!(reply.outcome, Outcome::TlsFailed);
    assert_eq!(reply.detail, "what answers at this port does not speak TLS");

    assert_eq!(send(closes.url_over_tls(), AMPLE).await.outcome, Outcome::TlsFailed);
}

#[tokio::test]
async fn a_forbidden_address_in_the_url_is_refused_and_nobody_is_called() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let policy = EgressPolicy { allow_http: true, ..EgressPolicy::default() };
    let sender = HttpSender::with_names(policy, "test", StubNames::none()).expect("a sender");
    let blocked = Arc::new(BlockedLog::new(|| Timestamp::from_seconds(1_790_000_000)));
    let sender = sender.noting(Arc::clone(&blocked));

    let url: Url = format!("http://127.0.0.1:{port}/").parse().expect("a URL");
    let reply = sender.send(Request { whose: Some(acme()), ..request(url, AMPLE) }).await;

    assert_eq!(reply.outcome, Outcome::TargetNotAllowed);
    assert!(reply.detail.contains("(loopback)"), "{}", reply.detail);
    assert!(listener.accept().now_or_never().is_none(), "nobody came");
    let noted = blocked.last();
    assert_eq!((noted.len(), noted[0].whose, &*noted[0].host), (1, acme(), "127.0.0.1"));
    assert_eq!(noted[0].address, Some([127, 0, 0, 1].into()));
}

#[tokio::test]
async fn a_name_with_one_forbidden_address_is_refused_without_telling_which() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let names = StubNames::answering("127.0.0.1,10.0.0.5");
    let blocked = Arc::new(BlockedLog::new(|| Timestamp::from_seconds(1_790_000_000)));
    let sender = HttpSender::with_names(loopback(), "test", names).expect("a sender");
    let sender = sender.noting(Arc::clone(&blocked));

    let url: Url = format!("http://mixed.example.com:{port}/?key=s").parse().expect("a URL");
    let reply = sender.send(Request { whose: Some(acme()), ..request(url, AMPLE) }).await;

    let noted = blocked.last();
    assert_eq!((noted.len(), &*noted[0].host), (1, "mixed.example.com"), "operators are told");
    assert_eq!(noted[0].address, Some([10, 0, 0, 5].into()));
    assert_eq!(reply.outcome, Outcome::TargetNotAllowed);
    assert_eq!(reply.detail, "the host does not resolve to an allowed address");
    assert!(listener.accept().now_or_never().is_none(), "nobody came");
}

#[tokio::test]
async fn a_name_that_turns_to_a_forbidden_address_is_refused_when_it_does() {
    let receiver = Receiver::answering_once("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let names = StubNames::answering("127.0.0.1|169.254.169.254");
    let sender = HttpSender::with_names(loopback(), "test", names).expect("a sender");
    let url = receiver.url_by_name("rebind.example.com");

    let first = sender.send(request(url.clone(), AMPLE)).await;
    receiver.connections_ended(1).await;
    let second = sender.send(request(url, AMPLE)).await;

    assert_eq!((first.outcome, second.outcome), (answered(200), Outcome::TargetNotAllowed));
}

#[tokio::test]
async fn two_requests_share_a_connection() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let sender = sender();

    for _ in 0..2 {
        let reply = sender.send(request(receiver.url(), AMPLE)).await;
        assert_eq!(reply.outcome, answered(200));
    }

    assert_eq!((receiver.requests().len(), receiver.connections()), (2, 1));
}

#[tokio::test]
async fn what_is_sent_at_most_once_meets_no_connection_that_somebody_has_used() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let sender = sender();

    for once in [false, true, true] {
        let request = Request { once, ..request(receiver.url(), AMPLE) };
        assert_eq!(sender.send(request).await.outcome, answered(200));
    }

    assert_eq!((receiver.requests().len(), receiver.connections()), (3, 3));
}

#[tokio::test]
async fn a_line_that_ends_under_what_is_sent_at_most_once_is_the_end_of_it() {
    let receiver = Receiver::start(|mut stream: TcpStream| async move {
        read_request(&mut stream).await; // and no answer
    })
    .await;

    let reply = sender().send(Request { once: true, ..request(receiver.url(), AMPLE) }).await;

    assert_eq!(reply.outcome, Outcome::ConnectionLost);
    assert_eq!(receiver.connections(), 1, "no second try");
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_our_fault_and_nothing_is_sent() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut request = request(receiver.url(), AMPLE);
    request.headers.push(("x-bad".to_owned(), "a\r\nb: c".to_owned()));

    let reply = sender().send(request).await;

    assert_eq!(reply.outcome, Outcome::Internal);
    assert_eq!(reply.detail, "the header \"x-bad\" cannot be sent");
    assert_eq!(receiver.connections(), 0);
}
