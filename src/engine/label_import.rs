//! Importing files of labels: read by their shape, matched with what is known, stored, and looked at by the import guards.
//!
//! Owns the job. A file is stored in one transaction with the readers and articles that its rows brought along; the same
//! bytes again change nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::event::{Event, Level};
use super::job::{Failure, JobContext, PhaseEnd};
use super::labels::{Classified, classify, views_of};
use super::phases::sync_shipped;
use super::sealing;
use crate::dataset::Sealed;
use crate::dataset::checks::d10;
use crate::dataset::identity::Identities;
use crate::dataset::labels::{unknown, why};
use crate::dataset::legacy::{RawRow, SHAPES, read_row};
use crate::dataset::seal::d3_sealed;
use crate::distill::quality::{Premises, Scored, examine_rows};
use crate::domain::{
    Article, ArticleId, Conduct, Digest, Finding, Gate, Label, LabelKind, LabelState, PairKey, Phase, Profile, ProfileId, Trust,
    one_line,
};
use crate::workspace::{JsonRecords, NewSource, Origin, Workspace, WorkspaceError};

/// A larger file is not one of labels.
const MAX_BYTES: u64 = 1 << 30;

/// Ids that a message names.
const NAMED: usize = 5;

/// Imports some files, one after the other; what the first ones brought is there for the later ones.
pub(super) fn run(
    context: &mut JobContext,
    files: &[PathBuf],
    annotator: Option<&str>,
    trust: Trust,
) -> Result<PhaseEnd, Failure> {
    // Rows are matched with what the recipe ships, too.
    sync_shipped(context)?;
    let total = files.len() as u64;
    let (mut added, mut known) = (0, 0);
    for (done, path) in files.iter().enumerate() {
        if context.gate() == Gate::Stop {
            return Ok(PhaseEnd::Stopped);
        }
        let name = file_name(path);
        context.progress(done as u64, total, "files", &name);
        let rows = import(context, path, &name, annotator, trust)?;
        let (fresh, same) = if let Some(rows) = rows { (rows, 0) } else { (0, 1) };
        added += fresh;
        known += same;
        context.event(Event::Imported { what: format!("labels of {name}"), added: fresh, updated: 0, unchanged: same });
    }
    let workspace = context.workspace.clone();
    let classified = classify(&workspace, &mut context.ledger)?;
    examine(context, &classified)?;
    for view in views_of(&context.ledger)? {
        let level = if view.suspicious { Level::Warn } else { Level::Info };
        view.lines().into_iter().for_each(|line| context.log(level, line));
    }
    tell_orphans(context, &classified);
    hold_seal(context, &classified)?;
    let same = if known > 0 { format!(", {known} files were known already") } else { String::new() };
    Ok(PhaseEnd::Aside { headline: format!("{added} labels imported{same}") })
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "labels".into(), |name| one_line(&name.to_string_lossy(), 120))
}

/// Imports one file; `None`: its bytes were imported before.
fn import(
    context: &mut JobContext,
    path: &Path,
    name: &str,
    annotator: Option<&str>,
    trust: Trust,
) -> Result<Option<usize>, Failure> {
    let io = |e| WorkspaceError::io("read", path, e);
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > MAX_BYTES {
        let reason = format!("{} has {size} bytes; a file of labels has at most {MAX_BYTES}", path.display());
        return Err(Failure::new(reason, "Split it and import the parts."));
    }
    let sha256 = Digest::of(std::fs::read(path).map_err(io)?);
    if context.ledger.label_sources()?.iter().any(|s| s.sha256 == sha256) {
        return Ok(None);
    }
    let (rows, kind) = read(path)?;
    let stem = path.file_stem().map_or_else(|| name.to_owned(), |stem| one_line(&stem.to_string_lossy(), 60));
    let annotator = annotator.map_or(stem, |name| one_line(name, 60));
    let source = NewSource { name: name.to_owned(), sha256, annotator, trust, kind };
    let workspace = context.workspace.clone();
    let (labels, profiles, articles) =
        identified(&workspace, &context.ledger.profiles()?, &context.ledger.articles()?, rows, &source);
    let at = context.clock.now();
    let stored = context.ledger.put_labels(&source, &labels, (&profiles, &articles), at)?;
    if !articles.is_empty() || !profiles.is_empty() {
        let text = format!("{name}: {} articles and {} readers that were not known came with it", articles.len(), profiles.len());
        context.log(Level::Info, text);
    }
    Ok(stored.map(|_| labels.len()))
}

