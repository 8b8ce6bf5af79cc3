//! Scoring: prompts for pairs, and answers of a student by the scorer that `stratos.toml` chooses. Validation, the release's
//! smoke test and live scores all ask through here, so they ask the same way.
//!
//! Owns the desk, which scores live: who answers, in which passes, what is remembered and what is noted for the drift watch.
//! Does not own prompts (`domain::render`), what an answer means (`domain::answer`) or who is released (`phases::deploy`).

mod asking;
mod cache;
mod cycle;
mod desk;
mod frontier;
mod questions;
mod round;
mod sources;
mod voice;
mod watch;
mod window;

pub(super) use asking::{Reply, answer, generate, scorer};
pub use cycle::{Cycle, Done, Forecast, ScoreNews};
pub use desk::{Desk, DeskOptions, Scored, Summary};
pub(super) use frontier::run as frontier;
pub use frontier::{StoredFrontier, last_frontier};
pub(super) use questions::{Question, adhoc_article, question, sanity_cells, sanity_questions};
pub use sources::{ArticleSource, ArticlesRead, BrokenRow, read_articles};
pub(super) use watch::drift_of_served;
pub use watch::{DriftReport, drift};
pub(super) use window::Window;
