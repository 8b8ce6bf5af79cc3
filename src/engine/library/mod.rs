//! The library: reads what the workspace holds for a front end, in the front end's own process.
//!
//! Owns questions about things that are many (articles, traces, runs) or long (an article, a think block): they never
//! stand in the [`Snapshot`](super::Snapshot), which crosses a socket many times a second. The ledger on disk is the
//! truth, so a console attached to an engine elsewhere reads the same rows. Never writes.

mod articles;
mod audit;
mod dataset;
mod evaluations;
mod profiles;
mod reading;
mod rejects;
mod runs;

pub use articles::{ArticleIndex, ArticleSort, ArticleView, Brief, Found, Neighbour, RELEVANT, ReaderScore};

pub use dataset::{DatasetIndex, ExampleRow, ExampleView, MaskView, QuarantineView};
pub use evaluations::{BaselineFigure, Bin, ComparisonView, EvaluationView, FigureLine, PartDifference, PartLine, WorstLine};
pub use profiles::DraftView;
pub use reading::{Answered, Reading};
pub use rejects::{RejectRow, RejectsView};
pub use runs::RunLine;

use std::sync::{Arc, Mutex};

use super::audit::{AuditDesk, AuditIndex, AuditQueue, AuditReading, AuditResults};
use super::evaluation::StoredRun;
use super::job::Failure;
use super::snapshot::TrainView;
use crate::dataset::SamplerReport;
use crate::domain::{ArticleId, Digest, PairKey, Phase, ProfileId};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Query {
    /// Every article in a few bytes each.
    ArticleIndex,
    /// The rows of the index that a filter leaves, in an order. `deep`: words are looked for in the summaries too.
    FindArticles { filter: String, sort: ArticleSort, deep: bool },
    /// One article, whole, with every score it has.
    Article(ArticleId),
    /// Articles that are the same text in other words.
    Neighbours(ArticleId),
    /// The think blocks to be read, in an order, after a filter.
    AuditQueue(AuditQueue),
    /// Everything there is to read about one pair.
    AuditReading(PairKey),
    /// What the verdicts add up to.
    AuditResults,
    /// Every stored evaluation, a line each.
    Evaluations,
    /// One of them, with all its figures.
    Evaluation(Digest),
    /// Two of them on the rows that both judged; `across`: even where two runtimes answered.
    EvaluationsCompared { first: Digest, other: Digest, across: bool },
    /// Every training run of this workspace, a line each.
    Runs,
    /// One of them, with its curves.
    Run(String),
    /// A reader as it is being edited; `saved`: the one it began as.
    Draft { text: String, saved: Option<ProfileId> },
    /// Every example of the dataset in a line each, and the figures over them.
    Dataset,
    /// The examples that a filter leaves.
    FindExamples(String),
    /// One example, whole.
    Example(String),
    /// What the loss sees of it.
    Mask(String),
    /// What was left out of the dataset, after a filter.
    Quarantine(String),
    /// What the next run's sampler reads.
    Sampler,
    /// Answers that could not be used, of this plan and of those for the same input, after a filter.
    Rejects { plan: Digest, filter: String },
    /// One of them as it came.
    Reject(RejectRow),
}

/// What was asked for, ready to draw: its text is as it was stored, so a view still cleans it.
#[derive(Debug, Clone)]
pub enum Answer {
    ArticleIndex(Arc<ArticleIndex>),
    Found(Arc<Found>),
    Article(Arc<ArticleView>),
    Neighbours(Arc<Vec<Neighbour>>),
    AuditQueue(Arc<AuditIndex>),
    AuditReading(Arc<AuditReading>),
    AuditResults(Arc<AuditResults>),
    Evaluations(Arc<Vec<StoredRun>>),
    Evaluation(Arc<EvaluationView>),
    EvaluationsCompared(Arc<ComparisonView>),
    Runs(Arc<Vec<RunLine>>),
    Run(Arc<TrainView>),
    Draft(Arc<DraftView>),
    Dataset(Arc<DatasetIndex>),
    Example(Arc<ExampleView>),
    Mask(Arc<MaskView>),
    Quarantine(Arc<QuarantineView>),
    Sampler(Arc<SamplerReport>),
    Rejects(Arc<RejectsView>),
    Reject(Arc<String>),
}

impl Query {
    /// The phase whose change makes an answer old.
    pub fn phase(&self) -> Phase {
        match self {
            Self::ArticleIndex | Self::FindArticles { .. } | Self::Article(_) | Self::Neighbours(_) => Phase::Articles,
            Self::AuditQueue(_) | Self::AuditReading(_) | Self::AuditResults => Phase::Audit,
            Self::Evaluations | Self::Evaluation(_) | Self::EvaluationsCompared { .. } => Phase::Validate,
            Self::Runs | Self::Run(_) => Phase::Train,
            Self::Draft { .. } => Phase::Profiles,
            Self::Rejects { .. } | Self::Reject(_) => Phase::Distill,
            Self::Dataset | Self::FindExamples(_) | Self::Example(_) | Self::Mask(_) | Self::Quarantine(_) | Self::Sampler => {
                Phase::Dataset
            }
        }
    }

