//! What is proved between "Train" and the first step: first all that needs no model in memory, then what computes on a few
//! rows, then the dry run. Owns which proof sees what; the proofs themselves are `train`'s.

use std::path::PathBuf;

use serde_json::json;

use super::super::super::event::Level;
use super::super::super::job::{Failure, JobContext};
use super::super::super::subject::{self, Choice, run_rules};
use super::super::dataset::{StoredDataset, train_example};
use super::mix::Mix;
use super::reading::Reading;
use super::{run_dir, t10};
use crate::dataset::{Example, OrderRow};
use crate::domain::{Conduct, Digest, Finding, Gate, Phase};
use crate::student::matrix::Keep;
use crate::student::outline::Outline;
use crate::student::{Codec, StudentConfig};
use crate::train::forecast::{self, AdapterPlan, BaseSize, Forecast};
use crate::train::learner::{Learner, Load, Subject, heaviest};
use crate::train::objective::Row;
use crate::train::{TrainExample, TrainJob, dryrun, encode, has_begun, proofs};
use crate::workspace::{Device, Workspace, atomic_write, free_bytes};

/// Held-out rows that the untuned student is measured on.
const GAP_ROWS: usize = 16;
const DRY_RUN_FILE: &str = "dry-run.json";

/// A run whose rows are encoded and whose model is not loaded yet.
pub(super) struct Prepared {
    pub run_dir: PathBuf,
    pub codec: Codec,
    pub config: StudentConfig,
    pub examples: [Vec<TrainExample>; 2],
    pub train: Vec<Row>,
    pub eval: Vec<Row>,
    pub orders: Vec<Vec<u32>>,
    pub max_tokens: usize,
    data: Digest,
    order_rows: Vec<OrderRow>,
    /// Of a base: its size, and how serving reads text.
    base: Option<(BaseSize, Codec)>,
    /// Rows that are too long for the histogram's limit, with their tokens.
    left_out: Vec<(String, usize)>,
    /// The teacher's scores of the held-out examples.
    pub held_out_scores: Vec<f64>,
    seed: u64,
}

impl Prepared {
    pub fn of(workspace: &Workspace, choice: &Choice, stored: &StoredDataset, run_dir: PathBuf) -> Result<Self, Failure> {
        let (recipe, seed) = (&workspace.recipe, workspace.config.seed);
        let run = run_rules(recipe, choice);
        let Reading { rows, order_rows, orders, limit, left_out } = Reading::of(workspace, choice, stored);
        let weight = |e: &Example| run.loss_weights.get(recipe.bands.index(e.score)).copied().unwrap_or(1.0) as f32;
        let held_out_scores = rows[1].iter().map(|e| e.score).collect();
        let example = |e: &Example| TrainExample { weight: weight(e), ..train_example(e) };
        let examples = rows.map(|rows| rows.into_iter().map(example).collect::<Vec<_>>());
        let codec = subject::codec(workspace, &stored.digest)?;
        let (config, base) = match choice {
            Choice::Seedling => (StudentConfig::seedling(&recipe.seedling, &codec.tokenizer)?, None),
            Choice::Base(path) => {
                let outline = Outline::of(path)?;
                let size = BaseSize::from(&outline);
                (outline.config, Some((size, outline.codec?)))
            }
        };
        let train = encode(&codec, config.vocab_size, &examples[0])?;
        let eval = encode(&codec, config.vocab_size, &examples[1])?;
        let (data, readable) = (stored.digest.clone(), subject::most_tokens(workspace)?);
        let max_tokens = limit.map_or(readable, |limit| limit.min(readable));
        Ok(Self {
            run_dir,
            codec,
            config,
            examples,
            train,
            eval,
            orders,
            max_tokens,
            data,
            order_rows,
            base,
            left_out,
            held_out_scores,
            seed,
        })
    }

    /// What every band's rows are read by, step by step.
    pub fn mix(&self, workspace: &Workspace, choice: &Choice) -> Mix {
        Mix::of(&self.order_rows, &self.orders, run_rules(&workspace.recipe, choice), &workspace.recipe.bands)
    }

