//! Subcommands of distillation: plan, approve, run, and everything that happens to a batch on its way.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use color_eyre::eyre::{Result, bail};
use serde::Serialize;

use super::PhaseArgs;
use super::phases::single;
use crate::domain::{Digest, Phase, ProfileId, Usd};
use crate::engine::{
    Answer, BatchView, Command, Errand, Library, PlanView, Query, Receipt, RejectRow, RejectsView, Scope, Which,
};
use crate::headless::{self, Output, say};
use crate::workspace::Workspace;

#[derive(Debug, Subcommand)]
pub enum Distill {
    /// Plan what has no answer yet, and show what it would cost; nothing is sent
    Plan {
        /// Which pairs
        #[arg(long, value_enum, default_value_t = Only::All)]
        only: Only,
        /// Only this reader
        #[arg(long)]
        profile: Option<ProfileId>,
        /// Only so many pairs, every reader among them
        #[arg(long)]
        sample: Option<usize>,
        /// Ask this teacher of stratos.toml for a second opinion
        #[arg(long)]
        teacher: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Approve a plan, by the first digits of its digest, up to a ceiling in dollars
    Approve {
        plan: String,
        #[arg(long)]
        ceiling: Usd,
    },
    /// Run what is approved; with --teacher, a second opinion's plan
    Run {
        #[command(flatten)]
        phase: PhaseArgs,
        #[arg(long)]
        teacher: Option<String>,
        /// With --teacher: the sample that was planned
        #[arg(long, requires = "teacher")]
        sample: Option<usize>,
    },
    /// Batches at the provider, with their states and ages
    Batches {
        #[arg(long)]
        json: bool,
    },
    /// Look at open batches once and bring home what is over; nothing new is sent
    Tend,
    /// Cancel one open batch, or all of them; what was answered by then is billed and kept
    Cancel { submission: Option<i64> },
    /// Say what an unclear submission is: a batch at the provider, or none
    Settle {
        submission: i64,
        /// The provider's id of the batch
        #[arg(long, conflicts_with = "none", required_unless_present = "none")]
        adopt: Option<String>,
        /// It is none; its requests are planned anew
        #[arg(long)]
        none: bool,
    },
    /// Import a result file that was fetched by hand
    Import {
        file: PathBuf,
        /// The file is all there is: requests without a line count as missing
        #[arg(long)]
        partial: bool,
    },
    /// Two annotators side by side: how far apart they are, and what the import guards say of each
    Compare(super::compare::CompareArgs),
    /// Answers that could not be used, and why
    Rejects {
        #[arg(long)]
        json: bool,
    },
    /// Estimate against bill
    Receipt {
        #[arg(long)]
        json: bool,
    },
}

/// Which pairs a plan takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// Every pair without an answer
    All,
    /// Pairs that were never answered; a trace of an older question is good enough
    Missing,
    /// Pairs whose question changed since they were answered
    Changed,
    /// Pairs whose trace a reviewer sent back
    SentBack,
}

pub fn distill(workspace: &Arc<Workspace>, act: Distill) -> Result<ExitCode> {
    match act {
        Distill::Plan { only, profile, sample, teacher, json } => {
            let which = match only {
                Only::All => Which::All,
                Only::Missing => Which::Missing,
                Only::Changed => Which::Changed,
                Only::SentBack => Which::SentBack,
            };
            let scope = Scope { which, profile, sample };
            let errand = match teacher {
                None => Errand::Plan { scope },
                Some(teacher) => Errand::SecondOpinion { teacher, scope, send: false },
            };
            plan(workspace, errand, json)
        }
        Distill::Approve { plan, ceiling } => approve(workspace, &plan, ceiling),
        Distill::Run { phase, teacher: None, .. } => single(workspace, Phase::Distill, &phase),
        Distill::Run { phase, teacher: Some(teacher), sample } => {
            let errand = Errand::SecondOpinion { teacher, scope: Scope { sample, ..Scope::default() }, send: true };
            errand_to_end(workspace, Command::Errand { errand }, Output::of(phase.json))
        }
        Distill::Batches { json } => batches(workspace, json),
        Distill::Tend => errand_to_end(workspace, Command::Errand { errand: Errand::Tend }, Output::Bars),
        Distill::Cancel { submission } => errand_to_end(workspace, Command::CancelBatches { submission }, Output::Bars),
        Distill::Settle { submission, adopt, none: _ } => headless::tell(workspace, Command::Settle { submission, adopt }),
        Distill::Import { file, partial } => headless::tell(workspace, Command::ImportAnswers { path: file, partial }),
        Distill::Compare(args) => super::compare::compare(workspace, &args),
        Distill::Rejects { json } => rejects(workspace, json),
        Distill::Receipt { json } => receipt(workspace, json),
    }
}

