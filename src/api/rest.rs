//! What a refused request still had to say is heard before it is answered.
//!
//! Most refusals are decided by the head of a request: no token, no such path, not yours. Its body may
//! still be on its way then, and a connection that is answered and closed under a client that is writing
//! loses the answer: the client reads "connection reset" where a reason stood. So what is left of a body
//! is read and dropped, up to [`REST_BYTES`] and [`REST`]; the connection is then as good as new for the
//! next request. A body beyond that costs its client the connection.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{Stream, StreamExt as _};

/// Bytes of a body that are read although nobody wants them: more than anything but a batch of messages
/// has.
const REST_BYTES: usize = 256 * 1024;
/// How long to wait for them: they were sent right behind the head, or nearly so.
const REST: Duration = Duration::from_secs(1);

/// Around everything: answers when the body is in, whoever has read it.
pub(super) async fn heard_out(request: Request, next: Next) -> Response {
    if request.headers().contains_key(EXPECT) {
        return next.run(request).await; // it sends a body only when somebody wants it
    }
    let (head, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body.into_data_stream()));
    let lent = Body::from_stream(shared(&body));
    let answer = next.run(Request::from_parts(head, lent)).await;
    if answer.status() == StatusCode::REQUEST_TIMEOUT {
        return answer; // it was waited for, long enough
    }
    let rest = async {
        let (mut rest, mut bytes) = (shared(&body), 0);
        while let Some(Ok(chunk)) = rest.next().await {
            bytes += chunk.len();
            if bytes > REST_BYTES {
                break;
            }
        }
    };
    // When it does not come, the connection ends with this answer.
    let _ = tokio::time::timeout(REST, rest).await;
    answer
}

/// The same stream, for one reader after another.
fn shared<S: Stream + Unpin>(stream: &Arc<Mutex<S>>) -> impl Stream<Item = S::Item> + use<S> {
    let stream = Arc::clone(stream);
    futures_util::stream::poll_fn(move |context| {
        stream.lock().expect("nobody panics with it").poll_next_unpin(context)
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::api::server;

    async fn refusing() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let routes = Router::new()
            .fallback(async || StatusCode::NOT_FOUND)
            .layer(middleware::from_fn(heard_out));
        tokio::spawn(server::serve(listener, routes, CancellationToken::new()));
        TcpStream::connect(address).await.expect("it listens")
    }

    fn answers(text: &str) -> usize {
        text.matches("HTTP/1.1 404").count()
    }

    #[tokio::test]
    async fn a_refused_client_that_writes_on_keeps_its_connection() {
        let mut stream = refusing().await;
        let head = "POST /nowhere HTTP/1.1\r\nhost: api\r\ncontent-length: 4\r\n\r\n";
        for _ in 0..50 {
            stream.write_all(head.as_bytes()).await.expect("it is read");
            tokio::task::yield_now().await; // head and body come one by one, as many clients send them
            stream.write_all(b"body").await.expect("it is read");
            let mut answer = vec![0; 1_024];
            let bytes = stream.read(&mut answer).await.expect("it is answered");
            assert_eq!(answers(&String::from_utf8_lossy(&answer[..bytes])), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_client_that_does_not_write_on_is_answered_all_the_same() {
        let mut stream = refusing().await;
        let head = "POST /nowhere HTTP/1.1\r\nhost: api\r\ncontent-length: 4\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("it is read");

        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it is answered, and the connection ends");

        assert_eq!(answers(&answer), 1, "{answer}");
    }
}
