//! The emulator, started by hand.

fn main() {}
