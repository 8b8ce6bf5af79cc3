//! Reading files by other people's code that panics where it should refuse.
//!
//! Owns the catch, and the mark by which a panic hook knows that nothing is to be reported: nothing of ours is wrong, and the
//! operator hears what is wrong with the file.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static SHELTERED: Cell<bool> = const { Cell::new(false) };
}

/// `None`: it panicked, and what it worked on must not be used any more.
pub fn sheltered<T>(work: impl FnOnce() -> T) -> Option<T> {
    let outer = SHELTERED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    SHELTERED.set(outer);
    done.ok()
}

/// Whether a panic of this thread would be caught by [`sheltered`].
pub fn is_sheltered() -> bool {
    SHELTERED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_and_the_shelter_ends_with_it() {
        assert_eq!(sheltered(|| u8::from(is_sheltered())), Some(1));
        let inner = || sheltered(|| -> u8 { panic!("as it should not") });
        assert_eq!(sheltered(|| (inner(), is_sheltered())), Some((None, true)), "an inner one leaves the outer");
        assert!(!is_sheltered());
    }
}
