//! Chance from the operating system, for spreading out reconnects: nothing here decides about
//! deliveries.

/// A number in [0, 1).
pub(super) fn share() -> f64 {
    f64::from(bits() >> 8) / f64::from(1_u32 << 24)
}

/// Puts a list in a random order (Fisher and Yates).
pub(super) fn shuffle<T>(list: &mut [T]) {
    for last in (1..list.len()).rev() {
        list.swap(last, usize::try_from(bits()).unwrap_or(0) % (last + 1));
    }
}

fn bits() -> u32 {
    // Without chance from the system, everyone comes back at once: worse, but no reason to stop.
    getrandom::u32().unwrap_or(0)
}
