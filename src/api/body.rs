//! What was sent: read within bounds of size, time and memory.
//!
//! The bodies of all requests together have a bound, too: each takes its share of it before it is read,
//! and gives it back when its answer is made; until that is read, it is the connection's (`server`). A client that lies about the length, or does not tell,
//! takes the share of the largest.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use super::routes::Api;

/// Bytes of the largest body, unless a single payload may be larger: a batch of 500 events of 32 KiB.
const BODY_MAX: usize = 16 * 1024 * 1024;
/// Bytes of the largest body that is not a message: an event type with the schemas of its versions, or ten
/// thousand dead letters by their ids.
const SMALL_MAX: usize = 512 * 1024;
/// Bytes of a message besides its payload: its id, subject and times, with room to spare.
const AROUND_A_PAYLOAD: usize = 64 * 1024;
/// Bytes of all bodies together, as KiB: four of the largest, or sixty of a MiB. Each is in memory up to
/// three times, as it came, as it is stored and as it is answered.
const ALL_KIB: u32 = 4 * 17 * 1024;
/// How long a body may take to come, once its head is here.
const SLOWEST: Duration = Duration::from_secs(15);
/// How long a body waits for its share while others have it; a request that cannot even begin is better
/// tried again.
const SHARE: Duration = Duration::from_secs(5);

/// The room for bodies.
pub(super) struct Bodies {
    max_bytes: usize,
    room: Arc<Semaphore>,
}

/// A body that came whole, with its share of the room.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl Bodies {
    pub(super) fn new(max_payload_bytes: usize) -> Self {
        let max_bytes = BODY_MAX.max(max_payload_bytes + AROUND_A_PAYLOAD);
        Self { max_bytes, room: Arc::new(Semaphore::new(ALL_KIB as usize)) }
    }

    async fn share(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let kib = u32::try_from(bytes.div_ceil(1_024)).unwrap_or(ALL_KIB).min(ALL_KIB);
        let share = Arc::clone(&self.room).acquire_many_owned(kib);
        match tokio::time::timeout(SHARE, share).await {
            Ok(share) => Ok(share.expect("it is never closed")),
            Err(_) => Err(Problem::Busy),
        }
    }
}

impl Body {
    /// A body that is no message: what people and their programs write about endpoints and their like. The
    /// bound is small, so that few of them cannot take the room of all others.
    ///
    /// # Errors
    /// As for any body.
    pub(super) async fn small(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        Self::within(SMALL_MAX, request, api).await
    }

    /// The first bytes of a body that nobody needs whole, and whether there are more. The rest is read and
    /// dropped, up to the size of any body: who is still writing would not hear the answer.
    ///
    /// # Errors
    /// As for any body; an encoded one is taken as it is.
    pub(super) async fn beginning(
        most: usize,
        request: Request,
        api: &Arc<Api>,
    ) -> Result<(Self, bool), Problem> {
        let bodies = api.bodies();
        let share = bodies.share(most).await?;
        let reading = async {
            let mut stream = request.into_body().into_data_stream();
            let (mut kept, mut came) = (BytesMut::new(), 0);
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.map_err(|error| {
                    Problem::Invalid(format!("the body did not come whole: {error}"))
                })?;
                came += chunk.len();
                if came > bodies.max_bytes {
                    return Err(too_large(bodies.max_bytes));
                }
                kept.extend_from_slice(&chunk[..chunk.len().min(most - kept.len())]);
            }
            Ok((kept.freeze(), came > most))
        };
        let read = tokio::time::timeout(SLOWEST, reading).await;
        let (bytes, more) = read.map_err(|_| Problem::Slow(SLOWEST))??;
        Ok((Self { bytes, _share: share }, more))
    }

    async fn within(max: usize, request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let bodies = api.bodies();
        if let Some(coding) = coding(request.headers()) {
            return Err(Problem::Encoded(coding));
        }
        let announced = announced(request.headers());
        if announced.is_some_and(|bytes| bytes > max) {
            return Err(too_large(max));
        }
        let share = bodies.share(announced.unwrap_or(max)).await?;
        let reading = read(request, announced.unwrap_or_default(), max);
        match tokio::time::timeout(SLOWEST, reading).await {
            Ok(Ok(Some(bytes))) => Ok(Self { bytes, _share: share }),
            Ok(Ok(None)) => Err(too_large(max)),
            Ok(Err(error)) => {
                Err(Problem::Invalid(format!("the body did not come whole: {error}")))
            }
            Err(_) => Err(Problem::Slow(SLOWEST)),
        }
    }
}

impl FromRequest<Arc<Api>> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        Self::within(api.bodies().max_bytes, request, api).await
    }
}

fn too_large(max: usize) -> Problem {
    Problem::TooLarge(format!("the body has more than the {max} bytes accepted"))
}

/// How the body is encoded, if it is.
fn coding(headers: &HeaderMap) -> Option<String> {
    let coding = String::from_utf8_lossy(headers.get(CONTENT_ENCODING)?.as_bytes()).into_owned();
    (!coding.eq_ignore_ascii_case("identity")).then_some(coding)
}

/// Bytes that the head says there are. The server's own reading stops there.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The whole body; `None` when it is longer than `max` bytes.
async fn read(
    request: Request,
    announced: usize,
    max: usize,
) -> Result<Option<Bytes>, axum::Error> {
    let mut stream = request.into_body().into_data_stream();
    let mut whole = BytesMut::with_capacity(announced);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if whole.len() + chunk.len() > max {
            return Ok(None);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(Some(whole.freeze()))
}
