//! How a long piece of work talks to whoever conducts it, without knowing who that is.

/// The answer to "may I go on?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    Continue,
    /// Finish the current unit, save, return.
    Stop,
}

/// Asked and told by long work at each of its units.
pub trait Conduct {
    /// Blocks while paused.
    fn gate(&mut self) -> Gate;

    /// `total` 0: unknown.
    fn progress(&mut self, done: u64, total: u64, unit: &str, message: &str);

    fn warn(&mut self, text: String);
}
