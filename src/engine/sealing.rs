//! The seal in a workspace: making it, proving that nobody changed it, and every look at the sealed rows.
//!
//! Owns the file below `.stratos/seals/`, its digest in the ledger, guard D4, and [`open_seal`], the one way to the sealed
//! rows. What a seal holds and what a copy is are `dataset::seal`'s.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::job::{Failure, JobContext, PhaseEnd};
use super::labels::{Gathered, gather};
use crate::dataset::cluster::{ClusterId, cluster};
use crate::dataset::seal::{Person, SealedCluster, SealedReader, person};
use crate::dataset::seal_choice::{JudgedPair, choose_clusters, choose_readers, sealed};
use crate::dataset::{Held, Seal, Sealed, SourcedTrace, by_preference};
use crate::domain::{
    Answer, ArticleId, Conduct, Digest, Finding, PairKey, Phase, Profile, ProfileId, Recipe, UnixMillis, one_line,
};
use crate::workspace::{Ledger, SealRecord, Workspace, WorkspaceError, atomic_write};

/// What is to be sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "seal")]
pub enum SealWish {
    /// The first seal of a workspace.
    New {
        share: f64,
        /// So many readers are held out whole, drawn by the seed.
        readers: usize,
        /// These readers are held out whole.
        named: Vec<ProfileId>,
        /// `None`: the workspace's.
        seed: Option<u64>,
        /// Why it is made though something was trained; empty: it is not.
        reason: String,
    },
    /// The clusters of these articles too.
    Add { articles: Vec<ArticleId>, reason: String },
    /// Every article that is a copy of a sealed one too.
    AddCopies,
    /// Writes a changed or lost file again, as the ledger has it.
    Restore,
}

/// The seal that holds now.
pub(super) struct Current {
    pub record: SealRecord,
    /// As it was made.
    pub seal: Seal,
    /// What is wrong with its file.
    pub tampered: Option<String>,
}

impl Current {
    fn file(&self, workspace: &Workspace) -> Result<PathBuf, WorkspaceError> {
        Ok(workspace.state_dir("seals")?.join(&self.record.file))
    }
}

/// The newest seal, with its file proved; `None`: nothing is sealed.
pub(super) fn current(workspace: &Workspace, ledger: &Ledger) -> Result<Option<Current>, WorkspaceError> {
    let Some(record) = ledger.seals()?.pop() else { return Ok(None) };
    let path = workspace.state_dir("seals")?.join(&record.file);
    let broken = |why: String| WorkspaceError::File { file: path.clone(), why };
    let body = ledger.seal_body(&record.digest)?.unwrap_or_default();
    let seal = Seal::from_bytes(&body).map_err(|e| broken(format!("the ledger's copy cannot be read: {e}")))?;
    let (file, digest) = (path.display(), record.digest.short());
    let tampered = match std::fs::read(&path).map(Digest::of) {
        Ok(found) if found == record.digest => None,
        Ok(found) => Some(format!("{file} has digest {}, and {digest} was sealed", found.short())),
        Err(error) => Some(format!("{file} cannot be read ({error}); {digest} was sealed")),
    };
    Ok(Some(Current { record, seal, tampered }))
}

/// What a dataset depends on of the seal: its digest, and that its file is not as it was sealed, if so.
pub(super) fn standing(workspace: &Workspace, ledger: &Ledger) -> Result<Vec<Digest>, WorkspaceError> {
    let Some(record) = ledger.seals()?.pop() else { return Ok(Vec::new()) };
    let found = std::fs::read(workspace.state_dir("seals")?.join(&record.file)).map_or_else(|_| Digest::of("lost"), Digest::of);
    let changed = (found != record.digest).then_some(found);
    Ok([Some(record.digest), changed].into_iter().flatten().collect())
}

