//! Chance from a seed: splitmix64, which is a dozen lines and the same on every machine.
//!
//! Each part of a run draws from a stream of its own, so that one more draw in one part does not
//! change what the others see.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The stream of this part of the run with that seed.
    pub(crate) fn of(seed: u64, part: &str) -> Self {
        // FNV-1a over the part's name: streams of different parts have nothing in common.
        let name = part.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut stream = Self(seed ^ name);
        stream.bits();
        stream
    }

    /// 64 bits.
    pub(crate) const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number in the range.
    pub(crate) const fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (first, last) = (*range.start(), *range.end());
        first + self.bits() % (last - first + 1)
    }

    /// Whether a thing happens that happens once in `times`.
    pub(crate) const fn one_in(&mut self, times: u64) -> bool {
        self.bits().is_multiple_of(times)
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.place(from.len())]
    }

    /// A place in a list of so many.
    pub(crate) fn place(&mut self, count: usize) -> usize {
        usize::try_from(self.bits() % count as u64).expect("below a usize")
    }

    /// A time in milliseconds.
    pub(crate) const fn ms(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.between(range))
    }

    /// A number of about any size up to `most`: each power of two is as likely as the next.
    pub(crate) const fn of_any_size(&mut self, most: u64) -> u64 {
        let powers = (most.ilog2() + 1) as u64;
        let top = 1 << self.between(0..=powers - 1);
        top + self.bits() % top
    }
}
