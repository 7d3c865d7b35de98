//! How many requests are on the way to one host, over all endpoints and tenants.
//!
//! An endpoint bounds its own requests, but anybody may make five hundred endpoints at one address
//! that is not theirs. So hosts are counted too. A lane whose host is full waits for its turn at that
//! host, and for nothing else: lanes of other hosts go on.
//!
//! A host is the name or address in the URL, without its port. Names that lead to one address are
//! counted apart: which they are is known only when a connection is made.
//!
//! Not here: starting (`pipeline::dispatch`), and what one endpoint may do (`lane`). A lane that waits
//! here keeps its own rules: what stands in its line for too long is sent away.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::id::EndpointId;

/// Requests on the way by host, and who waits for room.
#[derive(Debug)]
pub struct Destinations {
    most: usize,
    /// Only hosts that something is on the way to, or that somebody waits for.
    hosts: HashMap<Arc<str>, Host>,
}

#[derive(Debug, Default)]
struct Host {
    in_flight: usize,
    /// In turn, each once.
    waiting: VecDeque<EndpointId>,
    known: HashSet<EndpointId>,
}

impl Destinations {
    /// No host has anything on the way; each may have `most`.
    pub fn new(most: usize) -> Self {
        Self { most, hosts: HashMap::new() }
    }

    /// Whether a request to the host may start: there is room, and nobody has waited for it longer.
    /// Where nothing is on the way one may always start: with its end begin the turns of the others,
    /// if they had been forgotten.
    pub fn may_start(&self, host: &str) -> bool {
        self.hosts.get(host).is_none_or(|host| {
            host.in_flight == 0 || (host.in_flight < self.most && host.waiting.is_empty())
        })
    }

    /// Whether there is room at the host, for a lane whose turn it is.
    pub fn has_room(&self, host: &str) -> bool {
        self.hosts.get(host).is_none_or(|host| host.in_flight < self.most)
    }

    /// A request to the host starts. What comes back names the host when it ends.
    pub fn start(&mut self, host: &str) -> Arc<str> {
        let (name, known) = match self.hosts.get_key_value(host) {
            Some((name, _)) => (Arc::clone(name), true),
            None => (Arc::from(host), false),
        };
        if !known {
            self.hosts.insert(Arc::clone(&name), Host::default());
        }
        self.hosts.get_mut(&name).expect("it is known now").in_flight += 1;
        name
    }

    /// A request to the host has ended. Whoever waits for the room gets it from [`Self::next`].
    pub fn finish(&mut self, host: &str) {
        self.hosts.get_mut(host).expect("something was on the way to it").in_flight -= 1;
        self.forget_if_idle(host);
    }

    /// Puts a lane behind those that wait for the host, unless it is among them.
    pub fn wait(&mut self, host: &str, lane: EndpointId) {
        if !self.hosts.contains_key(host) {
            self.hosts.insert(Arc::from(host), Host::default());
        }
        let host = self.hosts.get_mut(host).expect("it is known now");
        if host.known.insert(lane) {
            host.waiting.push_back(lane);
        }
    }

    /// The lane whose turn it is at the host, if there is room for it. It waits no longer.
    pub fn next(&mut self, host: &str) -> Option<EndpointId> {
        let place = self.hosts.get_mut(host).filter(|host| host.in_flight < self.most)?;
        let lane = place.waiting.pop_front()?;
        place.known.remove(&lane);
        self.forget_if_idle(host);
        Some(lane)
    }

    fn forget_if_idle(&mut self, host: &str) {
        if self.hosts.get(host).is_some_and(|host| host.in_flight == 0 && host.waiting.is_empty()) {
            self.hosts.remove(host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(number: u8) -> EndpointId {
        EndpointId::derived(&[&[number]])
    }

    #[test]
    fn a_host_has_so_many_and_the_others_do_not_notice() {
        let mut destinations = Destinations::new(2);
        let one = destinations.start("a.example");
        assert!(destinations.may_start("a.example"));
        destinations.start("a.example");

        assert!(!destinations.may_start("a.example") && !destinations.has_room("a.example"));
        assert!(destinations.may_start("b.example"));

        destinations.finish(&one);
        assert!(destinations.may_start("a.example"));
    }

    #[test]
    fn who_waits_has_its_turn_before_who_comes() {
        let mut destinations = Destinations::new(2);
        let host = destinations.start("a.example");
        destinations.start("a.example");
        for number in [1, 2, 1] {
            destinations.wait("a.example", lane(number));
        }
        assert_eq!(destinations.next("a.example"), None, "there is no room");

        destinations.finish(&host);

        assert!(destinations.has_room("a.example") && !destinations.may_start("a.example"));
        assert_eq!(destinations.next("a.example"), Some(lane(1)));
        destinations.start("a.example");
        destinations.wait("a.example", lane(1)); // it wants another: behind the second
        destinations.finish("a.example");
        let turns = [destinations.next("a.example"), destinations.next("a.example")];
        assert_eq!(turns, [Some(lane(2)), Some(lane(1))]);
        assert_eq!(destinations.next("a.example"), None);
    }

    #[test]
    fn a_host_that_nothing_goes_to_is_open_even_if_somebody_was_forgotten_there() {
        let mut destinations = Destinations::new(1);
        let host = destinations.start("a.example");
        destinations.wait("a.example", lane(1));
        destinations.finish(&host); // and nobody is called

        assert!(destinations.may_start("a.example"));
        destinations.start("a.example");
        destinations.finish("a.example");
        assert_eq!(destinations.next("a.example"), Some(lane(1)));
    }

    #[test]
    fn a_host_that_nothing_goes_to_is_forgotten() {
        let mut destinations = Destinations::new(1);
        for number in 0..100_u8 {
            let host = destinations.start(&format!("{number}.example"));
            destinations.wait(&host, lane(number));
            destinations.finish(&host);
            assert_eq!(destinations.next(&host), Some(lane(number)));
        }
        assert!(destinations.hosts.is_empty());
    }
}
