//! The console: draws the engine's snapshot and turns keys into commands.
//!
//! Owns the screen, the action table, themes and the terminal's state. Does no work of its own: whatever waits or
//! touches the world is the engine's.
//!
//! ```text
//! key ─ actions ─→ acts ┐
//! engine, resize, tick ─┴→ Msg → App::update → Vec<Effect> → run: Command, clipboard, quit
//! chrome::draw(&App): header, tabs[n].draw, toasts, footer, overlays
//! ```

pub mod actions;
mod acts;
pub mod app;
mod charts;
pub mod chrome;
pub mod keymap;
pub mod keys;
pub mod msg;
pub mod overlays;
mod run;
mod select;
pub mod shelf;
pub mod tabs;
mod terminal;
#[cfg(test)]
pub mod testing;
pub mod theme;
pub mod toasts;
mod widgets;

pub use run::{TuiError, run};
use theme::{Theme, ThemeError};

/// How the console looks.
#[derive(Debug, Clone, Default)]
pub struct TuiOptions {
    pub theme: Theme,
    pub keymap: keymap::Keymap,
}

/// A theme by name; `file` is the workspace's own text of it. `NO_COLOR` set to anything takes the colours away.
pub fn theme_for(name: &str, file: Option<&str>) -> Result<Theme, ThemeError> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Theme::load(name, file, no_color)
}
