//! The way out for test calls: the same as for deliveries, beside the dispatcher. It needs no router, so
//! that a process which only serves the API has it too.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::clock;
use crate::control::test_calls::{Called, TestCaller};
use crate::domain::endpoint::Endpoint;
use crate::domain::event::Event;
use crate::egress::{Reply, Sender};
use crate::pipeline::request::{Options, signed};

/// Longest that a test may take. Five seconds less than a request of the API: who asks is told the result,
/// and not that there is none.
const LONGEST: Duration = Duration::from_secs(40);

/// Makes test calls.
pub(super) struct TestLine {
    /// The way out.
    pub(super) sender: Arc<dyn Sender>,
    /// What holds for every request.
    pub(super) options: Options,
}

#[async_trait]
impl TestCaller for TestLine {
    async fn call(&self, event: &Event, endpoint: &Endpoint) -> Called {
        let begun_at = clock::now();
        let mut request = signed(event, endpoint, begun_at, Options { test: true, ..self.options });
        request.timeout = request.timeout.min(LONGEST);
        let Reply { outcome, body, detail, timing: _ } = self.sender.send(request).await;
        Called { outcome, took: clock::now().since(begun_at), body, detail }
    }
}
