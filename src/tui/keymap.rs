//! Which keys do what, for this operator: the action table's own, changed by the config's `[keys]`.
//!
//! Owns reading chords as they are written in a config, and that no two actions of one tab have the same key.

use std::collections::BTreeMap;

use crossterm::event::KeyEvent;
use thiserror::Error;

use super::actions::{self, Action};
use super::keys::Chord;
use crate::domain::Phase;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeymapError {
    #[error("[keys] '{id}': there is no such action; see the help (?) or docs/keys.md for their names")]
    Unknown { id: String },
    #[error("[keys] '{id}': '{key}' is not a key; write e.g. \"x\", \"X\", \"ctrl-x\", \"space\", \"enter\", \"pgdn\" or \"f5\"")]
    Key { id: String, key: String },
    #[error("[keys] '{key}' would be both '{one}' and '{other}' on the same tab; give one of them another key")]
    Conflict { key: String, one: String, other: String },
}

/// Keys by action.
#[derive(Debug, Clone, Default)]
pub struct Keymap {
    /// Only what differs from the table.
    changed: BTreeMap<&'static str, Vec<Chord>>,
}

impl Keymap {
    /// From action ids to keys; an empty list takes an action its keys, and the palette still finds it.
    pub fn new(config: &BTreeMap<String, Vec<String>>) -> Result<Self, KeymapError> {
        let mut changed = BTreeMap::new();
        for (id, keys) in config {
            let action = actions::by_id(id).ok_or_else(|| KeymapError::Unknown { id: id.clone() })?;
            let read = |key: &String| key.parse().map_err(|()| KeymapError::Key { id: id.clone(), key: key.clone() });
            changed.insert(action.id, keys.iter().map(read).collect::<Result<Vec<Chord>, _>>()?);
        }
        let keymap = Self { changed };
        keymap.prove()?;
        Ok(keymap)
    }

    /// Keys of an action.
    pub fn of(&self, action: &'static Action) -> &[Chord] {
        self.changed.get(action.id).map_or(action.keys, Vec::as_slice)
    }

    /// "j ↓"
    pub fn text(&self, action: &'static Action) -> String {
        self.of(action).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    /// The action a key means on a tab.
    pub fn find(&self, key: &KeyEvent, phase: Phase) -> Option<&'static Action> {
        actions::all().find(|action| action.valid_on(phase) && self.of(action).iter().any(|chord| chord.matches(key)))
    }

    /// No key means two things on one tab.
    pub fn prove(&self) -> Result<(), KeymapError> {
        for phase in Phase::ALL {
            let mut owners: BTreeMap<String, &'static str> = BTreeMap::new();
            for action in actions::all().filter(|action| action.valid_on(phase)) {
                for chord in self.of(action) {
                    if let Some(one) = owners.insert(chord.to_string(), action.id) {
                        let (key, other) = (chord.to_string(), action.id.to_owned());
                        return Err(KeymapError::Conflict { key, one: one.to_owned(), other });
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keymap(rows: &[(&str, &[&str])]) -> Result<Keymap, KeymapError> {
        let row = |(id, keys): &(&str, &[&str])| ((*id).to_owned(), keys.iter().map(|k| (*k).to_owned()).collect());
        Keymap::new(&rows.iter().map(row).collect())
    }

    #[test]
    fn the_table_itself_has_no_key_twice() {
        assert_eq!(Keymap::default().prove(), Ok(()));
    }

    #[test]
    fn a_config_changes_keys_and_says_what_is_wrong_with_them() {
        let changed = keymap(&[("run-all", &["ctrl-g", "f5"])]).expect("fits");
        let action = actions::by_id("run-all").expect("known");
        assert_eq!(changed.text(action), "ctrl-g f5");
        assert!(matches!(keymap(&[("dance", &["x"])]), Err(KeymapError::Unknown { .. })));
        assert!(matches!(keymap(&[("run", &["hyper-x"])]), Err(KeymapError::Key { .. })));
        let error = keymap(&[("run", &["q"])]).expect_err("q quits");
        assert!(error.to_string().contains("'q' would be both"), "{error}");
    }

    #[test]
    fn every_key_of_the_table_reads_as_it_is_written() {
        for action in actions::all() {
            for chord in action.keys {
                assert_eq!(chord.to_string().parse(), Ok(*chord), "{}", action.id);
            }
        }
    }
}