/// Runs an errand and says what came of it.
fn errand_to_end(workspace: &Arc<Workspace>, command: Command, output: Output) -> Result<ExitCode> {
    let (complete, snapshot) = headless::conduct_and_look(workspace, command, output)?;
    if output == Output::Bars {
        headless::news(&snapshot);
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Makes a plan and shows it; nothing is sent.
pub fn plan(workspace: &Arc<Workspace>, errand: Errand, json: bool) -> Result<ExitCode> {
    let plan = headless::plan(workspace, errand)?;
    match plan {
        Some(plan) if json => say(&serde_json::to_string(&*plan)?),
        Some(plan) => plan_lines(&plan).iter().for_each(|line| say(&headless::clean(line))),
        None => say(if json { "null" } else { "Nothing to plan: every pair in scope has its answer, or is out of attempts." }),
    }
    Ok(ExitCode::SUCCESS)
}

fn approve(workspace: &Arc<Workspace>, prefix: &str, ceiling: Usd) -> Result<ExitCode> {
    let plans = workspace.ledger()?.plans()?;
    let named: Vec<Digest> = plans.into_iter().map(|p| p.digest).filter(|d| super::phases::names(prefix, d)).collect();
    let [plan] = named.as_slice() else {
        bail!("'{prefix}' names no plan, or more than one; give at least eight digits, see 'stratos distill plan'")
    };
    headless::tell(workspace, Command::Approve { plan: plan.clone(), ceiling })
}

fn batches(workspace: &Arc<Workspace>, json: bool) -> Result<ExitCode> {
    let snapshot = headless::look(workspace)?;
    if json {
        say(&serde_json::to_string(&snapshot.distill.batches)?);
        return Ok(ExitCode::SUCCESS);
    }
    let line = |b: &BatchView| {
        format!(
            "{:>4} {:<36} {:<14} {:>6}/{:<6} attempt {} {}",
            b.id, b.remote, b.state, b.answered, b.requests, b.attempt, b.note
        )
    };
    snapshot.distill.batches.iter().for_each(|b| say(headless::clean(&line(b)).trim_end()));
    Ok(ExitCode::SUCCESS)
}

fn rejects(workspace: &Arc<Workspace>, json: bool) -> Result<ExitCode> {
    let snapshot = headless::look(workspace)?;
    let mut library = Library::open(workspace.clone())?;
    let plan = snapshot.distill.plan.as_ref().map(|plan| plan.digest.clone());
    let view = match plan.map(|plan| library.answer(&Query::Rejects { plan, filter: String::new() })) {
        Some(Ok(Answer::Rejects(view))) => view,
        Some(Err(why)) => bail!(why),
        _ => Arc::default(),
    };
    if json {
        say(&serde_json::to_string(&with_answers(&mut library, &view)?)?);
        return Ok(ExitCode::SUCCESS);
    }
    view.kinds.iter().for_each(|(kind, count)| say(&format!("{count:>6} {kind}")));
    for r in &view.rows {
        say(&headless::clean(&format!("{} #{}: {}", r.pair, r.attempt, r.reason)));
    }
    Ok(ExitCode::SUCCESS)
}

/// A rejected answer as `--json` prints it.
#[derive(Serialize)]
struct Rejected<'a> {
    pair: String,
    attempt: u32,
    reason: &'a str,
    raw: String,
}

fn with_answers<'a>(library: &mut Library, view: &'a RejectsView) -> Result<Vec<Rejected<'a>>> {
    let one = |row: &'a RejectRow| match library.answer(&Query::Reject(row.clone())) {
        Ok(Answer::Reject(raw)) => {
            Ok(Rejected { pair: row.pair.to_string(), attempt: row.attempt, reason: &row.reason, raw: raw.to_string() })
        }
        Ok(_) => bail!("the library answered another question; please report it"),
        Err(why) => bail!(why),
    };
    view.rows.iter().map(one).collect()
}

