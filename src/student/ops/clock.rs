//! Where the time of a pass goes, for `stratos bench`. Off unless a benchmark asks; then it costs two clock reads an
//! operation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// The parts that time is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Matrix products with the model's weights.
    Products,
    /// Widening, merging and packing those weights.
    Merge,
    Attention,
    /// Gradients of adapters.
    Adapter,
    /// The output layer and the loss.
    Loss,
    /// The gate's activation.
    Gate,
    /// Norms, rotations, sums.
    Rest,
}

impl Part {
    pub const ALL: [Self; 7] = [Self::Products, Self::Merge, Self::Attention, Self::Adapter, Self::Loss, Self::Gate, Self::Rest];

    pub fn name(self) -> &'static str {
        ["products", "merge", "attention", "adapter", "loss", "gate", "rest"][self as usize]
    }
}

static ON: AtomicBool = AtomicBool::new(false);
static NANOS: [AtomicU64; 7] = [const { AtomicU64::new(0) }; 7];

/// Runs `work` and, while a benchmark listens, books its time.
pub fn timed<R>(part: Part, work: impl FnOnce() -> R) -> R {
    if !ON.load(Ordering::Relaxed) {
        return work();
    }
    let began = Instant::now();
    let result = work();
    NANOS[part as usize].fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
    result
}

/// Starts listening, or stops.
pub fn listen(on: bool) {
    ON.store(on, Ordering::Relaxed);
}

/// Seconds by part since the last call.
pub fn take() -> Vec<(Part, f64)> {
    let seconds = |part: Part| (part, NANOS[part as usize].swap(0, Ordering::Relaxed) as f64 / 1e9);
    Part::ALL.map(seconds).to_vec()
}
