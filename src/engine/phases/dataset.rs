//! Phase 4: judgements, bought and imported, become examples, split and balanced; the student's tokenizer is trained on the training side; both
//! are exported.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::job::{Failure, JobContext, PhaseEnd};
use super::super::labels::gather;
use super::super::sealing;
use super::super::subject::{Choice, base_codec, most_tokens};
use crate::dataset::{DatasetStats, Example, Quarantined, Side, Sources, TokenLengths, build, write_examples};
use crate::domain::{Conduct, Digest, OPERATOR};
use crate::student::template::CHATML;
use crate::student::{ChatTemplate, Codec, StudentTokenizer};
use crate::train::TrainExample;
use crate::workspace::{Workspace, WorkspaceError, atomic_write};

/// A built dataset as it is kept: what training, validation and the console read.
#[derive(Serialize, Deserialize)]
pub struct StoredDataset {
    pub digest: Digest,
    pub examples: Vec<Example>,
    pub stats: DatasetStats,
    /// Tokens of each example, in the order of `examples`.
    pub tokens: Vec<usize>,
}

impl StoredDataset {
    pub fn side(&self, side: Side) -> impl Iterator<Item = &Example> {
        self.examples.iter().filter(move |e| e.split == side)
    }
}

/// `.stratos/datasets/DIGEST/NAME`
pub fn dataset_file(workspace: &Workspace, digest: &Digest, name: &str) -> Result<PathBuf, WorkspaceError> {
    Ok(workspace.state_dir(&format!("datasets/{}", digest.short()))?.join(name))
}

/// How the seedling of this dataset reads and writes.
pub fn seedling_codec(workspace: &Workspace, digest: &Digest) -> Result<Codec, Failure> {
    let tokenizer = StudentTokenizer::load(&dataset_file(workspace, digest, "tokenizer.json")?)?;
    Ok(Codec { tokenizer, template: ChatTemplate::new(CHATML)? })
}

/// The dataset with this digest.
pub fn load(workspace: &Workspace, digest: &Digest) -> Result<StoredDataset, Failure> {
    let path = dataset_file(workspace, digest, "dataset.json")?;
    let again = "Run 'stratos dataset build --again'.";
    let bytes = std::fs::read(&path).map_err(|e| Failure::new(format!("cannot read {}: {e}", path.display()), again))?;
    let stored: StoredDataset =
        serde_json::from_slice(&bytes).map_err(|e| Failure::new(format!("{} is damaged: {e}", path.display()), again))?;
    if stored.digest != *digest {
        return Err(Failure::new(format!("{} holds another dataset", path.display()), again));
    }
    Ok(stored)
}

/// What the build left out, beside the dataset.
const QUARANTINE: &str = "quarantine.json";

/// What was left out of the dataset with this digest, and why.
pub fn load_quarantine(workspace: &Workspace, digest: &Digest) -> Result<Vec<Quarantined>, Failure> {
    let path = dataset_file(workspace, digest, QUARANTINE)?;
    let again = "Run 'stratos dataset build --again'.";
    let bytes = std::fs::read(&path).map_err(|e| Failure::new(format!("cannot read {}: {e}", path.display()), again))?;
    serde_json::from_slice(&bytes).map_err(|e| Failure::new(format!("{} is damaged: {e}", path.display()), again))
}

pub fn run(context: &mut JobContext, input: &Digest) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let recipe = &workspace.recipe;
    let seal = sealing::current(&workspace, &context.ledger)?;
    let d4 = sealing::d4(seal.as_ref(), context.ledger.openings()?.len());
    context.hold(input, std::slice::from_ref(&d4))?;
    context.progress(0, 4, "steps", "collecting judgements");
    let gathered = gather(context)?;
    context.progress(1, 4, "steps", "clusters, split, balance");
    let rejected = rejected_by_reason(context)?;
    // The operator's own score of a pair counts before anybody's, unless [labels] says where she stands.
    let mut preference = workspace.config.labels.annotators.clone();
    if !preference.iter().any(|name| name == OPERATOR) {
        preference.insert(0, OPERATOR.into());
    }
    let sources = Sources {
        profiles: &gathered.profiles,
        articles: &gathered.articles,
        traces: &gathered.traces,
        rejected: &rejected,
        left_out: &gathered.left_out,
        preference: &preference,
        seal: seal.as_ref().map(|current| &current.seal),
    };
    let built = build(recipe, sources, workspace.config.seed)?;
    context.hold(input, &built.findings)?;

    let codec = match Choice::of(&workspace)? {
        Choice::Base(path) => base_codec(&workspace, &path)?,
        Choice::Seedling => {
            context.progress(2, 4, "steps", "training the tokenizer on the training side");
            let texts: Vec<&str> = built.train().flat_map(|e| e.messages.iter().map(|m| m.content.as_str())).collect();
            let tokenizer = StudentTokenizer::train(texts, recipe.seedling.vocab_size)?;
            Codec { tokenizer, template: ChatTemplate::new(CHATML)? }
        }
    };
    let mut lengths = Vec::with_capacity(built.examples.len());
    for example in &built.examples {
        let encoded = codec.example(&example.messages)?;
        lengths.push(TokenLengths { prompt: encoded.loss_from, completion: encoded.loss_tokens() });
    }
    let built = built.with_tokens(&lengths, Some(most_tokens(&workspace)?))?;

    context.progress(3, 4, "steps", "writing the files");
    // The tokenizer reads the same bytes for every dataset with this digest, so the digest names both.
    atomic_write(&dataset_file(&workspace, &built.digest, "tokenizer.json")?, codec.tokenizer.to_json()?.as_bytes())?;
    write_examples(&workspace.data_file(&recipe.data.train_file), built.train())?;
    write_examples(&workspace.data_file(&recipe.data.eval_file), built.eval())?;
    let tokens = lengths.iter().map(|l| l.total()).collect();
    atomic_write(&dataset_file(&workspace, &built.digest, QUARANTINE)?, &serde_json::to_vec(&built.quarantined)?)?;
    let stored = StoredDataset { digest: built.digest, examples: built.examples, stats: built.stats, tokens };
    let bytes = serde_json::to_vec(&stored)?;
    atomic_write(&dataset_file(&workspace, &stored.digest, "dataset.json")?, &bytes)?;
    let totals = &stored.stats.totals;
    let sealed: usize = stored.stats.set_aside.values().sum();
    let sealed = if sealed > 0 { format!(", {sealed} sealed") } else { String::new() };
    let headline = format!("{} training rows ({} an epoch), {} held out{sealed}", totals.train, totals.epoch, totals.eval);
    Ok(PhaseEnd::Done { output: stored.digest, headline })
}

/// An example in the trainer's form.
pub fn train_example(example: &Example) -> TrainExample {
    TrainExample { id: example.id.clone(), messages: example.messages.clone(), weight: 1.0 }
}

fn rejected_by_reason(context: &JobContext) -> Result<BTreeMap<String, usize>, Failure> {
    let mut counts = BTreeMap::new();
    let Some(record) = context.ledger.last_record(crate::domain::Phase::Distill)? else { return Ok(counts) };
    if let Some(plan) = context.ledger.plan_for(&record.input)? {
        for reject in context.ledger.rejects(&plan.digest)? {
            *counts.entry(reject.reject.kind().to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}
