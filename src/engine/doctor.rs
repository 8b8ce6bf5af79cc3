//! The doctor: every guard that applies to the workspace as it stands, run now where that is cheap, else recalled from the
//! ledger. Owns which finding speaks for a guard; the checks stand beside what they check.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::asked::AskError;
use super::deploying;
use super::job::Failure;
use super::phases::{load_dataset, sampler, selected_profiles};
use super::state::{Standing, standings};
use super::views;
use crate::dataset::checks::{d13, d16};
use crate::dataset::figures::d5;
use crate::dataset::{Side, d3};
use crate::domain::{Article, ArticleId, Digest, Finding, Phase};
use crate::guards::{Guard, Moment, Severity, Standing as Kept, guard, registry};
use crate::workspace::{Ledger, Workspace};

/// What a guard says of the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A stop guard failed and nobody overrode it.
    Error,
    /// A guard failed that stops nothing, or one that was overridden.
    Warning,
    Passed,
}

/// One guard's finding about the workspace.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    pub guard: &'static str,
    pub moment: Moment,
    pub severity: Severity,
    pub prevents: &'static str,
    pub state: State,
    /// The phase it belongs to.
    pub phase: Phase,
    /// What it looked at, by digest; `None`: the workspace as it stands.
    pub subject: Option<Digest>,
    pub saw: String,
    pub remedy: String,
    /// The written reason it was overridden with.
    pub overridden: Option<String>,
    /// It was run now, and not recalled.
    pub fresh: bool,
}

/// All findings, and where every other guard stands.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Checkup {
    /// Errors, then warnings, then passes; by id.
    pub diagnoses: Vec<Diagnosis>,
    /// Guards whose findings are about inputs that changed since.
    pub outdated: Vec<&'static str>,
    /// Guards whose moment has not come in this workspace.
    pub not_yet: Vec<&'static str>,
    /// Failures that cannot happen any more.
    pub built: Vec<&'static str>,
}

impl Checkup {
    pub fn count(&self, state: State) -> usize {
        self.diagnoses.iter().filter(|d| d.state == state).count()
    }
}

/// Looks at everything that can be looked at without starting a phase.
pub fn examine(workspace: &Workspace) -> Result<Checkup, AskError> {
    Ok(examined(workspace)?)
}

