//! clap.
