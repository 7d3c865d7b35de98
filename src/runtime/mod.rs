//! Where the parts are put together, and the only place that touches clock and chance.

pub mod assemble;
pub mod chance;
pub mod clock;
mod failing;
mod installation;
mod keys;
mod living;
mod loose_ends;
pub mod migrate;
pub mod serve;
pub mod serving;
mod test_calls;
mod upkeep;
mod web;
mod welcome;
