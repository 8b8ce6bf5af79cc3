//! Messages to the operator: which events become one, and how long it stays.
//!
//! Owns wording and life of messages; where they are drawn is `chrome`'s. Errors stay until Esc.

use crate::domain::{UnixMillis, one_line};
use crate::engine::{Event, Level};

/// Long enough to read a line, short enough not to be in the way.
const STAYS_MS: i64 = 8_000;
/// More than are ever drawn; older ones are in the log.
const KEPT: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    pub level: Level,
    pub text: String,
    /// `None`: stays until Esc.
    until: Option<UnixMillis>,
}

impl Toast {
    fn new(level: Level, text: impl AsRef<str>, until: Option<UnixMillis>) -> Self {
        Self { level, text: one_line(text.as_ref(), 400), until }
    }

    pub fn info(text: impl AsRef<str>, now: UnixMillis) -> Self {
        Self::new(Level::Info, text, Some(UnixMillis(now.0.saturating_add(STAYS_MS))))
    }

    pub fn error(text: impl AsRef<str>) -> Self {
        Self::new(Level::Error, text, None)
    }
}

#[derive(Debug, Default)]
pub struct Toasts {
    list: Vec<Toast>,
}

impl Toasts {
    /// The newest is last; the same text twice is one message.
    pub fn add(&mut self, toast: Toast) {
        self.list.retain(|old| old.text != toast.text);
        self.list.push(toast);
        if self.list.len() > KEPT {
            // An error outlives a remark.
            let oldest = self.list.iter().position(|t| t.until.is_some()).unwrap_or(0);
            self.list.remove(oldest);
        }
    }

    pub fn expire(&mut self, now: UnixMillis) {
        self.list.retain(|toast| toast.until.is_none_or(|until| until > now));
    }

    /// True if there was anything to clear.
    pub fn clear(&mut self) -> bool {
        let any = !self.list.is_empty();
        self.list.clear();
        any
    }

    pub fn all(&self) -> &[Toast] {
        &self.list
    }

    pub fn any_expires(&self) -> bool {
        self.list.iter().any(|toast| toast.until.is_some())
    }
}

/// What an event says to the operator, if it is worth a message of its own.
pub fn told(event: &Event, now: UnixMillis) -> Option<Toast> {
    let info = |text: String| Some(Toast::info(text, now));
    match event {
        Event::PhaseDone { phase, headline, seconds } => info(format!("{} done in {seconds:.0} s: {headline}", phase.title())),
        Event::PhaseStopped { phase } => info(format!("{} stopped; what was recorded is kept", phase.title())),
        Event::PhaseFailed { phase, reason, next } => Some(Toast::error(format!("{}: {reason} {next}", phase.title()))),
        Event::RunEnded { complete: true } => info("everything asked for is done".into()),
        Event::Scored(scored) => match scored.score {
            Some(score) => info(format!("scored {score:.1} in {:.1} s", scored.seconds)),
            None => Some(Toast::error("the model's answer has no score; its text is on this tab")),
        },
        Event::Imported { what, added, updated, unchanged } => {
            info(format!("{what}: {added} added, {updated} updated, {unchanged} unchanged"))
        }
        Event::Dropped { progress, facts } => {
            let text = format!("this console was behind: {} messages were dropped; the state is whole", progress + facts);
            Some(Toast::new(Level::Warn, text, Some(UnixMillis(now.0.saturating_add(STAYS_MS)))))
        }
        Event::Log { level: Level::Error, text } => Some(Toast::error(text)),
        Event::Log { level: Level::Warn, text } => {
            Some(Toast::new(Level::Warn, text, Some(UnixMillis(now.0.saturating_add(STAYS_MS)))))
        }
        _ => None,
    }
}
