//! Makes one request for a delivery that has leave, and passes on how it ended.
//!
//! What it is made of is said in [`super::request`]. It is made and signed at this moment and not earlier,
//! because receivers refuse a timestamp that is older than five minutes and a delivery may wait longer than
//! that for its leave.
//!
//! At most once, the request is put on record first, and made when it is there
//! ([`Settler::let_go`](super::settle::Settler::let_go)). By then its share is released and its place in the
//! window is another's: what bounds memory meanwhile is the number of requests on the way (`max_in_flight`, each
//! with one payload at most). A stop waits for it as for any other, since its permit is out.
//!
//! **What if we die right here?** Before the record nothing has happened. Behind it the delivery is unknown for
//! good: whether the request was not begun, was on the way, or was answered, nobody makes it again.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::request::{Options, kept, signed};
use super::settle::Settler;
use super::{Job, World};
use crate::domain::delivery::{Attempt, Delivery};
use crate::domain::endpoint::Endpoint;
use crate::domain::event::Event;
use crate::domain::exchange::{SentHeaders, Timing};
use crate::domain::id::AttemptId;
use crate::domain::outcome::{Outcome, Sign};
use crate::domain::policy::Guarantee;
use crate::egress::{Reply, Sender};
use crate::failpoint;

/// Makes requests.
pub struct Courier {
    /// The way out.
    pub sender: Arc<dyn Sender>,
    /// Who hears how it ended.
    pub settler: Settler,
    /// Clock and chance.
    pub world: World,
    /// What holds for every request.
    pub options: Options,
    /// Cancelled when the time to finish is over: requests on the way are given up as interrupted.
    pub out_of_time: CancellationToken,
}

impl Courier {
    /// Makes the request, and tells the settler how it ended; what its end says about the endpoint.
    /// `begins` is dropped when the request has begun (when it is the sender's), or will not be made.
    pub async fn deliver(&self, job: Job, endpoint: Arc<Endpoint>, begins: impl Send) -> Sign {
        let about = self.about(&job.delivery, &endpoint);
        match endpoint.policy.guarantee {
            Guarantee::AtLeastOnce => {
                let attempt = self.attempt(&job.delivery.event, &endpoint, about, begins).await;
                let sign = attempt.outcome.sign(attempt.meaning);
                self.settler.attempted(job, attempt);
                sign
            }
            Guarantee::AtMostOnce => {
                let leave = self.settler.let_go(job, about.clone());
                let Some(Ok(let_go)) = self.out_of_time.run_until_cancelled(leave).await else {
                    return Sign::NONE;
                };
                failpoint!("send.let_go");
                let event = Arc::clone(&let_go.delivery().event);
                let attempt = self.attempt(&event, &endpoint, about, begins).await;
                let sign = attempt.outcome.sign(attempt.meaning);
                self.settler.ended(let_go, attempt);
                sign
            }
        }
    }

    /// An attempt that is about to begin.
    fn about(&self, delivery: &Delivery, endpoint: &Endpoint) -> Attempt {
        let started_at = self.world.now();
        Attempt {
            id: AttemptId::minted(started_at, self.world.chance_bytes()),
            number: delivery.attempts.saturating_add(1),
            started_at,
            duration_ms: 0,
            timing: Timing::default(),
            headers: SentHeaders::default(),
            meaning: endpoint.policy.judge(&Outcome::Unknown),
            policy: Arc::clone(&endpoint.policy),
            outcome: Outcome::Unknown,
            url: endpoint.url.as_str().into(),
            response: bytes::Bytes::new(),
            detail: String::new(),
        }
    }

    /// Makes the request, and completes what is known of its attempt.
    async fn attempt(
        &self,
        event: &Event,
        endpoint: &Endpoint,
        about: Attempt,
        begins: impl Send,
    ) -> Attempt {
        let begun_at = self.world.now();
        let request = signed(event, endpoint, begun_at, self.options);
        let headers = kept(&request, event, endpoint, about.started_at);
        failpoint!("send.signed");
        let sending = self.out_of_time.run_until_cancelled(self.sender.send(request));
        let reply = begun(sending, begins).await.unwrap_or_else(interrupted);
        failpoint!("send.answered");
        let took = self.world.now().since(begun_at);
        Attempt {
            duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
            timing: reply.timing,
            headers,
            meaning: endpoint.policy.judge(&reply.outcome),
            outcome: reply.outcome,
            response: reply.body,
            detail: reply.detail,
            ..about
        }
    }
}

/// Does this, and drops `begins` when the first step of it is taken.
async fn begun<T>(doing: impl Future<Output = T>, begins: impl Send) -> T {
    let mut doing = std::pin::pin!(doing);
    let mut begins = Some(begins);
    std::future::poll_fn(|context| {
        let step = doing.as_mut().poll(context);
        begins.take();
        step
    })
    .await
}

fn interrupted() -> Reply {
    Reply {
        outcome: Outcome::Interrupted,
        body: bytes::Bytes::new(),
        detail: "we stopped before the answer came".into(),
        timing: Timing::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_has_begun_when_its_first_step_is_taken() {
        let token = Arc::new(());
        let doing = begun(std::future::pending::<()>(), Arc::clone(&token));
        let mut doing = std::pin::pin!(doing);
        assert_eq!(Arc::strong_count(&token), 2, "nothing was done yet");

        assert!(futures_util::poll!(doing.as_mut()).is_pending());

        assert_eq!(Arc::strong_count(&token), 1);
    }
}
