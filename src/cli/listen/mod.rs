//! `posthaste listen`: a receiver on this machine that checks signatures and shows what arrives.
//!
//! It can also misbehave on purpose (late, failing, failing at first), so that retries can be
//! watched without another program. It uses no settings and no store: a receiver is somebody
//! else's program. What it decides is in `judge`; here are the socket and the printing.

mod judge;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use self::judge::{Answer, Arrival, Manners, Verdict, judge};
use super::output::{Output, note, print_object, visible_lines};
use super::span::span;
use crate::domain::signature::ReceiverKey;
use crate::runtime::clock;

/// Largest body that is taken: eight times what is sent by default.
const BODY_MAX: usize = 8 * 1_024 * 1_024;

/// Most ids whose requests are counted, so that an endless test does not fill the memory; beyond
/// it new ids are answered as if each came for the first time.
const IDS_MAX: usize = 1_000_000;

/// How long requests on the way may take to end after a stop was asked for.
const STOP_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8765)]
    port: u16,
    /// A secret (whsec_…) or public key (whpk_…) that requests may be signed with; may be given
    /// several times
    #[arg(long = "secret", value_name = "SECRET")]
    secrets: Vec<ReceiverKey>,
    /// The status that is answered
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// Wait so long before answering, as 2s
    #[arg(long, value_name = "SPAN", value_parser = span)]
    delay: Option<Duration>,
    /// Answer 500 to the first N requests of each webhook-id
    #[arg(long, default_value_t = 0, value_name = "N")]
    fail_first: u32,
    /// Send this Retry-After (seconds) with each answer that is not a success
    #[arg(long, value_name = "SECONDS")]
    retry_after: Option<u32>,
    /// Show each body, too
    #[arg(long)]
    show_body: bool,
    /// Show nothing but the sum at the end
    #[arg(long)]
    quiet: bool,
}

pub(super) async fn run(args: ListenArgs, output: Output) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    note(&format!("listening on http://{}/", listener.local_addr()?));
    if args.secrets.is_empty() {
        note("signatures are not checked: no --secret is given");
    }
    let receiver = Arc::new(Receiver {
        keys: args.secrets,
        manners: Manners {
            status: args.status,
            delay: args.delay.unwrap_or_default(),
            fail_first: args.fail_first,
            retry_after: args.retry_after,
        },
        show_body: args.show_body,
        quiet: args.quiet,
        output,
        tally: Mutex::new(Tally::default()),
    });

    let (stop, mut stopped) = watch::channel(());
    let router = Router::new().fallback(receive).with_state(receiver.clone());
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = stopped.changed().await; // the sender is gone: that is a stop, too
    });
    let mut serving = tokio::spawn(serving.into_future());
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        biased; // a signal is never kept waiting by traffic
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
        ended = &mut serving => ended??,
    }
    let _ = stop.send(());
    // Who still waits for a late answer is left without one.
    let _ = tokio::time::timeout(STOP_WAIT, &mut serving).await;
    note(&receiver.tally().to_string());
    Ok(())
}

struct Receiver {
    keys: Vec<ReceiverKey>,
    manners: Manners,
    show_body: bool,
    quiet: bool,
    output: Output,
    tally: Mutex<Tally>,
}

impl Receiver {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, arrival: &Arrival<'_>, verdict: &Verdict, status: u16) -> std::io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        if self.output.json {
            return print_object(&arrival.as_json(verdict, status, self.show_body));
        }
        self.output.line(&arrival.as_line(verdict, status))?;
        if self.show_body {
            for line in visible_lines(arrival.body).lines() {
                self.output.line(&format!("  {line}"))?;
            }
        }
        Ok(())
    }
}

/// What came, in sum.
#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    repeated: u64,
    unverified: u64,
    by_id: HashMap<String, u32>,
}

impl Tally {
    /// Counts a request; how many of the same id came before it. One without an id has no first
    /// time: it counts as if countless had come.
    fn count(&mut self, id: &str, verdict: &Verdict) -> u32 {
        self.requests += 1;
        self.unverified += u64::from(matches!(verdict, Verdict::Refused(_)));
        if id.is_empty() {
            return u32::MAX;
        }
        if let Some(seen) = self.by_id.get_mut(id) {
            self.repeated += 1;
            *seen += 1;
            return *seen - 1;
        }
        if self.by_id.len() < IDS_MAX {
            self.by_id.insert(id.into(), 1);
        }
        0
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { requests, repeated, unverified, by_id } = self;
        let ids = by_id.len();
        write!(f, "{requests} requests, {ids} ids, {repeated} repeated, {unverified} not verified")
    }
}

async fn receive(State(receiver): State<Arc<Receiver>>, request: Request) -> Response<Body> {
    let at = clock::now();
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else {
        let what = format!("a body was cut off, or had more than {BODY_MAX} bytes");
        note(&what);
        return answered(Answer::plain(413));
    };
    let headers = texts(&parts.headers);
    let arrival = Arrival {
        at,
        method: parts.method.as_str(),
        path: parts.uri.path_and_query().map_or("/", |path| path.as_str()),
        headers: &headers,
        body: &body,
    };
    let verdict = judge(&arrival, &receiver.keys);
    let seen = receiver.tally().count(arrival.header("webhook-id"), &verdict);
    let answer = match &verdict {
        // As a good receiver does: what does not verify is not accepted.
        Verdict::Refused(_) => Answer::plain(401),
        Verdict::Unchecked | Verdict::Verified => receiver.manners.answer(seen),
    };
    if let Err(error) = receiver.show(&arrival, &verdict, answer.status) {
        note(&format!("an arrival could not be shown: {error}"));
    }
    tokio::time::sleep(answer.delay).await;
    answered(answer)
}

fn answered(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("200 to 599 by its flag");
    if let Some(seconds) = answer.retry_after {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    response
}

/// The headers in their order, as text.
fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_id_are_counted_together() {
        let mut tally = Tally::default();
        let counts: Vec<u32> = ["a", "b", "a", "a", ""]
            .iter()
            .map(|id| tally.count(id, &Verdict::Unchecked))
            .collect();

        assert_eq!(counts, [0, 0, 1, 2, u32::MAX]);
        assert_eq!(tally.to_string(), "5 requests, 2 ids, 2 repeated, 0 not verified");
    }
}
