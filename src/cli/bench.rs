//! `stratos bench`: figures of this machine, with a peer beside them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use color_eyre::eyre::{Result, eyre};
use serde_json::json;

use crate::bench::{peer, train};
use crate::student::adapter::AdapterRules;
use crate::student::base::Projection;
use crate::student::matrix::Keep;

/// Figures of this machine
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Training steps: seconds, memory, where the time goes
    Train(TrainArgs),
}

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// A base's folder or GGUF file; without one, random weights of SmolLM2-135M's shape
    #[arg(long)]
    base: Option<PathBuf>,
    #[arg(long, default_value_t = 4)]
    rows: usize,
    #[arg(long, default_value_t = 256)]
    length: usize,
    #[arg(long, default_value_t = 5)]
    steps: usize,
    #[arg(long, default_value_t = 16)]
    rank: usize,
    /// LoRA instead of DoRA
    #[arg(long)]
    lora: bool,
    /// Compute each layer again on the way back, in less memory
    #[arg(long)]
    recompute: bool,
    /// How the base is kept: stored, f32 or bf16
    #[arg(long, default_value = "f32")]
    precision: String,
    /// Threads; all cores without it
    #[arg(long)]
    threads: Option<usize>,
    /// Rounds, ours and the peer's in turn
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// A program to run beside ours, for example: `--peer python3 .ci/peers/bench_train.py --selected --threads 2`
    #[arg(long, num_args = 1.., allow_hyphen_values = true)]
    peer: Vec<String>,
}

pub fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Train(args) => steps(args),
    }
}

/// Uses so many threads for everything that follows.
pub fn use_threads(threads: Option<usize>) -> Result<()> {
    match threads {
        Some(threads) => rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .build_global()
            .map_err(|e| eyre!("the thread pool cannot be made: {e}")),
        None => Ok(()),
    }
}

fn steps(args: &TrainArgs) -> Result<()> {
    use_threads(args.threads)?;
    let rules = AdapterRules {
        dora: !args.lora,
        rank: args.rank.max(1),
        alpha: 2.0 * args.rank.max(1) as f64,
        rslora: false,
        dropout: 0.0,
        targets: Projection::ALL.map(|p| p.name().to_owned()).to_vec(),
    };
    let bench = train::TrainBench {
        rows: args.rows.max(1),
        length: args.length.max(2),
        masked: 0.6,
        steps: args.steps.max(1),
        rules,
        recompute: args.recompute,
        keep: Keep::of_name(&args.precision),
    };
    let mut ratios = Vec::new();
    for _ in 0..args.rounds.max(1) {
        let ours = train::run(&bench, args.base.as_deref())?;
        println!("{}", json!({ "stratos": ours }));
        if args.peer.is_empty() {
            continue;
        }
        let theirs = peer::run(&args.peer).map_err(|why| eyre!("{why}"))?;
        println!("{}", json!({ "peer": theirs }));
        if let Some(seconds) = theirs.get("seconds_per_step").and_then(serde_json::Value::as_f64) {
            ratios.push(seconds / ours.seconds_per_step);
        }
    }
    if !ratios.is_empty() {
        println!("{}", json!({ "times_faster": crate::bench::median(ratios.clone()), "rounds": ratios }));
    }
    Ok(())
}
