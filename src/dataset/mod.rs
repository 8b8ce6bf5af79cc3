//! x
pub mod balance;
pub mod cluster;
pub mod contrastive;
pub mod order;
pub mod split;
mod keys;
mod near;
mod seeded;
#[cfg(test)]
mod testing;
