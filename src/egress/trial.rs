//! What the guard says of a URL, step by step: the way of a request up to where it would connect, and no further.
//!
//! It asks the very functions that a request is judged by, and reads from their one answer which step it failed at, so that the
//! two cannot come to differ. Names are looked up by the sender's own resolver, under its own deadline; a name may of course
//! answer otherwise the next time, which is why a request is judged again when it connects.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::{Host, Url};

use super::guard::{EgressPolicy, Refusal, check_peer, check_target};
use super::resolve::{ADDRESSES_MAX, BUDGET, Resolve, Unresolved};
use crate::domain::url_form;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Passed,
    /// A request would not be made.
    Refused,
    /// It was not looked at.
    Skipped,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is looked at.
    pub what: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found, for operators: it names addresses.
    pub found: String,
}

/// The steps of one URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The URL as it would be called, when it can be read.
    pub url: Option<Url>,
    /// The steps, in their order.
    pub steps: Vec<Step>,
}

impl Trial {
    /// Whether a request would be made, as far as this tells.
    pub fn is_allowed(&self) -> bool {
        self.steps.iter().all(|step| step.verdict != Verdict::Refused)
    }

    fn step(&mut self, what: &'static str, verdict: Verdict, found: impl Into<String>) {
        self.steps.push(Step { what, verdict, found: found.into() });
    }

    fn skip_from(&mut self, first: usize) {
        for what in &STEPS[first..] {
            self.step(what, Verdict::Skipped, "a step before it refuses the URL");
        }
    }
}

const STEPS: [&str; 7] =
    ["form", "scheme", "credentials and fragment", "host", "port", "addresses", "connection"];

/// Goes over a URL. Ends within the resolver's [`BUDGET`], and connects to nothing.
pub async fn try_out(raw: &str, policy: &EgressPolicy, names: &dyn Resolve) -> Trial {
    let mut trial = Trial { url: None, steps: Vec::with_capacity(STEPS.len()) };
    let url = match url_form::read(raw) {
        Ok(url) => url,
        Err(fault) => {
            let refusal = Refusal::from(fault);
            let failed = if matches!(refusal, Refusal::Userinfo) { 2 } else { 0 };
            if failed == 2 {
                trial.step(STEPS[0], Verdict::Passed, "it can be read");
                trial.step(
                    STEPS[1],
                    Verdict::Skipped,
                    "its credentials refuse the URL, whatever this is",
                );
            }
            trial.step(STEPS[failed], Verdict::Refused, refusal.to_string());
            trial.skip_from(failed + 1);
            return trial;
        }
    };
    trial.url = Some(url.clone());
    trial.step(STEPS[0], Verdict::Passed, format!("it is called as {url}"));
    if !judge(&mut trial, &url, policy) {
        return trial;
    }
    if look_up(&mut trial, &url, policy, names).await {
        let found = "it is not made here; a request looks at its peer once more";
        trial.step(STEPS[6], Verdict::Skipped, found);
    }
    trial
}

/// The steps that need nobody else; whether all of them pass.
fn judge(trial: &mut Trial, url: &Url, policy: &EgressPolicy) -> bool {
    let port =
        url.port_or_known_default().map_or_else(|| "none".to_owned(), |port| port.to_string());
    let host = match url.host() {
        Some(Host::Domain(name)) => format!("{name}, a name"),
        Some(Host::Ipv4(address)) => format!("{address}, an address"),
        Some(Host::Ipv6(address)) => format!("{address}, an address"),
        None => "none".to_owned(),
    };
    let found = [url.scheme(), "there are none", &host, &port];
    let refusal = check_target(url, policy).err();
    let failed = refusal.as_ref().map_or(STEPS.len(), step_of);
    for (step, found) in (1..).zip(found) {
        if step == failed {
            break;
        }
        trial.step(STEPS[step], Verdict::Passed, found);
    }
    let Some(refusal) = refusal else { return true };
    let reason = refusal.reason();
    trial.step(
        STEPS[failed],
        Verdict::Refused,
        format!("{}: {refusal} [{reason}]", found[failed - 1]),
    );
    trial.skip_from(failed + 1);
    false
}

/// The step that a refusal is of, in the order in which [`check_target`] takes them.
const fn step_of(refusal: &Refusal) -> usize {
    match refusal {
        Refusal::TooLong | Refusal::BadCharacter | Refusal::NotAbsolute => 1, // said by the form already
        Refusal::Scheme | Refusal::PlainHttp => 1,
        Refusal::Userinfo | Refusal::Fragment => 2,
        Refusal::InvalidUrl
        | Refusal::InvalidName
        | Refusal::SingleLabel
        | Refusal::SpecialUseName
        | Refusal::Address(_) => 3,
        Refusal::Port(_) => 4,
    }
}

