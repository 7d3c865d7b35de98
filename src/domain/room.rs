//! How many requests may be on the way over all endpoints, and who waits for room.
//!
//! Half of it is kept for endpoints that are *proven*: that have taken something, and are not hanging now. However many
//! endpoints are new, hang or do nothing but fail, whoever works finds room for a request. Within
//! each of the two kinds lanes take turns, and when both wait, so do the kinds.
//!
//! Not here: which lane is proven (`lane`), and how many may be on the way to one host (`destination`).

use std::collections::{HashSet, VecDeque};

use super::id::EndpointId;

/// Whether an endpoint is known to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has taken something, and is not hanging.
    Proven,
    /// Anything else.
    Unproven,
}

/// Requests on the way, and lanes that could start if there were room, in turn.
#[derive(Debug)]
pub struct Room {
    most: usize,
    most_unproven: usize,
    in_flight: usize,
    unproven_in_flight: usize,
    proven: Turns,
    unproven: Turns,
    /// Whose turn it is when lanes of both kinds wait.
    unproven_next: bool,
}

/// A request's part in the room: goes back with its end.
#[derive(Debug)]
#[must_use = "room that is not given back is lost"]
pub struct Taken(Standing);

impl Room {
    /// Room for so many, of which half may be of endpoints that are not proven: one at the least.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            most_unproven: most.div_ceil(2),
            in_flight: 0,
            unproven_in_flight: 0,
            proven: Turns::default(),
            unproven: Turns::default(),
            unproven_next: false,
        }
    }

    /// Requests on the way.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether there is room for a lane whose turn it is.
    pub const fn has_room(&self, standing: Standing) -> bool {
        self.in_flight < self.most
            && match standing {
                Standing::Proven => true,
                Standing::Unproven => self.unproven_in_flight < self.most_unproven,
            }
    }

    /// Whether a lane may start without waiting: there is room, and nobody of its kind has waited for it longer. Else a lane
    /// would take again what its own requests left, and those of a slow endpoint would keep everybody out.
    pub fn may_start(&self, standing: Standing) -> bool {
        let first = match standing {
            Standing::Proven => self.proven.is_empty(),
            Standing::Unproven => self.unproven.is_empty(),
        };
        first && self.has_room(standing)
    }

    /// A request starts.
    pub fn start(&mut self, standing: Standing) -> Taken {
        self.in_flight += 1;
        self.unproven_in_flight += usize::from(standing == Standing::Unproven);
        Taken(standing)
    }

    /// A request has ended.
    pub fn finish(&mut self, Taken(standing): Taken) {
        self.in_flight -= 1;
        self.unproven_in_flight -= usize::from(standing == Standing::Unproven);
    }

    /// Puts a lane behind those of its kind that wait, unless it is among them.
    pub fn wait(&mut self, lane: EndpointId, standing: Standing) {
        match standing {
            Standing::Proven => self.proven.push(lane),
            Standing::Unproven => self.unproven.push(lane),
        }
    }

    /// The lane whose turn it is, if there is room for it. It waits no longer.
    pub fn call_next(&mut self) -> Option<EndpointId> {
        let proven = !self.proven.is_empty() && self.has_room(Standing::Proven);
        let unproven = !self.unproven.is_empty() && self.has_room(Standing::Unproven);
        let take_unproven = unproven && (self.unproven_next || !proven);
        if take_unproven {
            self.unproven_next = false;
            self.unproven.pop()
        } else if proven {
            self.unproven_next = true;
            self.proven.pop()
        } else {
            None
        }
    }
}

/// Lanes in turn, each once.
#[derive(Debug, Default)]
struct Turns {
    queue: VecDeque<EndpointId>,
    known: HashSet<EndpointId>,
}

impl Turns {
    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn push(&mut self, lane: EndpointId) {
        if self.known.insert(lane) {
            self.queue.push_back(lane);
        }
    }

    fn pop(&mut self) -> Option<EndpointId> {
        let lane = self.queue.pop_front()?;
        self.known.remove(&lane);
        Some(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Proven, Unproven};
    use super::*;

    fn lane(number: u8) -> EndpointId {
        EndpointId::derived(&[&[number]])
    }

    #[test]
    fn whoever_works_finds_room_however_many_hang() {
        let mut room = Room::new(10);
        let hanging: Vec<_> =
            std::iter::from_fn(|| room.may_start(Unproven).then(|| room.start(Unproven))).collect();
        assert_eq!(hanging.len(), 5);
        let well: Vec<_> =
            std::iter::from_fn(|| room.may_start(Proven).then(|| room.start(Proven))).collect();
        assert_eq!((well.len(), room.in_flight()), (5, 10));
        assert!(!room.has_room(Proven));
        for taken in well.into_iter().chain(hanging) {
            room.finish(taken);
        }
        assert_eq!((room.in_flight(), room.unproven_in_flight), (0, 0));
    }

    #[test]
    fn lanes_take_turns_and_so_do_the_kinds() {
        let mut room = Room::new(4);
        for number in [1, 2, 1] {
            room.wait(lane(number), Proven);
            room.wait(lane(10 + number), Unproven);
        }
        let turns: Vec<_> = std::iter::from_fn(|| room.call_next()).collect();
        assert_eq!(turns, [lane(1), lane(11), lane(2), lane(12)]);
    }

    #[test]
    fn those_that_hang_keep_nobody_waiting_behind_them() {
        let mut room = Room::new(4);
        let _hanging = [room.start(Unproven), room.start(Unproven)];
        room.wait(lane(1), Unproven);
        assert_eq!(room.call_next(), None);
        assert!(room.may_start(Proven) && !room.may_start(Unproven));
        room.wait(lane(2), Proven);
        assert!(!room.may_start(Proven), "somebody has waited longer");
        assert_eq!((room.call_next(), room.call_next()), (Some(lane(2)), None));
    }

    #[test]
    fn the_smallest_room_is_for_everybody() {
        let mut room = Room::new(1);
        assert!(room.may_start(Unproven));
        let taken = room.start(Unproven);
        assert!(!room.has_room(Proven));
        room.finish(taken);
        assert!(room.may_start(Proven));
    }
}
