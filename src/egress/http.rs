//! The real sender, on reqwest.
