//! `deploy frontier`: what the two-pass cascade costs and gives, as a table or as JSON.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use color_eyre::eyre::Result;

use crate::engine::{self, Command, Errand, FrontierPoint, RowsChoice, Setting, StoredFrontier};
use crate::evaluate::{Difference, figure};
use crate::headless::{self, Output, clean, say};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
pub struct FrontierArgs {
    /// Which rows: held-out, train, sealed, `file:PATH`
    #[arg(long, default_value = "held-out")]
    rows: RowsChoice,
    /// At most so many rows, drawn by band
    #[arg(long)]
    limit: Option<usize>,
    /// Show the newest measured one; ask nobody
    #[arg(long, conflicts_with_all = ["rows", "limit"])]
    last: bool,
    #[arg(long)]
    json: bool,
}

pub fn frontier(workspace: &Arc<Workspace>, args: &FrontierArgs) -> Result<ExitCode> {
    if !args.last {
        let errand = Errand::Frontier { rows: args.rows.clone(), limit: args.limit };
        let output = if args.json { Output::Quiet } else { Output::Bars };
        let (complete, end) = headless::conduct_and_look(workspace, Command::Errand { errand }, output)?;
        if !complete {
            headless::news(&end);
            return Ok(ExitCode::from(2));
        }
    }
    let Some(stored) = engine::last_frontier(workspace)? else {
        say("No frontier was measured yet; run 'stratos deploy frontier'.");
        return Ok(ExitCode::FAILURE);
    };
    if args.json {
        say(&serde_json::to_string(&stored)?);
    } else {
        table(&stored);
    }
    Ok(ExitCode::SUCCESS)
}

fn table(stored: &StoredFrontier) {
    let frontier = &stored.frontier;
    say(&format!(
        "{} rows of {} articles ({}), {}",
        frontier.rows,
        frontier.articles,
        clean(&frontier.row_set),
        stored.at.minutes()
    ));
    say(&format!("fast   {}", clean(&frontier.fast)));
    say(&format!("think  {}", clean(&frontier.think)));
    say(&format!(
        "  {:<12}{:>8}{:>10}{:>8}  {:<16}{:>7}  {:<16}{:<18}{:<18}",
        "thresholds", "sent on", "s/article", "MAE", "95 %", "ρ", "95 %", "MAE − fast", "MAE − think"
    ));
    for point in &frontier.points {
        say(line(point).trim_end());
    }
    say("* no other setting is both faster and nearer to the truth; > configured");
}

fn line(point: &FrontierPoint) -> String {
    let setting = match point.setting {
        Setting::FastOnly => "fast only".to_owned(),
        Setting::ThinkOnly => "think only".to_owned(),
        Setting::Cascade(doubt) => format!("{:.1}–{:.1}", doubt.low, doubt.high),
    };
    let mark = match (point.configured, point.efficient) {
        (true, _) => ">",
        (false, true) => "*",
        (false, false) => " ",
    };
    let star = if point.configured && point.efficient { "*" } else { "" };
    let within = |interval: Option<(f64, f64)>| interval.map_or_else(String::new, |(a, b)| format!("[{a:.2}, {b:.2}]"));
    let gap = |all: &[Difference]| {
        let mae = all.iter().find(|d| d.metric == "mae");
        mae.map_or_else(String::new, |d| {
            let value = d.difference.map_or_else(|| "—".to_owned(), |v| format!("{v:+.2}"));
            format!("{value} {}", within(d.interval))
        })
    };
    format!(
        "{mark} {:<12}{:>7.0}%{:>10.2}{:>8}  {:<16}{:>7}  {:<16}{:<22}{:<22}",
        setting + star,
        100.0 * point.sent_on,
        point.seconds_per_article,
        figure(point.mae),
        within(point.mae_interval),
        figure(point.rho),
        within(point.rho_interval),
        gap(&point.against_fast),
        gap(&point.against_think)
    )
}