/// Guard D4: the hold-out is the one that was sealed, and every look at it is counted.
pub(super) fn d4(current: Option<&Current>, openings: usize) -> Finding {
    let Some(current) = current else {
        return Finding::pass("D4", "nothing is sealed; 'stratos dataset seal' keeps rows that no run may train on");
    };
    let (seal, digest) = (&current.seal, current.record.digest.short());
    match &current.tampered {
        None => Finding::pass(
            "D4",
            format!(
                "seal {digest}: {} clusters and {} readers, the file is as it was sealed; opened {openings} times",
                seal.clusters.len(),
                seal.readers.len()
            ),
        ),
        Some(why) => Finding::fail(
            "D4",
            format!("the sealed hold-out was changed: {why}"),
            "find out who changed it; 'stratos dataset seal --restore' writes the sealed file again, as the ledger has it",
        ),
    }
}

/// What there is to be told of the seal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SealView {
    pub digest: Digest,
    pub previous: Option<Digest>,
    pub file: String,
    pub clusters: usize,
    pub articles: usize,
    /// Held out whole.
    pub readers: Vec<String>,
    pub share: f64,
    pub seed: u64,
    pub at: UnixMillis,
    /// The operator's reason where one was needed.
    pub why: String,
    /// Labels that it holds out.
    pub rows: usize,
    pub tampered: Option<String>,
    /// (number, who, why, rows), oldest first.
    pub openings: Vec<(u64, String, String, usize)>,
}

impl SealView {
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "seal {}: {} clusters ({} articles), {} imported labels, {} readers held out whole",
            self.digest.short(),
            self.clusters,
            self.articles,
            self.rows,
            self.readers.len()
        )];
        if !self.readers.is_empty() {
            lines.push(format!("  readers: {}", self.readers.join(", ")));
        }
        lines.push(format!("  share {}, seed {}, file .stratos/seals/{}", self.share, self.seed, self.file));
        if let Some(previous) = &self.previous {
            lines.push(format!("  contains seal {}", previous.short()));
        }
        if !self.why.is_empty() {
            lines.push(format!("  made after training had begun, because: {}", self.why));
        }
        lines.push(match &self.tampered {
            None => "  the file is as it was sealed".to_owned(),
            Some(why) => format!("  CHANGED: {why}"),
        });
        lines.push(format!("  opened {} times", self.openings.len()));
        lines.extend(self.openings.iter().map(|(n, who, why, rows)| format!("  opening {n} by {who}: {why} ({rows} rows)")));
        lines
    }
}

/// The seal as it stands; `None`: nothing is sealed.
pub fn seal_view(workspace: &Workspace) -> Result<Option<SealView>, WorkspaceError> {
    view_of(workspace, &workspace.ledger()?)
}

pub(super) fn view_of(workspace: &Workspace, ledger: &Ledger) -> Result<Option<SealView>, WorkspaceError> {
    let Some(current) = current(workspace, ledger)? else { return Ok(None) };
    let held = Sealed::new(&current.seal);
    let rows = ledger.label_pairs()?.iter().filter(|pair| held.holds(pair).is_some()).count();
    let openings = ledger.openings()?.into_iter().map(|o| (o.number, o.who, o.why, o.rows)).collect();
    let Current { record, seal, tampered } = current;
    Ok(Some(SealView {
        digest: record.digest,
        previous: record.previous,
        file: record.file,
        clusters: record.clusters,
        articles: record.articles,
        readers: seal.readers.iter().map(|r| r.id.to_string()).collect(),
        share: seal.share,
        seed: seal.seed,
        at: record.at,
        why: record.why,
        rows,
        tampered,
        openings,
    }))
}