/// The rows of a file and what most of them are.
fn read(path: &Path) -> Result<(Vec<RawRow>, LabelKind), Failure> {
    let mut rows = Vec::new();
    let mut bad = 0;
    for record in JsonRecords::<Value>::open(path)? {
        let row = match record {
            Ok((line, value)) => read_row(line, &value).unwrap_or_else(|_| {
                bad += 1;
                RawRow::broken(line, LabelKind::Scores, "the row has no known shape")
            }),
            Err(WorkspaceError::Record { line, .. }) => {
                bad += 1;
                RawRow::broken(line, LabelKind::Scores, "the line is not readable JSON")
            }
            Err(other) => return Err(other.into()),
        };
        rows.push(row);
    }
    if rows.is_empty() || bad * 2 > rows.len() {
        let reason = format!("{}: {bad} of {} rows cannot be read as labels: {SHAPES}", path.display(), rows.len());
        return Err(Failure::new(
            reason,
            "Give score rows, chat rows or training rows as JSON lines; nothing of this file was stored.",
        ));
    }
    let mut kinds: BTreeMap<LabelKind, usize> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.body.defect.is_none() || row.turn.is_some() || row.has_ids()) {
        *kinds.entry(row.kind).or_default() += 1;
    }
    let kind = kinds.into_iter().max_by_key(|(_, n)| *n).map_or(LabelKind::Scores, |(kind, _)| kind);
    Ok((rows, kind))
}

type Known<T> = [(T, String)];

/// Rows as labels with ids, and the readers and articles that had to be made of them.
fn identified(
    workspace: &Workspace,
    profiles: &Known<Profile>,
    articles: &Known<Article>,
    rows: Vec<RawRow>,
    source: &NewSource,
) -> (Vec<Label>, Vec<Profile>, Vec<Article>) {
    let rendered = profiles.iter().map(|(p, _)| (p, workspace.renderer.system(p).unwrap_or_default()));
    let mut identities = Identities::new(rendered, articles.iter().map(|(a, _)| a));
    let known_readers: HashSet<&str> = profiles.iter().map(|(p, _)| p.id.as_str()).collect();
    // What came with an earlier file may be told better by this one; what was imported or shipped may not.
    let labels = Origin::Labels.id();
    let known_articles: HashSet<&str> =
        articles.iter().filter(|(_, origin)| origin != labels).map(|(a, _)| a.id.as_str()).collect();
    let mut found = Vec::with_capacity(rows.len());
    for mut row in rows {
        if row.kind != LabelKind::Scores {
            name_pair(&mut identities, &mut row, &known_readers, &known_articles);
        }
        found.push(Label {
            line: row.line,
            annotator: row.annotator.map_or_else(|| source.annotator.clone(), |name| one_line(&name, 60)),
            article: row.article_id.unwrap_or_default(),
            profile: row.profile_id.unwrap_or_default(),
            body: row.body,
            // Judged together with all the others, once they are stored.
            state: LabelState::Kept,
            reason: String::new(),
        });
    }
    let (made_profiles, made_articles) = identities.made();
    (found, made_profiles, made_articles)
}

/// Finds or makes the article and the reader of a row that carries texts.
fn name_pair(identities: &mut Identities, row: &mut RawRow, known_readers: &HashSet<&str>, known_articles: &HashSet<&str>) {
    let article = row.article_id.as_deref().and_then(|id| ArticleId::new(id).ok());
    if !article.as_ref().is_some_and(|id| known_articles.contains(id.as_str())) {
        let found = row.turn.as_ref().and_then(|turn| identities.article(turn, article.as_ref()));
        match found {
            Some(id) => row.article_id = Some(id.to_string()),
            None => _ = row.body.defect.get_or_insert_with(|| "no article in the prompt".into()),
        }
    }
    let reader = row.profile_id.as_deref().and_then(|id| ProfileId::new(id).ok());
    if !reader.as_ref().is_some_and(|id| known_readers.contains(id.as_str())) {
        match identities.reader(&row.system, reader.as_ref()) {
            Some(id) => row.profile_id = Some(id.to_string()),
            None => _ = row.body.defect.get_or_insert_with(|| "no reader in the prompt".into()),
        }
    }
}

