//! The pages in a browser: what a person does with them, with scripts and without, and what they hold against hostile text.
//!
//! A real posthaste with everything in a file, a real receiver, and Chromium driven by the words that pages show. Every page that
//! can be reached is found by walking from the first, so that none is forgotten.

#![allow(clippy::print_stdout, reason = "which pages were looked at, and what they weigh, is told")]

#[path = "../support/mod.rs"]
mod support;

mod comfort;
mod every_page;
mod operator;
mod stage;
mod tenant;