    /// What needs no model: T1, T3, T8, T9, T11, T19.
    pub fn text_proofs(&self, workspace: &Workspace, choice: &Choice) -> Result<Vec<Finding>, Failure> {
        let recipe = &workspace.recipe;
        let serve = self.base.as_ref().map_or(&self.codec, |(_, codec)| codec);
        let ids: Vec<String> = self.train.iter().map(|r| r.id.clone()).collect();
        let order = proofs::Order {
            run: run_rules(recipe, choice),
            rows: &self.order_rows,
            ids: &ids,
            bands: &recipe.bands,
            middle: recipe.scale.middle(),
            orders: &self.orders,
            seed: self.seed,
        };
        let learnt = match choice {
            Choice::Seedling => BaseSize::of_shape(&self.config).parameters,
            Choice::Base(_) => forecast::adapter_numbers(&self.config, &subject::adapter_rules(&recipe.train)),
        };
        let mut findings = vec![
            proofs::t1(&self.codec, &self.examples[0], &self.train)?,
            proofs::t3(learnt, free_bytes(&self.run_dir)),
            order.t8(&self.run_dir),
            proofs::t9(&self.train, self.max_tokens, &self.left_out),
            proofs::t11(serve, &self.examples[0], &self.train)?,
        ];
        if let Choice::Base(path) = choice {
            findings.push(proofs::t19(path, recipe.train.continues));
        }
        Ok(findings)
    }

    /// Guard T15: the memory of a run on this machine's processor.
    pub fn memory(&self, workspace: &Workspace, choice: &Choice) -> (Finding, Option<Forecast>) {
        let run = run_rules(&workspace.recipe, choice);
        let threads = rayon::current_num_threads();
        let longest = self.train.iter().chain(&self.eval).map(|r| r.encoded.ids.len()).max().unwrap_or(0);
        let Some((base, _)) = &self.base else {
            let loss = self.train.iter().map(|r| r.encoded.loss_tokens()).max().unwrap_or(0);
            let tokens = run.micro_batch * longest;
            let load = Load { tokens, loss_rows: run.micro_batch * loss, seen: tokens, longest };
            let parts = run.effective_batch.div_ceil(run.micro_batch.max(1));
            let forecast = forecast::everything(&self.config, load, parts, threads);
            return (forecast::t15(&forecast, forecast::available(), |_| Vec::new()), Some(forecast));
        };
        let rules = &workspace.recipe.train;
        if workspace.config.train.device != Device::Cpu {
            let saw = "memory of another device than the processor is not forecast; the dry run begins with the longest rows";
            return (Finding::pass("T15", saw), None);
        }
        let adapter = subject::adapter_rules(rules);
        let plan = AdapterPlan {
            config: &self.config,
            base: *base,
            precision: Keep::of_name(&rules.precision),
            rules: &adapter,
            recompute: rules.recompute,
            threads,
        };
        let load = |micro_batch: usize, longest: usize| {
            let fits = |i: &u32| self.train.get(*i as usize).filter(|r| r.encoded.ids.len() <= longest);
            let steps = self.orders.iter().flat_map(|order| order.chunks(run.effective_batch.max(1)));
            heaviest(steps.map(|step| step.iter().filter_map(fits).collect()), micro_batch)
        };
        let forecast = plan.training(load(run.micro_batch, longest));
        let ways = |most| forecast::ways(&plan, run.micro_batch, longest, most, &load);
        (forecast::t15(&forecast, forecast::available(), ways), Some(forecast))
    }

    /// With the model in memory.
    pub fn job(&mut self, workspace: &Workspace, choice: &Choice) -> Result<TrainJob, Failure> {
        let recipe = &workspace.recipe;
        let seedling = *choice == Choice::Seedling;
        let [train, eval] = std::mem::take(&mut self.examples);
        Ok(TrainJob {
            run_dir: self.run_dir.clone(),
            prompt_dropout: if seedling { recipe.seedling.prompt_dropout } else { 0.0 },
            hidden_dropout: if seedling { recipe.seedling.hidden_dropout } else { 0.0 },
            seed: workspace.config.seed,
            subject: subject::subject(workspace, choice, &self.codec)?,
            codec: self.codec.clone(),
            max_tokens: self.max_tokens,
            train,
            eval,
            orders: std::mem::take(&mut self.orders),
            data_digest: self.data.clone(),
            run: run_rules(recipe, choice).clone(),
            samples: None,
        })
    }
}