/// The import guards over every annotator of every file, against all the others; kept beside the file and, taken together,
/// as findings of the phase.
fn examine(context: &mut JobContext, classified: &Classified) -> Result<(), Failure> {
    let workspace = context.workspace.clone();
    let mut units: BTreeMap<(i64, &str), Vec<Scored>> = BTreeMap::new();
    let mut counts: HashMap<i64, (usize, usize, usize)> = HashMap::new();
    for stored in &classified.labels {
        let label = &stored.label;
        let count = counts.entry(stored.source).or_default();
        count.0 += 1;
        count.1 += usize::from(label.reason == why::FORBIDDEN);
        count.2 += usize::from(label.reason == why::OUTSIDE);
        let (Some(pair), Some(score)) = (label.pair(), label.body.score) else { continue };
        let (reason, annotator) = (label.body.reason.clone(), label.annotator.clone());
        units.entry((stored.source, &label.annotator)).or_default().push(Scored { pair, score, reason, annotator, batch: 0 });
    }
    let texts: HashMap<&ArticleId, &Article> = classified.articles.iter().map(|a| (&a.id, a)).collect();
    let recipe = &workspace.recipe;
    let article = |id: &ArticleId| texts.get(id).map(|a| format!("{} {}", a.title, a.summary));
    let premises = Premises { scale: &recipe.scale, languages: &recipe.data.languages, article: &article };
    let mut per_guard: BTreeMap<String, Vec<(String, Finding)>> = BTreeMap::new();
    for source in &classified.sources {
        let mut findings: Vec<Finding> = Vec::new();
        for ((_, annotator), rows) in units.iter().filter(|((id, _), _)| *id == source.id) {
            let others: Vec<&[Scored]> =
                units.iter().filter(|((_, other), _)| other != annotator).map(|(_, rows)| rows.as_slice()).collect();
            findings.extend(examine_rows(rows, &others, &premises));
        }
        let (rows, forbidden, outside) = counts.get(&source.id).copied().unwrap_or_default();
        findings.push(d10(forbidden, outside, rows));
        for finding in &findings {
            per_guard.entry(finding.guard.clone()).or_default().push((source.name.clone(), finding.clone()));
        }
        context.ledger.put_source_findings(source.id, &findings)?;
    }
    let findings: Vec<Finding> = per_guard.into_iter().map(|(guard, all)| together(&guard, &all)).collect();
    // All of them warn; what they say is told with the files.
    context.ledger.put_findings(Phase::Dataset, &subject(classified), &findings, context.clock.now())?;
    let named: Vec<String> =
        views_of(&context.ledger)?.into_iter().filter(|view| view.suspicious).map(|view| view.name).collect();
    if !named.is_empty() {
        context.warn(format!("suspicious: {}; see 'stratos dataset sources'", named.join(", ")));
    }
    Ok(())
}

/// What one guard saw of all files, as one finding.
fn together(guard: &str, all: &[(String, Finding)]) -> Finding {
    let failed: Vec<&(String, Finding)> = all.iter().filter(|(_, f)| f.failed()).collect();
    let Some((_, first)) = failed.first() else {
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        return Finding::pass(guard, format!("labels of {}: nothing wrong", names.join(", ")));
    };
    let saw: Vec<String> = failed.iter().map(|(name, f)| format!("{name}: {}", f.saw)).collect();
    Finding::fail(guard, saw.join(" | "), first.remedy.clone())
}

fn subject(classified: &Classified) -> Digest {
    Digest::of_json(&classified.sources.iter().map(|s| s.sha256.as_str()).collect::<Vec<_>>())
}

fn tell_orphans(context: &mut JobContext, classified: &Classified) {
    for (what, next, why) in [
        ("articles", "import them with 'stratos articles import'", why::UNKNOWN_ARTICLE),
        ("readers", "import them with 'stratos profiles import'", why::UNKNOWN_READER),
    ] {
        let unknown = unknown(classified.labels.iter().map(|l| &l.label), why);
        if unknown.is_empty() {
            continue;
        }
        let rows: usize = unknown.iter().map(|(_, n)| n).sum();
        let named: Vec<String> = unknown.iter().take(NAMED).map(|(id, n)| format!("{} ({n})", one_line(id, 60))).collect();
        let more = if unknown.len() > NAMED { format!(" and {} more", unknown.len() - NAMED) } else { String::new() };
        let count = unknown.len();
        context.warn(format!(
            "{rows} labels name {count} {what} that are not known: {}{more}; {next} and they join in",
            named.join(", ")
        ));
    }
}

/// The same check that stops a build, when the rows arrive.
fn hold_seal(context: &mut JobContext, classified: &Classified) -> Result<(), Failure> {
    let workspace = context.workspace.clone();
    let Some(current) = sealing::current(&workspace, &context.ledger)? else { return Ok(()) };
    let sealed = Sealed::new(&current.seal);
    let kept = classified.labels.iter().filter(|l| l.label.state == LabelState::Kept);
    let pairs: Vec<PairKey> = kept.filter_map(|l| l.label.pair()).filter(|pair| sealed.holds(pair).is_none()).collect();
    let copies = current.seal.copies(&classified.articles);
    let twins = current.seal.twins(&classified.profiles);
    let finding = d3_sealed(&copies, &twins, &pairs).unwrap_or_else(|| {
        Finding::pass("D3", format!("{} imported labels outside the seal; none is about a copy of a sealed article", pairs.len()))
    });
    if finding.failed() {
        context.warn("the labels are stored; no dataset is built with them until this is mended".into());
    }
    context.ledger.put_findings(Phase::Dataset, &subject(classified), std::slice::from_ref(&finding), context.clock.now())?;
    context.event(Event::Finding { phase: Phase::Dataset, finding });
    Ok(())
}
