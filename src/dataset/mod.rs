//! x
pub mod balance;
pub mod checks;
pub mod cluster;
pub mod contrastive;
pub mod example;
pub mod export;
pub mod order;
pub mod split;
mod keys;
mod near;
mod seeded;
#[cfg(test)]
mod testing;
