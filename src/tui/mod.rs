//! The console: draws the engine's snapshot and turns keys into commands.
//!
//! Owns the screen, the action table, themes and the terminal's state. Does no work of its own: whatever waits or
//! touches the world is the engine's.

pub mod tabs;
pub mod theme;
pub mod widgets;
#[derive(Default)]
pub struct TuiOptions {
    pub theme: u8,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct E;
pub fn theme_for(_n: &str, _t: Option<&str>) -> Result<u8, E> {
    Ok(0)
}
pub async fn run(_h: crate::engine::EngineHandle, _o: TuiOptions) -> Result<(), E> {
    Ok(())
}
