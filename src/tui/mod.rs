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
mod ascii;
mod charts;
pub mod chrome;
pub mod docs;
mod external;
mod hits;
pub mod keymap;
pub mod keys;
pub mod msg;
pub mod overlays;
mod reconnect;
mod run;
pub mod session;
pub mod shelf;
pub mod tabs;
mod terminal;
#[cfg(test)]
pub mod testing;
pub mod theme;
pub mod toasts;
mod widgets;

pub use reconnect::{Reconnect, Way};
pub use run::{TuiError, run};
use theme::{Theme, ThemeError};

/// How the console looks.
#[derive(Debug, Clone, Default)]
pub struct TuiOptions {
    pub theme: Theme,
    pub keymap: keymap::Keymap,
    /// The mouse is heard; a terminal's own selection then needs shift.
    pub mouse: bool,
    /// How another engine is found when this one is gone.
    pub reconnect: Option<Reconnect>,
    /// Where the session is remembered; `None`: it is not.
    pub session: Option<std::path::PathBuf>,
}

/// A theme by name; `file` is the workspace's own text of it. `NO_COLOR` set to anything takes the colours away; a locale
/// that does not speak UTF-8, or `STRATOS_ASCII`, takes the glyphs.
pub fn theme_for(name: &str, file: Option<&str>) -> Result<Theme, ThemeError> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
    // No locale at all is a container, whose terminal speaks UTF-8 all the same.
    let plain = matches!(locale.as_str(), "c" | "posix") || locale.contains("8859") || locale.contains("ascii");
    Ok(Theme::load(name, file, set("NO_COLOR").is_some())?.in_ascii(plain || set("STRATOS_ASCII").is_some()))
}
