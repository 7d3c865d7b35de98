//! The client beside somebody who answers by the word: what is asked, and what is made of each answer.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

/// Somebody who gives these answers in turn, one a connection, and tells what was asked.
async fn somebody(answers: Vec<String>) -> (Client, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let (telling, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut asked = Vec::new();
            let wanted = |asked: &[u8]| {
                let text = String::from_utf8_lossy(asked).into_owned();
                let (head, body) = text.split_once("\r\n\r\n")?;
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                (body.len() >= length.map_or(0, |n| n.parse().expect("a number"))).then_some(())
            };
            while wanted(&asked).is_none() {
                let mut part = [0; 4_096];
                let read = stream.read(&mut part).await.expect("readable");
                assert_ne!(read, 0, "the request broke off");
                asked.extend_from_slice(&part[..read]);
            }
            let _ = telling.send(String::from_utf8(asked).expect("text"));
            stream.write_all(answer.as_bytes()).await.expect("writable");
        }
    });
    let door = Door { base: Url::parse(&base).expect("a URL"), token: "secret".to_owned().into() };
    (Client::new(Server::Named(door)).expect("a client"), told)
}

fn answer(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn path() -> Path {
    Path::within(Some("a/b"), &["dead-letter"])
        .with("text", Some("a b&c"))
        .with("since", None::<&str>)
}

#[tokio::test]
async fn what_is_asked_names_the_path_and_who_asks() {
    let (client, mut heard) = somebody(vec![answer(200, "{\"n\":1}")]).await;
    let told: Value = client.get(&path()).await.expect("an answer");

    assert_eq!(told["n"], 1);
    let asked = heard.recv().await.expect("a request");
    assert!(
        asked.starts_with("GET /api/v1/app/a%2Fb/dead-letter?text=a+b%26c HTTP/1.1"),
        "{asked}"
    );
    assert!(asked.contains("authorization: Bearer secret\r\n"), "{asked}");
    assert!(!asked.contains("idempotency-key"), "{asked}");
}

#[tokio::test]
async fn a_deed_whose_answer_broke_off_is_asked_again_under_the_same_key() {
    let (client, mut heard) = somebody(vec![String::new(), answer(202, "{}")]).await;
    let told: Value = client.tell(&path(), &Value::Null).await.expect("the second answer");

    assert_eq!(told, serde_json::json!({}));
    let key = |asked: String| {
        let line = asked.lines().find(|line| line.starts_with("idempotency-key: "));
        line.expect("a key").to_owned()
    };
    let (first, second) = (heard.recv().await, heard.recv().await);
    assert_eq!(key(first.expect("one")), key(second.expect("another")));
}

#[tokio::test]
async fn a_recovery_that_is_cut_off_is_asked_for_again_under_another_key_until_it_is_done() {
    let cut_off = || answer(408, r#"{"code":"timeout","detail":"it took too long"}"#);
    let (client, mut heard) = somebody(vec![cut_off(), cut_off(), answer(200, "{}")]).await;

    crate::cli::recover::offered(&client, &path()).await.expect("the rest is done");

    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let asked = heard.recv().await.expect("asked");
        keys.insert(
            asked.lines().find(|line| line.starts_with("idempotency-key: ")).map(str::to_owned),
        );
    }
    assert_eq!(keys.len(), 3, "{keys:?}");
}

#[tokio::test]
async fn what_the_router_says_is_its_sentence_with_its_status() {
    let parts = r#"{"detail":[{"loc":["body","filter","status"],"msg":"a code is accepted","type":"value_error"}]}"#;
    for (status, body, said) in [
        (
            404,
            r#"{"code":"not_found","detail":"no application is called `x`"}"#,
            "no application is called `x`",
        ),
        (422, parts, "filter.status: a code is accepted"),
        (
            403,
            r#"{"code":"x","detail":"Insufficient access."}"#,
            "A token of the organisation is wanted",
        ),
        (401, r#"{"code":"x","detail":"Invalid token"}"#, "`posthaste token create` makes one"),
    ] {
        let (client, _heard) = somebody(vec![answer(status, body)]).await;
        let refusal = client.get::<Value>(&path()).await.expect_err("refused");
        assert!(
            matches!(refusal, Refusal::Said { status: told, .. } if told == status),
            "{refusal:?}"
        );
        assert!(refusal.to_string().contains(said), "{refusal}");
    }
}

#[tokio::test]
async fn who_answers_and_is_no_router_is_told_from_one() {
    for (status, body) in [(200, "<html>"), (502, "<html>bad gateway</html>"), (200, "")] {
        let (client, _heard) = somebody(vec![answer(status, body)]).await;
        let refusal = client.get::<super::super::wire::ListAnswer<Value>>(&path()).await;
        let refusal = refusal.expect_err("strange");
        assert!(matches!(refusal, Refusal::Strange(_)), "{refusal:?}");
        assert!(!refusal.passes());
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_says_where() {
    let (client, _heard) = somebody(Vec::new()).await; // whose listener is gone at once
    let refusal = client.get::<Value>(&path()).await.expect_err("nobody");
    assert!(matches!(refusal, Refusal::Unreachable(_)) && refusal.passes(), "{refusal:?}");
    assert!(refusal.to_string().starts_with("no router answers at http://127.0.0.1:"), "{refusal}");
}
