//! Names that answer what a test wants, in the notation of the table of hostile URLs: addresses
//! with commas between them, `|` between one answer and the next, `NXDOMAIN`, `TIMEOUT`.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use posthaste::egress::resolve::{Resolve, Unresolved};

/// Answers in the order given; the last one for ever.
pub(crate) struct StubNames {
    answers: Mutex<Vec<String>>,
    asked: Mutex<Vec<String>>,
}

impl StubNames {
    pub(crate) fn answering(answers: &str) -> Arc<Self> {
        let answers = answers.split('|').rev().map(str::to_owned).collect();
        Arc::new(Self { answers: Mutex::new(answers), asked: Mutex::default() })
    }

    /// Where no name should be asked for.
    pub(crate) fn none() -> Arc<Self> {
        Self::answering("NXDOMAIN")
    }

    /// The names that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }

    fn next(&self) -> String {
        let mut answers = self.answers.lock().expect("not poisoned");
        if answers.len() > 1 { answers.pop() } else { answers.last().cloned() }
            .expect("there is always a last answer")
    }
}

#[async_trait]
impl Resolve for StubNames {
    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        self.asked.lock().expect("not poisoned").push(name.to_owned());
        match self.next().as_str() {
            "NXDOMAIN" => Err(Unresolved::NoAddress),
            "TIMEOUT" => std::future::pending().await,
            addresses => Ok(addresses
                .split(',')
                .map(|address| address.parse().expect("an address"))
                .collect()),
        }
    }
}