fn receipt(workspace: &Arc<Workspace>, json: bool) -> Result<ExitCode> {
    let snapshot = headless::look(workspace)?;
    match &snapshot.distill.receipt {
        None => say(if json { "null" } else { "Nothing was bought yet." }),
        Some(receipt) if json => say(&serde_json::to_string(receipt)?),
        Some(receipt) => receipt_lines(receipt).iter().for_each(|line| say(&headless::clean(line))),
    }
    Ok(ExitCode::SUCCESS)
}

fn receipt_lines(receipt: &Receipt) -> Vec<String> {
    let mut lines = Vec::new();
    for line in &receipt.lines {
        let t = line.tokens;
        lines.push(format!("plan {} · {} · {} · {}", line.plan.short(), line.kind.id(), line.provider, line.model));
        lines.push(format!("  estimated {}, billed {}", line.estimated, line.billed));
        lines.push(format!(
            "  tokens    {} in, {} cache written, {} cache read ({:.0} %), {} out",
            t.input,
            t.cache_write_5m + t.cache_write_1h,
            t.cache_read,
            line.cache_share() * 100.0,
            t.output
        ));
        lines.push(format!(
            "  answers   {} billed, {} kept, {} rejected, {} lost",
            line.answers, line.kept, line.rejected, line.lost
        ));
        if line.lost > 0 {
            lines.push(format!("  perhaps   up to {} more for answers that were lost on the way", line.perhaps));
        }
    }
    let per = receipt.per_kept.map_or_else(|| "—".to_owned(), |p| format!("{} $", p.amount().round_dp(6).normalize()));
    lines.push(format!(
        "in all: estimated {}, billed {}, {per} for each of {} kept answers",
        receipt.estimated, receipt.billed, receipt.kept
    ));
    lines
}

/// The cost preview, as text.
pub fn plan_lines(plan: &PlanView) -> Vec<String> {
    let e = &plan.estimate;
    let f = &e.forecast;
    let mut lines = vec![
        format!("plan {} · {} · {} · {}", plan.digest.short(), plan.kind, plan.teacher, plan.model),
        format!("  scope      {}", if plan.kind == "articles" { "new articles" } else { plan.scope.as_str() }),
        format!(
            "  requests   {} in {} batches ({} answered already, {} under way, {} given up)",
            e.requests, e.chunks, e.answered, e.under_way, e.given_up
        ),
        format!("  tokens     {} in, {} out ({})", f.prompt_tokens, f.output_tokens, f.basis.words()),
        format!("  expected   {}", f.expected),
        format!("  95 %       {}", f.p95),
        format!("  worst case {}", e.worst),
        format!("  at once    {} as a ceiling sends everything at once; less sends it in turns", e.at_once),
    ];
    if let Some(before) = &e.before {
        lines.push(format!("  unmeasured {} expected, {} at 95 % ({})", before.expected, before.p95, before.basis.words()));
    }
    if let Some(whole) = &e.whole {
        lines.push(format!("  all pairs  {} expected, {} at 95 %, before the pilot", whole.expected, whole.p95));
    }
    lines.push(format!("  price      {}", e.price.line()));
    lines.extend(e.remarks.iter().map(|remark| format!("  remark     {remark}")));
    let run = if plan.kind == "articles" { "the same command with --send" } else { "stratos distill run" };
    lines.push(match plan.approved {
        Some(ceiling) => format!("  approved up to {ceiling}, {} spent; run: {run}", plan.spent),
        None => format!("  approve with: stratos distill approve {} --ceiling {}", plan.digest.short(), plan.suggested.amount()),
    });
    lines
}
