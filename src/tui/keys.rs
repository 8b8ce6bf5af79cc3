//! Keys: how a chord is written, matched and read inside a dialog.
//!
//! Owns the meaning of a key press that does not depend on the action table; which action has which key is
//! `actions`' own.

use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// One key with or without Ctrl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chord {
    pub code: KeyCode,
    pub ctrl: bool,
}

impl Chord {
    pub const fn char(letter: char) -> Self {
        Self { code: KeyCode::Char(letter), ctrl: false }
    }

    pub const fn ctrl(letter: char) -> Self {
        Self { code: KeyCode::Char(letter), ctrl: true }
    }

    pub const fn key(code: KeyCode) -> Self {
        Self { code, ctrl: false }
    }

    /// Shift is part of the letter itself, so it is not compared.
    pub fn matches(self, key: &KeyEvent) -> bool {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        self.code == key.code && self.ctrl == ctrl && !key.modifiers.contains(KeyModifiers::ALT)
    }
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ctrl = if self.ctrl { "ctrl-" } else { "" };
        let name = match self.code {
            KeyCode::Char(' ') => "space".to_owned(),
            KeyCode::Char(letter) => letter.to_string(),
            KeyCode::Enter => "enter".to_owned(),
            KeyCode::Esc => "esc".to_owned(),
            KeyCode::Tab => "tab".to_owned(),
            KeyCode::BackTab => "shift-tab".to_owned(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::PageUp => "pgup".to_owned(),
            KeyCode::PageDown => "pgdn".to_owned(),
            KeyCode::Home => "home".to_owned(),
            KeyCode::End => "end".to_owned(),
            KeyCode::Left => "←".to_owned(),
            KeyCode::Right => "→".to_owned(),
            KeyCode::F(number) => format!("f{number}"),
            other => format!("{other:?}").to_lowercase(),
        };
        f.pad(&format!("{ctrl}{name}"))
    }
}

impl std::str::FromStr for Chord {
    type Err = ();

    /// As [`Display`](fmt::Display) writes it, with words for the arrows too.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (ctrl, name) = text.strip_prefix("ctrl-").map_or((false, text), |rest| (true, rest));
        let mut letters = name.chars();
        let code = match (letters.next(), letters.next()) {
            (Some('↑'), None) => KeyCode::Up,
            (Some('↓'), None) => KeyCode::Down,
            (Some('←'), None) => KeyCode::Left,
            (Some('→'), None) => KeyCode::Right,
            (Some(letter), None) if !letter.is_control() && letter != ' ' => KeyCode::Char(letter),
            _ => named(name)?,
        };
        Ok(Self { code, ctrl })
    }
}

fn named(name: &str) -> Result<KeyCode, ()> {
    Ok(match name {
        "space" => KeyCode::Char(' '),
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "shift-tab" => KeyCode::BackTab,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "pgup" => KeyCode::PageUp,
        "pgdn" => KeyCode::PageDown,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "delete" => KeyCode::Delete,
        "insert" => KeyCode::Insert,
        "backspace" => KeyCode::Backspace,
        other => match other.strip_prefix('f').and_then(|number| number.parse().ok()) {
            Some(number @ 1..=12) => KeyCode::F(number),
            _ => return Err(()),
        },
    })
}

/// A key as a dialog understands it; everything else is text for its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialogKey {
    Enter,
    Esc,
    Up,
    Down,
    PageUp,
    PageDown,
    Next,
    Previous,
    Left,
    Right,
    /// Ctrl-S.
    Save,
    /// Ctrl-O: to the operator's own editor.
    Outside,
    /// Ctrl-T: the other view.
    Switch,
    Other,
}

pub fn dialog(key: &KeyEvent) -> DialogKey {
    match key.code {
        KeyCode::Enter => DialogKey::Enter,
        KeyCode::Esc => DialogKey::Esc,
        KeyCode::Up => DialogKey::Up,
        KeyCode::Down => DialogKey::Down,
        KeyCode::PageUp => DialogKey::PageUp,
        KeyCode::PageDown => DialogKey::PageDown,
        KeyCode::Tab => DialogKey::Next,
        KeyCode::BackTab => DialogKey::Previous,
        KeyCode::Left => DialogKey::Left,
        KeyCode::Right => DialogKey::Right,
        _ if Chord::ctrl('s').matches(key) => DialogKey::Save,
        _ if Chord::ctrl('o').matches(key) => DialogKey::Outside,
        _ if Chord::ctrl('t').matches(key) => DialogKey::Switch,
        _ => DialogKey::Other,
    }
}

/// The letter a key types, if it types one.
pub fn letter(key: &KeyEvent) -> Option<char> {
    let plain = !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match key.code {
        KeyCode::Char(letter) if plain => Some(letter),
        _ => None,
    }
}

/// Alt-Enter: a line feed where Enter alone ends the dialog.
pub fn is_line_feed(key: &KeyEvent) -> bool {
    key.code == KeyCode::Enter && key.modifiers.contains(KeyModifiers::ALT) || Chord::ctrl('j').matches(key)
}

/// Ctrl-C works in every dialog.
pub fn is_interrupt(key: &KeyEvent) -> bool {
    Chord::ctrl('c').matches(key)
}

/// Ctrl-Z: raw mode hides it from the terminal's driver, so the console suspends itself.
pub fn is_suspend(key: &KeyEvent) -> bool {
    Chord::ctrl('z').matches(key)
}
