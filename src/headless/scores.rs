//! Scores on standard output: one answer in full, many in a line each, and what all of them took.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;

use color_eyre::eyre::{Result, eyre};

use super::{Output, clean, log_to_file, say};
use crate::domain::{Article, ProfileId, one_line};
use crate::engine::{BrokenRow, Desk, DeskOptions, Failure, Pass, ScoreNews, Scored, Summary};
use crate::workspace::Workspace;

/// Whom to score for, and what.
pub struct ScoreOrder {
    /// None named: all that take part.
    pub readers: Vec<ProfileId>,
    pub articles: Vec<Article>,
    /// Rows of the input that are no articles.
    pub broken: Vec<BrokenRow>,
    pub options: DeskOptions,
}

/// The exit status where all was scored that could be read, and some rows could not.
const SKIPPED: u8 = 3;

fn skipped(row: &BrokenRow, output: Output) -> Result<()> {
    if output == Output::JsonLines {
        say(&serde_json::to_string(&serde_json::json!({"event": "skipped", "line": row.line, "why": row.why}))?);
    } else {
        eprintln!("skipped: line {}: {}", row.line, clean(&row.why));
    }
    Ok(())
}

/// Scores and prints each answer as it comes. Fails if a score could not be read, or rows of the input were skipped.
pub fn score(workspace: &Arc<Workspace>, order: &ScoreOrder, output: Output) -> Result<ExitCode> {
    log_to_file(workspace)?;
    let failed = |failure: Failure| eyre!("score: {}. {}", clean(&failure.reason), clean(&failure.next));
    let ledger = workspace.ledger()?;
    Desk::expects(&ledger, &order.readers).map_err(failed)?;
    let mut desk = Desk::open(workspace.clone(), ledger, order.options).map_err(failed)?;
    if desk.untuned() {
        eprintln!(
            "warning: {} answers: it was never trained on this recipe, and its scores mean little. Train it: stratos run",
            clean(desk.model())
        );
    }
    for row in &order.broken {
        skipped(row, output)?;
    }
    let single = order.readers.len() == 1 && order.articles.len() == 1;
    let told = |news: &ScoreNews| match output {
        Output::JsonLines => say(&serde_json::to_string(news).unwrap_or_default()),
        _ => show(news, single),
    };
    let done = desk.cycle(&order.readers, &order.articles, &mut |news| {
        told(&news);
        ControlFlow::Continue(())
    });
    let done = done.map_err(failed)?;
    let unread = done.summary.unread;
    told(&ScoreNews::ScoringDone(done));
    Ok(match (unread, order.broken.len()) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(SKIPPED),
        _ => ExitCode::FAILURE,
    })
}

fn show(news: &ScoreNews, single: bool) {
    match news {
        ScoreNews::Scored(scored) if single => whole(scored),
        ScoreNews::Scored(scored) => line(scored),
        ScoreNews::Forecast(f) => {
            let left = span(f.seconds_left);
            eprintln!("{} of {}: {:.2} s per article, about {left} to go", f.done, f.of, f.seconds_per_article);
        }
        ScoreNews::ScoringDone(_) if single => {}
        ScoreNews::ScoringDone(done) => {
            say(&sum(&done.summary, &done.runtime, &done.model));
            if let (Some(each), Some(seconds)) = (done.seconds_per_article, done.cycle.seconds) {
                let (articles, readers) = (done.cycle.articles, done.cycle.readers);
                say(&format!(
                    "{each:.2} s per article: a whole cycle of {articles} articles × {readers} readers takes {}",
                    span(seconds)
                ));
            }
        }
    }
}

fn line(scored: &Scored) {
    let score = scored.score.map_or_else(|| "   —".to_owned(), |s| format!("{s:4.1}"));
    let expected = scored.expected.map_or_else(|| "    —".to_owned(), |s| format!("{s:5.2}"));
    let seconds = if scored.cached { "  cached".to_owned() } else { format!("{:6.2} s", scored.seconds) };
    let pass = if scored.pass == Pass::Only { String::new() } else { format!("  {:<5}", scored.pass.name()) };
    let lost = scored.defect.as_ref().map_or_else(String::new, |why| format!("  [{}]", one_line(why, 100)));
    let (reader, title) = (clean(scored.pair.profile.as_str()), one_line(&scored.title, 100));
    say(&format!("{score} {expected} {seconds}{pass}  {reader:<28} {title}{lost}"));
}

fn sum(summary: &Summary, runtime: &str, model: &str) -> String {
    let per_second = |n: usize| n as f64 / summary.seconds.max(1e-9);
    let lost = if summary.unread == 0 { String::new() } else { format!(" ({} without a score)", summary.unread) };
    let fast = if summary.fast == 0 {
        String::new()
    } else {
        format!("{} of {} decided by the fast pass · ", summary.fast, summary.answers)
    };
    let cached =
        if summary.cached == 0 { String::new() } else { format!("{} of {} from the cache · ", summary.cached, summary.answers) };
    format!(
        "{} answers{lost} in {:.1} s: {:.2} articles/s, {:.0} prompt tokens/s, {:.0} generated tokens/s · {cached}{fast}{} · {}",
        summary.answers,
        summary.seconds,
        per_second(summary.answers),
        per_second(summary.prompt_tokens),
        per_second(summary.tokens),
        clean(model),
        clean(runtime)
    )
}

/// "40 s", "12 min", "3.5 h"
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Think block, score and reason, and under them who wrote it.
fn whole(scored: &Scored) {
    let Some(score) = scored.score else {
        eprintln!("error: no score could be read from the answer; it follows");
        return say(&clean(&scored.raw));
    };
    if !scored.think.is_empty() {
        say(&format!("<think>\n{}\n</think>", clean(&scored.think)));
    }
    say(&format!("SCORE: {score:.1} | REASON: {}", clean(scored.reason.as_deref().unwrap_or("—"))));
    let expected = scored.expected.map_or_else(String::new, |e| format!("expected {e:.2} · "));
    let by = if scored.cached { "from the cache".to_owned() } else { format!("{:.2} s", scored.seconds) };
    say(&format!("{expected}{} · {} · {by}", clean(&scored.model), clean(&scored.runtime)));
}
