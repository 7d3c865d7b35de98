//! The one place that draws random bytes.

use std::cell::RefCell;

/// Bytes from the operating system, fit for keys.
///
/// # Panics
/// When the operating system has none: nothing that needs chance can go on without it.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

/// Words drawn from the system at once: half a kilobyte, and one question for a dozen deliveries instead of four for each.
const DRAWN_AT_ONCE: usize = 64;

thread_local! {
    /// What this thread has drawn and not handed out.
    static DRAWN: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// 64 random bits: for jitter and for ids. What must stay secret is drawn by [`bytes`], and nowhere kept.
pub fn bits() -> u64 {
    DRAWN.with_borrow_mut(|drawn| {
        if drawn.is_empty() {
            let fresh = bytes::<{ 8 * DRAWN_AT_ONCE }>();
            let (words, _) = fresh.as_chunks();
            drawn.extend(words.iter().map(|word| u64::from_ne_bytes(*word)));
        }
        drawn.pop().expect("some were drawn")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_word_is_handed_out_twice() {
        let words: BTreeSet<u64> = (0..4 * DRAWN_AT_ONCE).map(|_| bits()).collect();
        assert_eq!(words.len(), 4 * DRAWN_AT_ONCE);
    }
}