fn examined(workspace: &Workspace) -> Result<Checkup, Failure> {
    let ledger = workspace.ledger()?;
    let stand = standings(workspace, &ledger, None)?;
    // What guards say of releases counts for the newest one.
    let newest = ledger.releases()?.into_iter().next();
    let released = newest.map(|release| deploying::gate::subject(workspace.root(), &release));
    let (mut said, mut outdated): (BTreeMap<(&str, Phase), Diagnosis>, BTreeSet<&'static str>) = Default::default();
    for view in views::findings(&ledger)? {
        let Some(row) = guard(&view.finding.guard) else { continue };
        if is_current(&stand[view.phase.index()], &view.subject) || released.as_ref() == Some(&view.subject) {
            let found = diagnosis(row, view.phase, Some(view.subject), view.finding, view.overridden, false);
            said.insert((row.id, view.phase), found);
        } else {
            outdated.insert(row.id);
        }
    }
    for (phase, subject, finding) in fresh(workspace, &ledger, &stand)? {
        let Some(row) = guard(&finding.guard) else { continue };
        let recalled = said.get(&(row.id, phase));
        // A recalled finding knows more of its moment; a failure that is there now outweighs it.
        if recalled.is_some_and(|_| !finding.failed()) {
            continue;
        }
        let overridden = subject.as_ref().map(|s| ledger.override_of(row.id, s)).transpose()?.flatten();
        said.insert((row.id, phase), diagnosis(row, phase, subject, finding, overridden, true));
    }
    let mut checkup = Checkup { diagnoses: said.into_values().collect(), ..Checkup::default() };
    let rank = |d: &Diagnosis| (d.state as u8, order(d.guard));
    checkup.diagnoses.sort_by_key(rank);
    let heard: BTreeSet<&str> = checkup.diagnoses.iter().map(|d| d.guard).collect();
    for row in registry().filter(|row| !heard.contains(row.id)) {
        let list = match row.standing {
            Kept::Built(_) => &mut checkup.built,
            Kept::Checked if outdated.contains(row.id) => &mut checkup.outdated,
            Kept::Checked => &mut checkup.not_yet,
        };
        list.push(row.id);
    }
    Ok(checkup)
}

fn order(id: &str) -> usize {
    registry().position(|row| row.id == id).unwrap_or(usize::MAX)
}

/// A phase that is done speaks for what it read; before that only what was said of the present input counts.
fn is_current(standing: &Standing, subject: &Digest) -> bool {
    let Some(input) = &standing.input else { return false };
    input == subject || standing.record.as_ref().is_some_and(|record| record.input == *input)
}

fn diagnosis(
    row: &'static Guard,
    phase: Phase,
    subject: Option<Digest>,
    finding: Finding,
    overridden: Option<String>,
    fresh: bool,
) -> Diagnosis {
    let state = match (finding.failed(), row.severity, &overridden) {
        (false, ..) => State::Passed,
        (true, Severity::Stop, None) => State::Error,
        (true, ..) => State::Warning,
    };
    Diagnosis {
        guard: row.id,
        moment: row.moment,
        severity: row.severity,
        prevents: row.prevents,
        state,
        phase,
        subject,
        saw: finding.saw,
        remedy: finding.remedy,
        overridden,
        fresh,
    }
}

type Fresh = (Phase, Option<Digest>, Finding);

/// The checks that cost next to nothing, on the workspace as it stands.
fn fresh(workspace: &Workspace, ledger: &Ledger, stand: &[Standing]) -> Result<Vec<Fresh>, Failure> {
    let recipe = &workspace.recipe;
    let bands: Vec<&str> = recipe.bands.names().collect();
    let saw = format!("{} bands from {} on: {}", bands.len(), recipe.scale.min, bands.join(", "));
    let mut found = vec![(Phase::Profiles, None, Finding::pass("D14", saw))];
    let profiles = selected_profiles(ledger.profiles()?, &workspace.config.select);
    if !profiles.is_empty() {
        let prompts: Vec<String> =
            profiles.iter().map(|p| workspace.renderer.system(p)).collect::<Result<_, _>>().map_err(Failure::from)?;
        found.push((Phase::Profiles, None, d13(profiles.iter().zip(&prompts).map(|(p, text)| (p.id.as_str(), text.as_str())))));
        found.push((Phase::Profiles, None, d16(&profiles, &prompts)));
    }
    let standing = &stand[Phase::Dataset.index()];
    if let Some(record) = &standing.record {
        let stored = load_dataset(workspace, &record.output)?;
        let articles: BTreeMap<ArticleId, Article> = ledger.articles()?.into_iter().map(|(a, _)| (a.id.clone(), a)).collect();
        let side = |side: Side| {
            let ids: BTreeSet<&ArticleId> = stored.side(side).map(|e| &e.pair.article).collect();
            ids.into_iter().filter_map(|id| articles.get(id)).collect::<Vec<&Article>>()
        };
        let subject = Some(record.input.clone());
        found.push((Phase::Dataset, subject.clone(), d3(side(Side::Train), side(Side::Eval))));
        found.push((Phase::Dataset, subject, d5(stored.stats.seed, workspace.config.seed)));
        if let Ok(report) = sampler(workspace) {
            let remedy = "read 'stratos dataset sampler'; honest draws fail for one seed in a hundred";
            let words = report.words();
            let finding = if report.pass { Finding::pass("T8", words) } else { Finding::fail("T8", words, remedy) };
            found.push((Phase::Train, stand[Phase::Train.index()].input.clone(), finding));
        }
    }
    Ok(found)
}
