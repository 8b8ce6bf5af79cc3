//! A cycle: every article for every reader, in pieces, each answer in its place, and how long the whole takes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::super::job::Failure;
use super::desk::{Desk, Scored, Summary};
use crate::domain::{Article, ProfileId};

/// Pairs that are asked at once: many enough for the scorer to batch, few enough that the first answers come soon.
const PIECE: usize = 256;

/// Answers before the first forecast; the next comes after twice as many.
const FIRST_FORECAST: usize = 8;

/// News of a cycle, in the order in which they are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum ScoreNews {
    Scored(Box<Scored>),
    /// After some answers.
    Forecast(Forecast),
    /// At the end.
    ScoringDone(Done),
}

/// How long it will take, at the pace so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    pub done: usize,
    pub of: usize,
    /// Of answers that were asked, not taken from the cache.
    pub seconds_per_article: f64,
    pub seconds_left: f64,
}

/// What all of it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    #[serde(flatten)]
    pub summary: Summary,
    /// Of answers that were asked; `None`: all came from the cache.
    pub seconds_per_article: Option<f64>,
    /// Every article that takes part, for every reader that does.
    pub cycle: Cycle,
    pub runtime: String,
    pub model: String,
    /// The model was never trained on this recipe.
    pub untuned: bool,
}

/// The workspace's own articles and readers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cycle {
    pub articles: usize,
    pub readers: usize,
    /// At this pace, with an empty cache.
    pub seconds: Option<f64>,
}

impl Desk {
    /// Scores every article for every reader (none named: all that take part), reader by reader. News come in this order,
    /// whatever the order of the answers; `on` may end the whole by `Break`.
    pub fn cycle(
        &mut self,
        readers: &[ProfileId],
        articles: &[Article],
        on: &mut dyn FnMut(ScoreNews) -> ControlFlow<()>,
    ) -> Result<Done, Failure> {
        let readers = self.readers(readers)?;
        let mut course = Course {
            began: Instant::now(),
            of: readers.len() * articles.len(),
            told_at: FIRST_FORECAST,
            sum: Summary::default(),
        };
        let mut pairs = readers.iter().flat_map(|reader| articles.iter().map(move |article| (reader.clone(), article.clone())));
        let mut ended = false;
        while !ended {
            let piece: Vec<(ProfileId, Article)> = pairs.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                break;
            }
            let (mut next, mut early) = (0, BTreeMap::new());
            let offset = course.sum.answers;
            self.score(&piece, &mut |scored| {
                early.insert(scored.at, scored);
                while let Some(mut scored) = early.remove(&next) {
                    next += 1;
                    scored.at += offset;
                    course.sum.count(&scored);
                    if on(ScoreNews::Scored(Box::new(scored))).is_break() {
                        ended = true;
                        return ControlFlow::Break(());
                    }
                }
                match course.forecast(early.len()).map(|forecast| on(ScoreNews::Forecast(forecast))) {
                    Some(ControlFlow::Break(())) => {
                        ended = true;
                        ControlFlow::Break(())
                    }
                    _ => ControlFlow::Continue(()),
                }
            })?;
        }
        course.sum.seconds = course.began.elapsed().as_secs_f64();
        self.done(course.sum)
    }

    fn done(&self, summary: Summary) -> Result<Done, Failure> {
        let asked = summary.answers - summary.cached;
        let seconds_per_article = (asked > 0).then(|| summary.seconds / asked as f64);
        let (articles, readers) = self.taking_part()?;
        let seconds = seconds_per_article.map(|each| each * (articles * readers) as f64);
        Ok(Done {
            seconds_per_article,
            cycle: Cycle { articles, readers, seconds },
            runtime: self.runtime().to_owned(),
            model: self.model().to_owned(),
            untuned: self.untuned(),
            summary,
        })
    }
}

/// How far a cycle is.
struct Course {
    began: Instant,
    of: usize,
    /// Asked answers at which the next forecast is told.
    told_at: usize,
    sum: Summary,
}

impl Course {
    /// `waiting`: answers that are there and wait for their turn.
    fn forecast(&mut self, waiting: usize) -> Option<Forecast> {
        let done = self.sum.answers + waiting;
        let asked = done - self.sum.cached.min(done);
        if asked < self.told_at || done >= self.of {
            return None;
        }
        self.told_at = asked * 2;
        let seconds_per_article = self.began.elapsed().as_secs_f64() / asked as f64;
        let seconds_left = seconds_per_article * (self.of - done) as f64;
        Some(Forecast { done, of: self.of, seconds_per_article, seconds_left })
    }
}
