//! The eight phases as jobs: each takes one noun from the ledger, calls the module that owns the work, and records
//! what was made.

mod articles;
mod audit;
mod dataset;
mod deploy;
mod distill;
mod import_guards;
mod polarise;
mod profiles;
mod train;
mod validate;

use std::collections::{BinaryHeap, HashSet};

use super::errand::Errand;
use super::job::{Failure, JobContext, PhaseEnd};
use super::{export, label_import, sealing, wiring};
use crate::distill::PairSet;
use crate::domain::{Article, Digest, Phase, Profile, ProfileId};
use crate::workspace::{Ledger, Origin, Select, StoredTrace, Workspace, WorkspaceError};

pub(super) use articles::shipped_articles;
pub(super) use dataset::{StoredDataset, dataset_file, load as load_dataset, load_quarantine, seedling_codec};
pub(super) use deploy::{served, trained_dir};
pub(super) use distill::{spend_request, suggested_ceiling};
pub(super) use import_guards::scored;
pub(super) use profiles::shipped_profiles;
pub(super) use train::record::{RunRecord, view as run_view};
pub(super) use train::{loss_curves, run_dir, sampler, train_history};
pub(super) use validate::last_evaluation;

/// Runs one phase to its end. `input` is the digest of what it reads.
pub(super) fn run(context: &mut JobContext, input: &Digest) -> Result<PhaseEnd, Failure> {
    match context.errand.clone() {
        None | Some(Errand::DryRun) => {}
        Some(Errand::Probe { n }) => return super::probes::run(context, n),
        Some(Errand::Evaluate { request }) => return validate::run_errand(context, &request),
        Some(Errand::Frontier { rows, limit }) => return super::scoring::frontier(context, &rows, limit),
        Some(Errand::ImportLabels { files, annotator, trust }) => {
            return label_import::run(context, &files, annotator.as_deref(), trust);
        }
        Some(Errand::ImportArticles { from, limit }) => return super::imports::articles::run(context, &from, limit),
        Some(Errand::FetchFeeds) => return super::imports::articles::fetch_all(context),
        Some(Errand::Seal { wish }) => return sealing::run(context, &wish),
        Some(Errand::OpenSeal { why, to }) => return sealing::write_out(context, &why, &to),
        Some(Errand::ExportDataset { format, folder }) => return export::run(context, format, &folder),
        Some(errand @ (Errand::GateRelease { .. } | Errand::GoLive { .. } | Errand::ClearReleases { .. })) => {
            return deploy::run_errand(context, &errand);
        }
        Some(errand) => return distill::run_errand(context, input, &errand),
    }
    match context.phase {
        Phase::Profiles => profiles::run(context, input),
        Phase::Articles => articles::run(context),
        Phase::Distill => distill::run(context, input),
        Phase::Dataset => dataset::run(context, input),
        Phase::Train => train::run(context, input),
        Phase::Validate => validate::run(context, input),
        Phase::Audit => audit::run(context, input),
        Phase::Deploy => deploy::run(context),
    }
}

/// The profiles that take part, in stored order.
pub(super) fn selected_profiles(stored: Vec<(Profile, String)>, select: &Select) -> Vec<Profile> {
    stored.into_iter().filter(|(p, origin)| takes_part(select, &p.id, origin)).map(|(p, _)| p).collect()
}

/// Whether a reader of this id and origin takes part.
pub(super) fn takes_part(select: &Select, id: &ProfileId, origin: &str) -> bool {
    let named = select.profiles.is_empty() || select.profiles.iter().any(|wanted| wanted == id.as_str());
    named && takes_origin(select, origin)
}

/// What came with files of labels is judged already; it takes part only if it is named.
fn takes_origin(select: &Select, origin: &str) -> bool {
    if select.origins.is_empty() { origin != Origin::Labels.id() } else { select.origins.iter().any(|wanted| wanted == origin) }
}

/// The articles that take part, in stored order; a seeded sample where there are more than `max_articles`.
/// No other is held in memory.
pub(super) fn selected_articles(ledger: &Ledger, select: &Select, seed: u64) -> Result<Vec<Article>, WorkspaceError> {
    let mut drawing = Drawing::new(select, seed);
    ledger.each_article_origin(|id, origin| drawing.see(id, origin))?;
    let drawn = drawing.drawn();
    ledger.articles_where(|id, origin| drawn.takes(id, origin))
}