    /// Takes seconds where there is much: it waits on a thread of its own, and others do not wait for it.
    pub fn is_slow(&self) -> bool {
        matches!(
            self,
            Self::Neighbours(_) | Self::EvaluationsCompared { .. } | Self::FindArticles { deep: true, .. } | Self::Sampler
        )
    }

    /// Answers of this kind worth keeping: one that is asked at every letter is soon out of date, and long.
    pub fn kept(&self) -> usize {
        match self {
            Self::ArticleIndex | Self::Runs | Self::Evaluations | Self::AuditResults | Self::Dataset | Self::Sampler => 1,
            Self::FindArticles { .. } | Self::Draft { .. } | Self::AuditQueue(_) => 2,
            Self::FindExamples(_) | Self::Quarantine(_) | Self::Rejects { .. } => 2,
            Self::Run(_) | Self::Mask(_) | Self::Evaluation(_) | Self::EvaluationsCompared { .. } => 4,
            Self::Article(_) | Self::Neighbours(_) | Self::AuditReading(_) | Self::Example(_) | Self::Reject(_) => 32,
        }
    }

    /// A newer question of the same kind makes this one pointless while it waits: it was asked for a row or a word that the
    /// operator has left.
    pub fn is_superseded_by(&self, newer: &Self) -> bool {
        match (self, newer) {
            (Self::FindArticles { deep, .. }, Self::FindArticles { deep: newer, .. }) => deep == newer,
            // The block that is read and the one after it are asked for together.
            (Self::AuditReading(_), Self::AuditReading(_)) => false,
            _ => std::mem::discriminant(self) == std::mem::discriminant(newer),
        }
    }
}

/// The index of articles, read once for all who ask.
type SharedIndex = Arc<Mutex<Option<Arc<ArticleIndex>>>>;

/// Answers questions, one at a time; it blocks, so it lives on a thread of its own.
pub struct Library {
    workspace: Arc<Workspace>,
    ledger: Ledger,
    index: SharedIndex,
    desk: AuditDesk,
    counter: Option<profiles::Counter>,
    dataset: Option<dataset::Loaded>,
}

impl Library {
    pub fn open(workspace: Arc<Workspace>) -> Result<Self, WorkspaceError> {
        Self::beside(workspace, SharedIndex::default())
    }

    /// Another one of the same workspace, which holds the same index.
    fn beside(workspace: Arc<Workspace>, index: SharedIndex) -> Result<Self, WorkspaceError> {
        let ledger = workspace.reader()?;
        Ok(Self { workspace, ledger, index, desk: AuditDesk::default(), counter: None, dataset: None })
    }

    /// The answer, or in a sentence why there is none.
    pub fn answer(&mut self, query: &Query) -> Result<Answer, String> {
        let answer = match query {
            Query::ArticleIndex => self.article_index(true).map(Answer::ArticleIndex),
            Query::FindArticles { filter, sort, deep } => {
                self.find_articles(filter, *sort, *deep).map(|f| Answer::Found(Arc::new(f)))
            }
            Query::Article(id) => self.article(id).map(|a| Answer::Article(Arc::new(a))),
            Query::Evaluations => self.evaluations().map(|e| Answer::Evaluations(Arc::new(e))),
            Query::Evaluation(id) => self.evaluation(id).map(|e| Answer::Evaluation(Arc::new(e))),
            Query::EvaluationsCompared { first, other, across } => {
                self.evaluations_compared(first, other, *across).map(|c| Answer::EvaluationsCompared(Arc::new(c)))
            }
            Query::Runs => self.runs().map(|r| Answer::Runs(Arc::new(r))),
            Query::Run(name) => self.run(name).map(|r| Answer::Run(Arc::new(r))),
            Query::Draft { text, saved } => self.draft(text, saved.as_ref()).map(|d| Answer::Draft(Arc::new(d))),
            Query::Neighbours(id) => self.neighbours(id).map(|n| Answer::Neighbours(Arc::new(n))),
            Query::AuditQueue(ask) => self.audit_queue(ask).map(|q| Answer::AuditQueue(Arc::new(q))),
            Query::AuditReading(pair) => self.audit_reading(pair).map(|r| Answer::AuditReading(Arc::new(r))),
            Query::AuditResults => self.audit_results().map(|r| Answer::AuditResults(Arc::new(r))),
            Query::Dataset => self.dataset_index().map(Answer::Dataset),
            Query::FindExamples(filter) => self.find_examples(filter).map(|f| Answer::Found(Arc::new(f))),
            Query::Example(id) => self.example(id).map(|e| Answer::Example(Arc::new(e))),
            Query::Mask(id) => self.mask(id).map(|m| Answer::Mask(Arc::new(m))),
            Query::Quarantine(filter) => self.quarantine(filter).map(|q| Answer::Quarantine(Arc::new(q))),
            Query::Sampler => self.sampler().map(|s| Answer::Sampler(Arc::new(s))),
            Query::Rejects { plan, filter } => self.rejects(plan, filter).map(|r| Answer::Rejects(Arc::new(r))),
            Query::Reject(row) => self.reject(row).map(|text| Answer::Reject(Arc::new(text))),
        };
        answer.map_err(|failure| failure.reason)
    }
}

type Read<T> = Result<T, Failure>;