/// Looks the name up and judges each of its addresses; whether all of them may be called.
async fn look_up(trial: &mut Trial, url: &Url, policy: &EgressPolicy, names: &dyn Resolve) -> bool {
    let Some(Host::Domain(name)) = url.host() else {
        trial.step(STEPS[5], Verdict::Skipped, "the host is an address: nobody is asked");
        return true;
    };
    let answer = tokio::time::timeout(BUDGET, names.lookup(name)).await;
    let addresses = match answer.unwrap_or(Err(Unresolved::Failed)) {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) | Err(Unresolved::NoAddress) => {
            trial.step(STEPS[5], Verdict::Refused, "the name has no address");
            trial.skip_from(6);
            return false;
        }
        Err(Unresolved::Failed | Unresolved::Refused(..)) => {
            let found = format!("no name server has answered within {} s", BUDGET.as_secs());
            trial.step(STEPS[5], Verdict::Refused, found);
            trial.skip_from(6);
            return false;
        }
    };
    let port = url.port_or_known_default().unwrap_or_default();
    let judged: Vec<_> =
        addresses.iter().map(|address| (address, judge_address(*address, port, policy))).collect();
    // Those that are refused first: they decide, and there may be many.
    let (refused, allowed): (Vec<_>, Vec<_>) =
        judged.into_iter().partition(|(_, why)| why.is_some());
    let shown = refused.iter().chain(&allowed).take(ADDRESSES_MAX);
    for (address, refusal) in shown {
        match refusal {
            Some(refusal) => {
                let found = format!("{address}: refused, {}", refusal.reason());
                trial.step(STEPS[5], Verdict::Refused, found);
            }
            None => trial.step(STEPS[5], Verdict::Passed, format!("{address}: may be called")),
        }
    }
    if !refused.is_empty() {
        trial.skip_from(6);
    }
    refused.is_empty()
}

/// As when a connection to it is made, as far as that is known: this machine is called by loopback.
fn judge_address(address: IpAddr, port: u16, policy: &EgressPolicy) -> Option<Refusal> {
    let local = if address.is_loopback() { address } else { Ipv4Addr::UNSPECIFIED.into() };
    check_peer(SocketAddr::new(address, port), local, policy).err()
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    /// Answers every name with these, or not at all.
    struct Names(Option<Vec<&'static str>>);

    #[async_trait]
    impl Resolve for Names {
        async fn lookup(&self, _: &str) -> Result<Vec<IpAddr>, Unresolved> {
            match &self.0 {
                Some(texts) => {
                    Ok(texts.iter().map(|text| text.parse().expect("an address")).collect())
                }
                None => std::future::pending().await,
            }
        }
    }

    async fn tried(url: &str, names: Names) -> Vec<(&'static str, Verdict)> {
        let trial = try_out(url, &EgressPolicy::default(), &names).await;
        trial.steps.iter().map(|step| (step.what, step.verdict)).collect()
    }

    #[tokio::test]
    async fn each_url_is_refused_at_the_step_that_it_fails_and_passes_those_before() {
        for (url, wanted) in [
            ("https://a b/", "form"),
            ("http://hook.example/", "scheme"),
            ("https://hook.example/#part", "credentials and fragment"),
            ("https://intranet/", "host"),
            ("https://10.1.2.3/", "host"),
            ("https://[::ffff:10.1.2.3]/", "host"),
            ("https://hook.example:22/", "port"),
        ] {
            let steps = tried(url, Names(Some(vec!["93.184.215.14"]))).await;
            assert_eq!(steps.iter().map(|(what, _)| *what).collect::<Vec<_>>(), STEPS, "{url}");
            let failed = STEPS.iter().position(|step| *step == wanted).expect("a step");
            for (place, (what, verdict)) in steps.into_iter().enumerate() {
                let expected = match place.cmp(&failed) {
                    std::cmp::Ordering::Less => Verdict::Passed,
                    std::cmp::Ordering::Equal => Verdict::Refused,
                    std::cmp::Ordering::Greater => Verdict::Skipped,
                };
                assert_eq!(verdict, expected, "{url}: {what}");
            }
        }
    }

    #[tokio::test]
    async fn credentials_in_a_url_are_refused_at_their_own_step() {
        let steps = tried("https://me:secret@hook.example/", Names(None)).await;
        assert_eq!(steps[2], ("credentials and fragment", Verdict::Refused));
        assert_eq!((steps[0].1, steps.len()), (Verdict::Passed, STEPS.len()));
    }

    #[tokio::test]
    async fn every_address_of_a_name_has_its_verdict_and_one_that_is_refused_refuses_the_url() {
        let names = Names(Some(vec!["93.184.215.14", "10.0.0.7"]));
        let trial = try_out("https://hook.example/x", &EgressPolicy::default(), &names).await;
        assert!(!trial.is_allowed());
        let found: Vec<_> = trial.steps[5..].iter().map(|step| step.found.as_str()).collect();
        assert_eq!(found[0], "10.0.0.7: refused, private");
        assert_eq!(found[1], "93.184.215.14: may be called");
        assert_eq!(trial.steps.last().expect("steps").verdict, Verdict::Skipped);

        let names = Names(Some(vec!["93.184.215.14"]));
        let trial = try_out("https://hook.example/x", &EgressPolicy::default(), &names).await;
        assert!(trial.is_allowed());
        assert_eq!(trial.steps.last().expect("steps").what, "connection");
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_nobody_answers_for_is_given_up_within_the_senders_own_time() {
        let steps = tried("https://hook.example/", Names(None)).await;
        assert!(steps.contains(&("addresses", Verdict::Refused)), "{steps:?}");
        let steps = tried("https://hook.example/", Names(Some(Vec::new()))).await;
        assert!(steps.contains(&("addresses", Verdict::Refused)), "{steps:?}");
    }
}