/// Proofs on the loaded model: T4, T10, T12, T17, T18, and before the first step of a run T6, T7 and T16.
pub(super) fn model_proofs(
    context: &JobContext,
    input: &Digest,
    job: &TrainJob,
    [train, eval]: [&[Row]; 2],
) -> Result<Vec<Finding>, Failure> {
    let settings = proofs::settings(job);
    let parent = context.ledger.last_record(Phase::Train)?.filter(|record| record.input != *input);
    let parent = parent.and_then(|record| proofs::parent_settings(&run_dir(&context.workspace, &record.input).ok()?));
    let rules = if let Subject::Adapter(a) = &job.subject { Some(&a.rules) } else { None };
    let mut findings = vec![
        t10(job)?,
        proofs::t4(parent.as_ref(), &settings),
        proofs::t12(job.subject.config(), rules, &job.subject.shapes()),
        proofs::t18(&job.run_dir, &settings)?,
    ];
    if let Subject::Adapter(a) = &job.subject {
        findings.push(proofs::t17(context.workspace.recipe.train.base_digest.as_deref(), &a.base.digest));
    }
    if has_begun(&job.run_dir) {
        return Ok(findings);
    }
    let (learner, numbers) = (Learner::new(&job.subject)?, job.subject.fresh(job.seed));
    let few: Vec<Row> = train.iter().take(2).map(proofs::short).collect();
    if let [a, b] = &few[..] {
        findings.push(proofs::t6(&learner, &numbers, &[a, b])?);
        findings.push(proofs::t7(&learner, &numbers, [a, b])?);
    }
    // A seedling knows nothing: the ends of prompts tell as much.
    let whole = rules.is_some();
    let held_out: Vec<Row> = eval.iter().take(GAP_ROWS).map(|r| if whole { r.clone() } else { proofs::short(r) }).collect();
    let held_out: Vec<&Row> = held_out.iter().collect();
    if !held_out.is_empty() {
        let loss = learner.evaluate(&numbers, &held_out, job.run.micro_batch).loss;
        findings.push(proofs::t16(&job.subject, loss, held_out.len()));
    }
    Ok(findings)
}

/// The dry run (guard T2), where it was asked for or belongs to the run and was not made yet. `None`: stopped.
pub(super) fn rehearse(
    context: &mut JobContext,
    job: &TrainJob,
    [train, eval]: [&[Row]; 2],
    forecast: Option<&Forecast>,
) -> Result<Option<Finding>, Failure> {
    let workspace = context.workspace.clone();
    let mut go_on = |step: usize, steps: usize| {
        context.progress(step as u64, steps as u64, "steps", "dry run");
        context.gate() != Gate::Stop
    };
    let Some((run, numbers)) = dryrun::rehearse(job, train, eval, &mut go_on)? else { return Ok(None) };
    let recipe = &workspace.recipe;
    let answers = if fits_to_answer(job) {
        dryrun::answers(job, &numbers, &recipe.served_sampling(), recipe.scale.range())?
    } else {
        context.warn("the dry run asked for no answers: there is no memory left to prepare the student for writing".into());
        Vec::new()
    };
    for answer in &answers {
        let read = if answer.readable { "can be read" } else { "cannot be read" };
        context.log(Level::Info, format!("dry run, {} ({read}): {}", crate::domain::one_line(&answer.id, 80), answer.text));
    }
    let finding = dryrun::t2(&run, &answers, forecast.map(Forecast::total));
    let body = json!({"finding": finding, "rehearsal": run, "answers": answers, "forecast": forecast.map(Forecast::total)});
    atomic_write(&job.run_dir.join(DRY_RUN_FILE), format!("{body:#}\n").as_bytes())?;
    Ok(Some(finding))
}

/// Whether a run begins with a dry run: as the recipe says, and not where it only goes on.
pub(super) fn wants_rehearsal(workspace: &Workspace, choice: &Choice, job: &TrainJob) -> bool {
    let recipe = &workspace.recipe;
    let asked = if *choice == Choice::Seedling { recipe.seedling.dry_run } else { recipe.train.dry_run };
    asked && !has_begun(&job.run_dir)
}

/// What the dry run of this input found, where it was made before; a failed one stays failed.
pub(super) fn rehearsed_before(job: &TrainJob) -> Option<Finding> {
    let text = std::fs::read_to_string(job.run_dir.join(DRY_RUN_FILE)).ok()?;
    let mut body: serde_json::Value = serde_json::from_str(&text).ok()?;
    serde_json::from_value(body["finding"].take()).ok()
}

/// The packed copies of a base that answers have room beside the base itself.
fn fits_to_answer(job: &TrainJob) -> bool {
    let config = job.subject.config();
    let none = BaseSize { parameters: 0, stored: 0 };
    // Three rows of at most 1,024 tokens are fewer than 48 of 128.
    let need = forecast::scoring(config, none, Keep::AsStored, job.max_tokens.min(1024) / 8);
    forecast::available().is_none_or(|free| need.total() <= free)
}
