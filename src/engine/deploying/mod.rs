//! Releases as jobs: made, held against the trained student, served, rolled back, cleared away.
//!
//! Owns the order of these steps and what the ledger remembers of them. What is compared is `deploy::parity`'s, forms and
//! servers are `deploy`'s.

pub(super) mod gate;
mod make;
mod modelfile;
mod ollama;
mod rows;
mod serving;
mod stages;

pub(super) use make::make;
pub use modelfile::{lint_modelfile, modelfile_of};
pub(super) use ollama::create as create_in_ollama;
pub(super) use serving::{clear, go_live};
pub use serving::{clearable, find_release};
