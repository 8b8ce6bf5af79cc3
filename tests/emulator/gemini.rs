use super::faults::Script;
use super::state::World;
use super::wire::{Call, Reply};
pub fn answer(_: &Call, _: &mut World, _: &mut Script) -> Reply { Reply::html(404) }
pub fn invalid_key() -> Reply { Reply::html(400) }
