//! What reaches the console and what it asks of the world.
//!
//! Owns the two closed lists; what becomes of a message is `app`'s, what becomes of an effect is `run`'s.

use std::sync::Arc;

use crossterm::event::KeyEvent;

use super::hits::Hit;
use crate::domain::UnixMillis;
use crate::engine::{Answered, Command, Event, Query, Snapshot};

#[derive(Debug)]
pub enum Msg {
    /// A press; releases and repeats-as-release are filtered before.
    Key(KeyEvent),
    /// The mouse, and what it points at.
    Mouse(Pointing),
    /// Bracketed paste; only text inputs take it.
    Paste(String),
    Resize,
    Snapshot(Arc<Snapshot>),
    Event(Event),
    /// The library has answered.
    Answered(Answered),
    /// The operator's own editor has ended.
    Edited(Result<String, String>),
    Tick(UnixMillis),
    /// The engine is gone: nothing that is asked will happen. `again`: it only made room for the next one.
    EngineGone {
        why: String,
        again: bool,
    },
    /// Another engine is there.
    Attached {
        process: u32,
        snapshot: Arc<Snapshot>,
    },
}

/// What the mouse did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointing {
    Click(Hit),
    /// Lines down; negative: up. `over`: what is under the pointer, which is what scrolls.
    Wheel {
        lines: i32,
        over: Option<Hit>,
    },
    /// The line between list and detail is pulled to hundredths of the width.
    Pull(u16),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Send(Command),
    /// Asks the library; the answer comes as a message.
    Ask(Query),
    /// Opens this text in the operator's own editor.
    Edit(String),
    Quit,
    /// Finds the next engine, or starts it.
    Reconnect,
    /// Puts text on the clipboard of the operator's terminal (OSC 52).
    Copy(String),
}