/// Makes, grows or restores the seal.
pub(super) fn run(context: &mut JobContext, wish: &SealWish) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let current = current(&workspace, &context.ledger)?;
    if let (SealWish::Restore, Some(current)) = (wish, &current) {
        write(&current.file(&workspace)?, &current.seal.to_bytes())?;
        return Ok(PhaseEnd::Aside { headline: format!("seal {} is written again", current.record.digest.short()) });
    }
    let openings = context.ledger.openings()?.len();
    context.hold(&seal_subject(current.as_ref()), &[d4(current.as_ref(), openings)])?;
    context.progress(0, 2, "steps", "reading what was ever imported");
    let gathered = gather(context)?;
    context.progress(1, 2, "steps", "choosing clusters");
    let none = || Failure::new("nothing is sealed yet", "Seal some clusters with 'stratos dataset seal' first.");
    let (seal, why) = match (wish, &current) {
        (SealWish::New { .. }, Some(current)) => {
            let digest = current.record.digest.short();
            let next = "Add clusters with --add ARTICLE,… or copies with --add-copies; a hold-out that changes is none.";
            return Err(Failure::new(format!("this workspace is sealed already ({digest})"), next));
        }
        (SealWish::New { share, readers, named, seed, reason }, None) => {
            let why = before_training(context, reason)?;
            (first(&workspace, &gathered, *share, (*readers, named), seed.unwrap_or(workspace.config.seed))?, why)
        }
        (SealWish::Add { articles, reason }, Some(current)) => {
            let why = before_training(context, reason)?;
            (added(current, &gathered, articles)?, why)
        }
        (SealWish::AddCopies, Some(current)) => {
            let copies = current.seal.copies(&gathered.articles);
            let twins: BTreeSet<ProfileId> = current.seal.twins(&gathered.profiles).into_iter().map(|(twin, _)| twin).collect();
            if copies.is_empty() && twins.is_empty() {
                return Ok(PhaseEnd::Aside { headline: "no article outside the seal is a copy of a sealed one".into() });
            }
            let readers = gathered.profiles.iter().filter(|p| twins.contains(&p.id)).map(SealedReader::of).collect();
            let more = current.seal.grown_by(&copies, &gathered.articles);
            (current.seal.with(&current.record.digest, more, readers), String::new())
        }
        (SealWish::Add { .. } | SealWish::AddCopies | SealWish::Restore, _) => return Err(none()),
    };
    let headline = store(context, &seal, why)?;
    Ok(PhaseEnd::Aside { headline })
}

/// Guards about the seal are about this one.
fn seal_subject(current: Option<&Current>) -> Digest {
    current.map_or_else(|| Digest::of("no seal"), |c| c.record.digest.clone())
}

/// A hold-out is chosen before anything is trained; after that, only with a reason.
fn before_training(context: &JobContext, reason: &str) -> Result<String, Failure> {
    let reason = one_line(reason, 500);
    let trained = context.ledger.last_record(Phase::Train)?.is_some() || has_checkpoints(&context.workspace)?;
    if trained && reason.is_empty() {
        return Err(Failure::new(
            "a student was trained in this workspace, perhaps on what would be sealed now",
            "Seal before training, in a workspace of its own; or give --reason \"…\", which is kept and shown with the seal.",
        ));
    }
    Ok(if trained { reason } else { String::new() })
}

/// A run that was interrupted has trained too.
fn has_checkpoints(workspace: &Workspace) -> Result<bool, WorkspaceError> {
    let runs = workspace.state_dir("runs")?;
    let entries = std::fs::read_dir(&runs).map_err(|e| WorkspaceError::io("read", &runs, e))?;
    let has = |folder: PathBuf| std::fs::read_dir(folder.join("checkpoints")).is_ok_and(|mut items| items.next().is_some());
    Ok(entries.flatten().any(|entry| has(entry.path())))
}

fn judged(recipe: &Recipe, traces: &[SourcedTrace]) -> Vec<JudgedPair> {
    let pair = |s: &SourcedTrace| JudgedPair {
        pair: s.trace.pair.clone(),
        annotator: s.provenance.annotator.clone(),
        band: recipe.bands.index(s.trace.answer.score),
    };
    traces.iter().map(pair).collect()
}

