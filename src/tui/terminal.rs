//! The terminal's state: raw mode, alternate screen, bracketed paste; put back whatever happens.
//!
//! Owns entering, leaving, suspending and the panic hook; what is drawn is `chrome`'s.

use std::io::{self, IsTerminal as _, Stdout, Write as _, stdout};
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Size;

use super::app::App;
use super::chrome;

/// Whether the terminal is ours at the moment, so that it is put back exactly once.
static ENTERED: AtomicBool = AtomicBool::new(false);

type Hook = dyn Fn(&PanicHookInfo<'_>) + Send + Sync + 'static;

/// Holds the terminal until it is dropped.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    /// The terminal's size when it was last drawn from nothing.
    size: Size,
    before: Arc<Hook>,
    mouse: bool,
}

impl Screen {
    pub fn enter(mouse: bool) -> io::Result<Self> {
        if !stdout().is_terminal() {
            return Err(io::Error::other("the console needs a terminal; without one use 'stratos run'"));
        }
        let before = hook_panics();
        // From here on dropping `Screen` puts everything back, also half of it.
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        let size = terminal.size()?;
        let mut screen = Self { terminal, size, before, mouse };
        screen.resume()?;
        Ok(screen)
    }

    pub fn draw(&mut self, app: &App) -> io::Result<()> {
        if self.terminal.size()? != self.size {
            self.fresh()?;
        }
        self.terminal.draw(|frame| chrome::draw(frame, app)).map(|_| ())
    }

    /// After a suspend nothing on the screen is ours any more.
    pub fn resume(&mut self) -> io::Result<()> {
        ENTERED.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        if self.mouse {
            execute!(stdout(), EnableMouseCapture)?;
        }
        self.fresh()
    }

    /// An empty screen and buffers of its size. Ratatui's own `clear` asks the terminal where the cursor is and waits
    /// for the answer; this asks nothing, so it works where nobody answers and while keys are being read.
    pub fn fresh(&mut self) -> io::Result<()> {
        execute!(stdout(), Clear(ClearType::All))?;
        self.terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        self.size = self.terminal.size()?;
        Ok(())
    }

    /// Gives the terminal back and stops this process, as Ctrl-Z does elsewhere; returns when it is continued.
    pub fn suspend(&mut self) -> io::Result<()> {
        restore();
        // 0 is the whole process group: the shell sees the job stop even under `cargo run`. The sender belongs to the
        // group too, so waiting for it is waiting for the job to be continued.
        let sent = std::process::Command::new("kill").args(["-TSTP", "0"]).status();
        self.resume()?;
        sent.map(|_| ())
    }

    /// Gives the terminal to another program until it ends.
    pub fn outside<T>(&mut self, work: impl FnOnce() -> T) -> io::Result<T> {
        restore();
        let done = work();
        self.resume()?;
        Ok(done)
    }

    /// Puts text on the clipboard of the terminal, which may be far away (OSC 52).
    pub fn copy(text: &str) -> io::Result<()> {
        let mut out = stdout();
        write!(out, "\x1b]52;c;{}\x07", base64(text.as_bytes()))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
        // Setting a hook while panicking is an abort.
        if !thread::panicking() {
            let before = self.before.clone();
            set_hook(Box::new(move |info| before(info)));
        }
    }
}

/// Best effort: a terminal that is gone cannot be put back.
fn restore() {
    if ENTERED.swap(false, Ordering::SeqCst) {
        let _ = execute!(stdout(), DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// A panic on this thread puts the terminal back and is reported as before; one on another thread must not touch the
/// screen, so it is only logged.
fn hook_panics() -> Arc<Hook> {
    let before: Arc<Hook> = Arc::from(take_hook());
    let ui = thread::current().id();
    let report = before.clone();
    set_hook(Box::new(move |info| {
        let here = thread::current();
        if here.id() == ui {
            restore();
            report(info);
        } else {
            tracing::error!(thread = here.name().unwrap_or("?"), "panic: {info}");
        }
    }));
    before
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |nth: usize| u32::from(chunk.get(nth).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for nth in 0..4 {
            let letter = ALPHABET[(group >> (18 - 6 * nth) & 63) as usize];
            text.push(if nth <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_in_the_standard() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let coded = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        assert_eq!(texts.map(|t| base64(t.as_bytes())), coded);
    }
}
