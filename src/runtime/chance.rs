//! The one place that draws random bytes.

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

/// 64 random bits: for jitter and for ids.
pub fn bits() -> u64 {
    u64::from_ne_bytes(bytes())
}
