//! A promise that was not kept, as a value: so that a broken back end can be asserted to break it.

use posthaste::storage::StorageError;

/// What was found instead of what was promised, as a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Breach(pub(crate) String);

/// How a promise ends.
pub(crate) type Kept<T = ()> = Result<T, Breach>;

/// Where no error is expected, an error is a breach.
impl From<StorageError> for Breach {
    fn from(error: StorageError) -> Self {
        Self(format!("refused where nothing is in the way: {error:?}"))
    }
}

impl Breach {
    /// Whether it is only that a broker has refused a message: it could not be written in time.
    pub(crate) fn is_a_brokers_refusal(&self) -> bool {
        self.0.contains("the broker refused")
    }
}

/// Ends the promise with a breach unless this is so.
macro_rules! hold {
    ($so:expr, $($sentence:tt)+) => {
        if !$so {
            return Err($crate::breach::Breach(format!($($sentence)+)));
        }
    };
}

/// Ends the promise with a breach unless what was found is what was promised.
macro_rules! same {
    ($found:expr, $promised:expr, $what:expr) => {{
        let (found, promised) = (&$found, &$promised);
        if *found != *promised {
            let what = $what;
            return Err($crate::breach::Breach(format!(
                "{what}: {found:?} instead of {promised:?}"
            )));
        }
    }};
}

pub(crate) use {hold, same};
