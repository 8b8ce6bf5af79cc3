//! Who scores: what the service needs of it, whatever it is.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::domain::{Article, ProfileId};

/// Whose answers these are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    pub model: String,
    /// The live release; `None`: what answers was never released.
    pub release: Option<String>,
    pub runtime: String,
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Its place in what was asked.
    pub at: usize,
    /// `None`: the answer could not be read.
    pub score: Option<f64>,
    /// Weighted by the probabilities of the digits, where they are known.
    pub expected: Option<f64>,
    pub reason: Option<String>,
    pub think: String,
    /// Why there is no score.
    pub defect: Option<String>,
    pub seconds: f64,
    pub cached: bool,
    /// Which pass decided.
    pub pass: &'static str,
    pub prompt_tokens: usize,
    pub tokens: usize,
    pub runtime: Arc<str>,
}

/// Why nothing, or not all, was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub what: String,
    pub next: String,
}

/// Scores. It lives on one thread.
pub trait Scores {
    /// Whose answers the next ones are.
    fn about(&mut self) -> About;

    /// Which of these readers it does not know.
    fn unknown(&mut self, readers: &[ProfileId]) -> Result<Vec<ProfileId>, Trouble>;

    /// Scores pairs; `on` hears of each as it is answered, in any order, and may end the whole.
    fn score(&mut self, asked: &[(ProfileId, Article)], on: &mut dyn FnMut(Answer) -> ControlFlow<()>) -> Result<(), Trouble>;
}

/// Opens the scorer on the thread that will own it; again after it has panicked.
pub type Opens = Box<dyn FnMut() -> Result<Box<dyn Scores>, Trouble> + Send>;
