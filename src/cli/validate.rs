//! `stratos validate`: the phase, any other evaluation run, and the list of them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use color_eyre::eyre::Result;

use super::{PhaseArgs, phases};
use crate::domain::Phase;
use crate::engine::{self, Command, Errand, EvaluationRequest, PredictorChoice, RowsChoice, SamplingChoice, StoredRun};
use crate::evaluate::{Evaluation, evaluation_lines, figure, part_lines};
use crate::headless::{self, Output, say};
use crate::workspace::Workspace;

/// Without any of the flags below but --again and --json it is the phase: the trained student on the held-out side.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ValidateArgs {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    phase: PhaseArgs,
    /// Who predicts: student, base, server, `gguf:PATH`, `folder:PATH`, `teacher:NAME`, `file:PATH`, constant, profile-median, lexical
    #[arg(long)]
    predictor: Option<PredictorChoice>,
    /// Which rows: held-out, train, sealed, `file:PATH` (JSON lines of `article_id`, `profile_id`, score, annotator)
    #[arg(long)]
    rows: Option<RowsChoice>,
    /// How answers are drawn: served, as the recipe says, or low, at its temperature floor
    #[arg(long)]
    sampling: Option<SamplingChoice>,
    /// At most so many rows, drawn by band
    #[arg(long)]
    limit: Option<usize>,
    /// Of that draw; the workspace's where it is not given
    #[arg(long, requires = "limit")]
    seed: Option<u64>,
    /// Send scores through the calibrator of a stored run, which must be of the same model and of other articles
    #[arg(long, value_name = "RUN")]
    calibrator: Option<String>,
    /// Who judged the same rows beside the truth, for the noise floor: a teacher's or annotator's name, or a file of scores
    #[arg(long)]
    second: Option<String>,
    /// Fit baselines on a file of scores, not on the dataset's training side
    #[arg(long, value_name = "FILE")]
    fit: Option<PathBuf>,
    /// Why the seal is opened; kept with the opening
    #[arg(long, requires = "rows")]
    why: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Act {
    /// Stored runs, newest first
    List {
        #[arg(long)]
        json: bool,
    },
    /// Truncated think blocks, other names, other readers: is the reasoning the cause of the score?
    Probes(super::runs::ProbesArgs),
    /// One stored run by the first digits of its name
    Show {
        run: String,
        #[arg(long)]
        json: bool,
    },
}

pub fn validate(workspace: &Arc<Workspace>, args: &ValidateArgs) -> Result<ExitCode> {
    match &args.act {
        Some(Act::List { json }) => return list(workspace, *json),
        Some(Act::Probes(args)) => return super::runs::probes(workspace, args),
        Some(Act::Show { run, json }) => {
            let (id, evaluation) = engine::stored_run(workspace, run)?;
            if *json {
                say(&serde_json::to_string(&serde_json::json!({"id": id, "evaluation": evaluation}))?);
            } else {
                print(&evaluation_lines(&evaluation));
            }
            return Ok(ExitCode::SUCCESS);
        }
        None => {}
    }
    let json = args.phase.json;
    let Some(request) = request(args) else {
        let code = phases::single(workspace, Phase::Validate, &args.phase)?;
        let newest = workspace.ledger()?.last_record(Phase::Validate)?;
        if let Some(record) = newest.filter(|_| !json && code == ExitCode::SUCCESS) {
            let (id, evaluation) = engine::stored_run(workspace, record.output.as_str())?;
            print(&part_lines(&evaluation));
            say(&format!("run {}", id.short()));
        }
        return Ok(code);
    };
    let command = Command::Errand { errand: Errand::Evaluate { request } };
    let Some(id) = headless::evaluate(workspace, command, Output::of(json))? else { return Ok(ExitCode::from(2)) };
    let (id, evaluation) = engine::stored_run(workspace, id.as_str())?;
    if json {
        let short = Evaluation { rows: Vec::new(), ..evaluation };
        say(&serde_json::to_string(&serde_json::json!({"event": "evaluation", "id": id, "evaluation": short}))?);
    } else {
        print(&evaluation_lines(&evaluation));
        say(&format!("run {}", id.short()));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(lines: &[String]) {
    for line in lines {
        say(&headless::clean(line));
    }
}

/// What the flags ask for; `None`: the phase.
fn request(args: &ValidateArgs) -> Option<EvaluationRequest> {
    let asked = args.predictor.is_some()
        || args.rows.is_some()
        || args.sampling.is_some()
        || args.limit.is_some()
        || args.calibrator.is_some()
        || args.second.is_some()
        || args.fit.is_some();
    asked.then(|| EvaluationRequest {
        predictor: args.predictor.clone().unwrap_or_default(),
        rows: args.rows.clone().unwrap_or_default(),
        sampling: args.sampling.unwrap_or_default(),
        limit: args.limit,
        seed: args.seed,
        calibrator: args.calibrator.clone(),
        second: args.second.clone(),
        fit: args.fit.clone(),
        why: args.why.clone(),
    })
}

fn list(workspace: &Workspace, json: bool) -> Result<ExitCode> {
    let runs = engine::stored_runs(workspace)?;
    if json {
        say(&serde_json::to_string(&runs)?);
        return Ok(ExitCode::SUCCESS);
    }
    if runs.is_empty() {
        say("No evaluation yet; run 'stratos validate'.");
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!(
        "{:<13}{:<18}{:<24}{:<22}{:>7}{:>8}  {:<18}{:>7}{:>8}",
        "run", "when", "predictor", "rows", "n", "MAE", "95 % interval", "ρ", "skill"
    ));
    for run in &runs {
        say(headless::clean(&line(run)).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn line(run: &StoredRun) -> String {
    let s = &run.summary;
    let within = s.mae_interval.map_or_else(String::new, |(low, high)| format!("[{low:.3}, {high:.3}]"));
    let few = if s.n < crate::evaluate::FEW_ROWS { "  · few rows" } else { "" };
    format!(
        "{:<13}{:<18}{:<24}{:<22}{:>7}{:>8}  {within:<18}{:>7}{:>8}{few}",
        run.id.short(),
        run.at.minutes(),
        crate::domain::one_line(&s.predictor, 23),
        crate::domain::one_line(&s.rows, 21),
        s.n,
        figure(s.mae),
        figure(s.spearman),
        figure(s.skill)
    )
}
