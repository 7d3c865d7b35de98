//! What the engines have no common spelling for.
