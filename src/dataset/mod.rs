//! x
pub mod cluster;
mod keys;
mod near;
mod seeded;
#[cfg(test)]
mod testing;