fn first(
    workspace: &Workspace,
    gathered: &Gathered,
    share: f64,
    (count, named): (usize, &[ProfileId]),
    seed: u64,
) -> Result<Seal, Failure> {
    if !(0.0..=0.5).contains(&share) {
        return Err(Failure::new(format!("a share of {share} cannot be sealed"), "Give --share between 0 and 0.5, such as 0.2."));
    }
    let mut rows = judged(&workspace.recipe, &gathered.traces);
    let known: BTreeSet<&ProfileId> = gathered.profiles.iter().map(|p| &p.id).collect();
    if let Some(odd) = named.iter().find(|id| !known.contains(id)) {
        return Err(Failure::new(format!("there is no reader '{odd}'"), "See 'stratos profiles list'."));
    }
    let mut readers: BTreeSet<ProfileId> = named.iter().cloned().collect();
    // A reader is the same one under every id it has.
    let persons: BTreeSet<Person> = gathered.profiles.iter().filter(|p| readers.contains(&p.id)).map(person).collect();
    readers.extend(gathered.profiles.iter().filter(|p| persons.contains(&person(p))).map(|p| p.id.clone()));
    let others: Vec<Profile> = gathered.profiles.iter().filter(|p| !readers.contains(&p.id)).cloned().collect();
    let drawn = choose_readers(&others, &rows, count, seed);
    if drawn.len() < count {
        let reason = format!("{count} readers are to be held out, and only {} have judged pairs", drawn.len());
        return Err(Failure::new(reason, "Import labels first, or ask for fewer."));
    }
    readers.extend(drawn);
    rows.retain(|row| !readers.contains(&row.pair.profile));
    let clusters = cluster(&gathered.articles);
    let chosen = choose_clusters(&gathered.articles, &clusters, &rows, share, seed);
    if chosen.is_empty() && readers.is_empty() {
        return Err(Failure::new("nothing would be sealed", "Import articles and labels first, and give a larger --share."));
    }
    let held = gathered.profiles.iter().filter(|p| readers.contains(&p.id)).map(SealedReader::of).collect();
    Ok(Seal::new(seed, share, chosen, held))
}

fn added(current: &Current, gathered: &Gathered, articles: &[ArticleId]) -> Result<Seal, Failure> {
    let clusters = cluster(&gathered.articles);
    let unknown = articles.iter().find(|id| !clusters.of.contains_key(id));
    if let Some(id) = unknown {
        return Err(Failure::new(format!("there is no article '{id}'"), "See 'stratos articles list'."));
    }
    let inside = current.seal.article_ids();
    let chosen: BTreeSet<ClusterId> =
        articles.iter().filter(|id| !inside.contains(id)).map(|id| clusters.cluster_of(id)).collect();
    if chosen.is_empty() {
        return Err(Failure::new("these articles are sealed already", "Name articles of clusters that are not."));
    }
    let more: Vec<SealedCluster> = sealed(&gathered.articles, &clusters, &chosen);
    Ok(current.seal.with(&current.record.digest, more, Vec::new()))
}

/// Writes the file, then records it: a file without a record is only a file.
fn store(context: &mut JobContext, seal: &Seal, why: String) -> Result<String, Failure> {
    let workspace = context.workspace.clone();
    let bytes = seal.to_bytes();
    let digest = Digest::of(&bytes);
    let number = context.ledger.seals()?.len() + 1;
    let file = format!("{number:03}-{}.json", digest.short());
    write(&workspace.state_dir("seals")?.join(&file), &bytes)?;
    let record = SealRecord {
        digest,
        previous: seal.previous.clone(),
        file,
        clusters: seal.clusters.len(),
        articles: seal.clusters.iter().map(|c| c.articles.len()).sum(),
        profiles: seal.readers.len(),
        why,
        at: context.clock.now(),
    };
    context.ledger.put_seal(&record, &bytes)?;
    Ok(format!(
        "sealed {} clusters ({} articles) and {} readers as {}",
        record.clusters,
        record.articles,
        record.profiles,
        record.digest.short()
    ))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), WorkspaceError> {
    atomic_write(path, bytes)?;
    let io = |e| WorkspaceError::io("protect", path, e);
    let mut permissions = std::fs::metadata(path).map_err(io)?.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(path, permissions).map_err(io)
}

/// One sealed pair with its truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SealedRow {
    pub pair: PairKey,
    /// Which half of the pair is held out.
    pub held: Held,
    /// Names the article's cluster; rows of one cluster are not independent.
    pub cluster: String,
    pub truth: f64,
    pub reason: String,
    /// Who gave the truth: the preferred annotator of the pair.
    pub source: String,
    /// What other annotators said, in order of preference: (who, score). For the noise floor.
    pub opinions: Vec<(String, f64)>,
}

