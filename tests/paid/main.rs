//! Distillation with paid teachers against the emulator: nothing bought twice, nothing lost, no surprise on the bill.

mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../emulator/mod.rs"]
mod emulator;
mod faults;
mod kills;
mod properties;
mod scale;
mod world;
