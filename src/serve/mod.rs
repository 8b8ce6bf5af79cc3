//! `stratos serve`: scores over HTTP. One thread owns the scorer and takes requests from a bounded queue, so that articles of
//! one reader are asked together; every answer goes back to exactly the request that asked for it.
//!
//! Owns the protocol, the queue, the limits and the end. Scoring itself is the engine's desk, behind the trait [`Scores`].

mod accept;
mod api;
mod desk;
mod door;
mod metrics;
mod queue;
mod refusal;
mod routes;
mod scores;
mod token;

pub use desk::open_desk;
pub use door::{Limits, ServeError, Server};
pub use scores::{About, Answer, Opens, Scores, Trouble};
pub use token::{Access, TOKEN_VARIABLE};
