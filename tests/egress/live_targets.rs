//! Forbidden places, live: receivers that redirect to them, names that turn to them, our own ports. A
//! canary listens where nobody may come, and counts.

use std::net::{IpAddr, SocketAddr};

use futures_util::FutureExt as _;
use posthaste::domain::outcome::Outcome;
use posthaste::egress::Sender as _;
use posthaste::egress::guard::EgressPolicy;
use posthaste::egress::http::HttpSender;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, advance, pause, resume};
use url::Url;

use super::hostile_urls::TABLE;
use super::receiver::{Receiver, read_request};
use super::stub_names::StubNames;
use super::{AMPLE, answered, loopback, request, sender};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Only this address of the machine, over plain http: its other loopback addresses are forbidden.
fn this_one_alone() -> EgressPolicy {
    let one = vec!["127.0.0.1/32".parse().expect("a network")];
    EgressPolicy { allow_http: true, allow_cidrs: one, ..EgressPolicy::default() }
}

fn under(policy: EgressPolicy, names: std::sync::Arc<StubNames>) -> HttpSender {
    HttpSender::with_names(policy, "test", names).expect("a sender")
}

/// A receiver on 127.0.0.1 and a canary at the same port of 127.0.0.2.
async fn beside_a_canary() -> (Receiver, TcpListener) {
    // Another process may have the port there: then another is tried.
    for _ in 0..100 {
        let receiver = Receiver::answering_once(OK).await;
        let port = receiver.url().port().expect("a port");
        if let Ok(canary) = TcpListener::bind(("127.0.0.2", port)).await {
            return (receiver, canary);
        }
    }
    panic!("no port is free on both addresses");
}

fn nobody_came(canary: &TcpListener) {
    assert!(canary.accept().now_or_never().is_none(), "somebody came");
}

#[tokio::test]
async fn no_redirect_is_followed_wherever_it_leads() {
    let canary = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = canary.local_addr().expect("an address").port();
    let mut targets: Vec<String> = TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').nth(2).expect("a URL").to_owned())
        .filter(|url| url.bytes().all(|byte| byte.is_ascii_graphic()))
        .collect();
    assert!(targets.len() > 90, "{}", targets.len());
    // And places that policy allows: not even there.
    targets.push(format!("http://127.0.0.1:{port}/"));
    targets.push(format!("//127.0.0.1:{port}/"));
    targets.push(format!("http://name.example.com:{port}/"));

    let names = StubNames::answering("127.0.0.1");
    let sender = under(loopback(), names.clone());
    for (place, target) in targets.iter().enumerate() {
        let status = [301, 302, 303, 307, 308][place % 5];
        let target = target.clone();
        let receiver = Receiver::start(move |mut stream: TcpStream| {
            let head =
                format!("HTTP/1.1 {status} Go\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
            async move {
                read_request(&mut stream).await;
                stream.write_all(head.as_bytes()).await.expect("written");
            }
        })
        .await;
        let reply = sender.send(request(receiver.url(), AMPLE)).await;
        assert_eq!(reply.outcome, answered(status));
    }

    nobody_came(&canary);
    assert!(names.asked().is_empty(), "no name of a redirect was even looked up");
}

#[tokio::test]
async fn a_name_that_turns_to_a_forbidden_address_brings_nobody_there() {
    let (receiver, canary) = beside_a_canary().await;
    let sender = under(this_one_alone(), StubNames::answering("127.0.0.1|127.0.0.2"));
    let url = receiver.url_by_name("rebind.example.com");

    let first = sender.send(request(url.clone(), AMPLE)).await;
    receiver.connections_ended(1).await; // so that the next has to resolve again
    let later = sender.send(request(url, AMPLE)).await;

    assert_eq!((first.outcome, later.outcome), (answered(200), Outcome::TargetNotAllowed));
    nobody_came(&canary);
}

#[tokio::test]
async fn a_name_with_a_forbidden_address_among_others_brings_nobody_anywhere() {
    for answers in
        ["127.0.0.1,127.0.0.2", "127.0.0.2,127.0.0.1", "127.0.0.1,::1", "::ffff:127.0.0.1"]
    {
        let (receiver, canary) = beside_a_canary().await;
        let sender = under(this_one_alone(), StubNames::answering(answers));

        let reply = sender.send(request(receiver.url_by_name("mixed.example.com"), AMPLE)).await;

        assert_eq!(reply.outcome, Outcome::TargetNotAllowed, "{answers}");
        assert_eq!(receiver.connections(), 0, "{answers}");
        nobody_came(&canary);
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_and_one_that_leads_nowhere_are_told_alike() {
    let mut told = Vec::new();
    for answers in ["10.0.0.5", "169.254.169.254", "127.0.0.1,10.0.0.5", "NXDOMAIN"] {
        let sender = under(loopback(), StubNames::answering(answers));
        let url: Url = "http://inside.example.com:8080/".parse().expect("a URL");
        told.push(sender.send(request(url, AMPLE)).await.detail);
    }
    told.dedup();
    assert_eq!(told, ["the host does not resolve to an allowed address"]);
}

#[tokio::test]
async fn our_own_ports_are_not_called_by_address_nor_by_name() {
    let own = Receiver::answering(OK).await;
    let port = own.url().port().expect("a port");
    let everywhere: IpAddr = "0.0.0.0".parse().expect("an address");
    let here: IpAddr = "127.0.0.1".parse().expect("an address");
    for listen in [here, everywhere] {
        let policy =
            EgressPolicy { own_sockets: vec![SocketAddr::new(listen, port)], ..loopback() };
        let sender = under(policy, StubNames::answering("127.0.0.1"));

        let literal = sender.send(request(own.url(), AMPLE)).await;
        let named = sender.send(request(own.url_by_name("own.example.com"), AMPLE)).await;
        let other = Receiver::answering(OK).await;
        let beside = sender.send(request(other.url(), AMPLE)).await;

        assert_eq!(literal.outcome, Outcome::TargetNotAllowed);
        assert_eq!(named.outcome, Outcome::TargetNotAllowed);
        assert_eq!(beside.outcome, answered(200), "other ports of this machine may be called");
    }
    assert!(own.requests().is_empty(), "nothing was said to it");
}

#[tokio::test]
async fn a_connection_is_left_after_five_minutes_however_busy_it_is() {
    let receiver = Receiver::answering(OK).await;
    let sender = sender();

    for _ in 0..11 {
        let reply = sender.send(request(receiver.url(), AMPLE)).await;
        assert_eq!(reply.outcome, answered(200));
        pause();
        advance(Duration::from_secs(40)).await; // less than an idle connection is kept
        resume();
    }

    assert_eq!((receiver.requests().len(), receiver.connections()), (11, 2));
}
