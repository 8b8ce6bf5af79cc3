//! Waiting, so that tests need not.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// How a distillation waits between two looks at a provider.
pub trait Pace: Send + Sync {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Waits for real.
pub struct WallPace;

impl Pace for WallPace {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(time))
    }
}
