//! posthaste: a durable, queue-backed event router.
//!
//! The modules in the order an event meets them, and who may import whom: dependencies point
//! inward. `domain` imports nothing of ours; ports (in `storage` and `egress`) know only `domain`;
//! back ends know their port; `pipeline` and `control` know ports; `api`, `console` and `cli` know `control`;
//! only `runtime` names back ends. `tests/architecture.rs` reads the `use` lines and holds this.
//!
//! Start with [`pipeline`], which has the picture.

// The rules: pure functions.
pub mod domain;

// The way of an event.
pub mod pipeline;

// What it goes through: what outlives a crash, and the only way out.
pub mod egress;
pub mod storage;

// What a person may do, and where they do it.
pub mod api;
pub mod cli;
pub mod config;
pub mod console;
pub mod control;

// What holds it together.
pub mod failpoint;
pub mod runtime;
pub mod telemetry;
