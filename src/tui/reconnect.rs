//! When the engine is gone: why, and finding the next one.
//!
//! Owns the way back to an engine, off the console's own thread; whether to go it is `app`'s.

use std::fmt;
use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};

use super::msg::Msg;
use crate::engine::remote::{Farewell, Link};
use crate::engine::{EngineHandle, Reading};

/// The way to an engine, and a library that has read the same settings.
pub type Way = (EngineHandle, Reading);

/// A search that goes on.
pub type Looking = JoinHandle<Result<Way, String>>;

/// Finds the workspace's engine or starts one; blocks.
#[derive(Clone)]
pub struct Reconnect(Arc<dyn Fn() -> Result<Way, String> + Send + Sync>);

impl Reconnect {
    pub fn new(find: impl Fn() -> Result<Way, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    pub(super) fn look(&self) -> Looking {
        let find = self.0.clone();
        spawn_blocking(move || find())
    }
}

impl fmt::Debug for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reconnect")
    }
}

/// What came of a search; waits for ever while there is none.
pub async fn found(looking: &mut Option<Looking>) -> Result<Way, String> {
    let Some(task) = looking else { return std::future::pending().await };
    let found = task.await;
    *looking = None;
    found.unwrap_or_else(|error| Err(error.to_string()))
}

/// Why the engine is gone.
pub fn gone(handle: &EngineHandle) -> Msg {
    match handle.link().map(Link::farewell) {
        Some(Farewell { why, again }) => Msg::EngineGone { why, again },
        None => Msg::EngineGone { why: "the engine has ended unexpectedly; its log is in .stratos/logs".into(), again: false },
    }
}