/// Chooses the articles that take part while their ids go by; holds no more of them than may be drawn.
pub(super) struct Drawing<'a> {
    select: &'a Select,
    seed: u64,
    seen: usize,
    /// The largest draw on top: it gives way to a smaller one.
    least: BinaryHeap<(Digest, String)>,
}

impl<'a> Drawing<'a> {
    pub fn new(select: &'a Select, seed: u64) -> Self {
        Self { select, seed, seen: 0, least: BinaryHeap::new() }
    }

    pub fn see(&mut self, id: &str, origin: &str) {
        if !takes_origin(self.select, origin) {
            return;
        }
        self.seen += 1;
        let most = self.select.max_articles;
        if most > 0 {
            let draw = crate::domain::Digester::new().field(self.seed.to_le_bytes()).field(id).finish();
            self.least.push((draw, id.to_owned()));
            if self.least.len() > most {
                self.least.pop();
            }
        }
    }

    /// How many take part.
    pub fn count(&self) -> usize {
        if self.select.max_articles == 0 { self.seen } else { self.least.len() }
    }

    pub fn drawn(self) -> Drawn<'a> {
        // Where all fit, the origin alone decides.
        let ids = (self.seen > self.count()).then(|| self.least.into_iter().map(|(_, id)| id).collect());
        Drawn { select: self.select, ids }
    }
}

/// Which articles take part.
pub(super) struct Drawn<'a> {
    select: &'a Select,
    /// `None`: all whose origin takes part.
    ids: Option<HashSet<String>>,
}

impl Drawn<'_> {
    pub fn takes(&self, id: &str, origin: &str) -> bool {
        match &self.ids {
            Some(ids) => ids.contains(id),
            None => takes_origin(self.select, origin),
        }
    }
}

/// Stores what the recipe ships, for whoever matches with it before the first two phases have run.
pub(super) fn sync_shipped(context: &mut JobContext) -> Result<(), Failure> {
    profiles::sync(context)?;
    articles::sync(context)
}

/// The readers and articles that take part in this workspace.
pub(super) fn selection(context: &JobContext) -> Result<(Vec<Profile>, Vec<Article>), WorkspaceError> {
    taking_part(&context.workspace, &context.ledger)
}

fn taking_part(workspace: &Workspace, ledger: &Ledger) -> Result<(Vec<Profile>, Vec<Article>), WorkspaceError> {
    let config = &workspace.config;
    let profiles = selected_profiles(ledger.profiles()?, &config.select);
    let articles = selected_articles(ledger, &config.select, config.seed)?;
    Ok((profiles, articles))
}

/// Calls `take` with one kept trace after the other of the pairs that take part, rejected by a reviewer or not, and with what
/// it is about; the traces of a plan may be many more than memory should hold. None where nothing was distilled yet.
pub(super) fn each_trace(
    workspace: &Workspace,
    ledger: &Ledger,
    mut take: impl FnMut(StoredTrace, Option<(&Profile, &Article)>),
) -> Result<(), WorkspaceError> {
    if ledger.trace_mark()?.0 == 0 || !workspace.config.labels.takes_teacher() {
        return Ok(());
    }
    let (profiles, articles) = taking_part(workspace, ledger)?;
    let Ok(teacher) = wiring::teacher(workspace) else { return Ok(()) };
    let returned = super::audit::returned(&super::audit::effects(ledger)?);
    let set = PairSet::new(&workspace.recipe, &workspace.renderer, teacher.as_ref(), &profiles, &articles).returning(returned);
    ledger.each_trace(&set.keys(), |stored| {
        let about = set.about(&stored.trace.pair);
        take(stored, about);
    })
}

/// All of them, in pair order.
pub(super) fn read_traces(context: &JobContext) -> Result<Vec<StoredTrace>, WorkspaceError> {
    let mut traces = Vec::new();
    each_trace(&context.workspace, &context.ledger, |stored, _| traces.push(stored))?;
    traces.sort_by(|a, b| a.trace.pair.cmp(&b.trace.pair));
    Ok(traces)
}

/// What the last run of an earlier phase made.
pub(super) fn upstream_output(context: &JobContext, phase: Phase) -> Result<Digest, Failure> {
    let record = context.ledger.last_record(phase)?;
    record.map(|r| r.output).ok_or_else(|| Failure::new(format!("{phase} was never run"), "Run the earlier phases first."))
}