/// The sealed rows, and the number of the look that gave them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SealedRows {
    pub seal: Digest,
    pub opening: u64,
    /// In order of pair.
    pub rows: Vec<SealedRow>,
    /// The readers that are held out whole; training has seen none of their rows.
    pub readers: Vec<ProfileId>,
}

/// Opens the seal for the operator, who wants the rows in a file: to compute on them elsewhere, or to have them judged again.
pub(super) fn write_out(context: &mut JobContext, why: &str, to: &Path) -> Result<PhaseEnd, Failure> {
    if why.trim().is_empty() {
        return Err(Failure::new("an opening needs a written reason", "Give it with --open \"…\"."));
    }
    let opened = open_seal(context, &operator(), why, None)?;
    let mut lines = String::new();
    for row in &opened.rows {
        lines += &serde_json::to_string(row)?;
        lines.push('\n');
    }
    atomic_write(to, lines.as_bytes())?;
    let (rows, file) = (opened.rows.len(), to.display());
    let headline = format!("opening {} of seal {}: {rows} rows in {file}", opened.opening, opened.seal.short());
    Ok(PhaseEnd::Aside { headline })
}

/// Who looks, as the system knows them.
pub(super) fn operator() -> String {
    let name = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "the operator".into())
}

/// Opens the seal: the one way to the rows that it holds out. `who` and `why` are recorded with the evaluation it is for, and
/// every look counts. A hold-out whose file was changed is not opened unless guard D4 was overridden.
pub(super) fn open_seal(
    context: &mut JobContext,
    who: &str,
    why: &str,
    evaluation: Option<&Digest>,
) -> Result<SealedRows, Failure> {
    let workspace = context.workspace.clone();
    let Some(current) = current(&workspace, &context.ledger)? else {
        return Err(Failure::new("nothing is sealed", "Seal a hold-out with 'stratos dataset seal' before anything is trained."));
    };
    let openings = context.ledger.openings()?.len();
    context.hold(&current.record.digest, &[d4(Some(&current), openings)])?;
    let gathered = gather(context)?;
    let rows = sealed_rows(&workspace, &current.seal, &gathered);
    if rows.is_empty() {
        return Err(Failure::new(
            "the seal holds no judged pair",
            "Import the labels of the sealed articles, then open it again.",
        ));
    }
    let (who, why) = (one_line(who, 80), one_line(why, 300));
    let at = context.clock.now();
    let opening = context.ledger.put_opening(&current.record.digest, (&who, &why), evaluation, rows.len(), at)?;
    let readers = current.seal.readers.iter().map(|r| r.id.clone()).collect();
    Ok(SealedRows { seal: current.record.digest, opening, rows, readers })
}

fn sealed_rows(workspace: &Workspace, seal: &Seal, gathered: &Gathered) -> Vec<SealedRow> {
    let recipe = &workspace.recipe;
    let held = Sealed::new(seal);
    let clusters = cluster(&gathered.articles);
    let usable = gathered.traces.iter().filter(|s| {
        let score = s.trace.answer.score;
        !recipe.scale.forbids(score) && (recipe.scale.min..=recipe.scale.max).contains(&score)
    });
    let inside = usable.filter(|s| held.holds(&s.trace.pair).is_some());
    let mut rows: Vec<SealedRow> = Vec::new();
    for sourced in by_preference(inside, &workspace.config.labels.annotators) {
        let pair = &sourced.trace.pair;
        let Answer { score, reason, .. } = &sourced.trace.answer;
        match rows.last_mut().filter(|last| last.pair == *pair) {
            Some(last) => last.opinions.push((sourced.provenance.annotator.clone(), *score)),
            None => rows.push(SealedRow {
                held: held.holds(pair).unwrap_or(Held::Article),
                cluster: clusters.cluster_of(&pair.article).to_string(),
                truth: *score,
                reason: reason.clone(),
                source: sourced.provenance.annotator.clone(),
                opinions: Vec::new(),
                pair: pair.clone(),
            }),
        }
    }
    rows
}
