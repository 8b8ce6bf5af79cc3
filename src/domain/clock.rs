//! Time as a dependency, so that tests turn the hands themselves.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Seconds from `earlier` to `self`; never negative, clocks do jump back.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0).max(0) as f64 / 1000.0
    }

    /// "2026-11-21 19:40", UTC; empty for a time that no calendar has.
    pub fn minutes(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map(|t| t.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()
    }
}

/// Where the engine reads the time.
pub trait Clock: Send + Sync {
    fn now(&self) -> UnixMillis;
}

/// The machine's wall clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
