//! StratOS Console: from reader profiles and articles to a small relevance scorer whose numbers can be trusted.
//!
//! Data flows one way, and the modules follow it from left to right:
//! `Profile` + `Article` → `Pair` → `Request` → `Response` → `Trace` → `Example` → `Checkpoint` → `Prediction` →
//! `Evaluation` → `Release`. Imports point one way too: `domain` ← `workspace`, `teacher`, `student` ← `distill`,
//! `dataset`, `train`, `evaluate`, `audit`, `deploy`, `guards` ← `engine` ← `tui`, `headless`, `serve` ← `main`;
//! `tests/architecture.rs` is the fence.

pub mod audit;
pub mod bench;
pub mod cli;
pub mod dataset;
pub mod deploy;
pub mod distill;
pub mod domain;
pub mod engine;
pub mod evaluate;
pub mod guards;
pub mod headless;
pub mod net;
pub mod scorer;
pub mod serve;
pub mod student;
pub mod teacher;
pub mod train;
pub mod tui;
pub mod workspace;
