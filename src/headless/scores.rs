//! Scores on standard output: one answer in full, many in a line each, and what all of them took.

use std::process::ExitCode;
use std::sync::Arc;

use color_eyre::eyre::{Result, bail};
use tokio::sync::broadcast::error::RecvError;

use super::{Door, Output, asked, clean, gone, say, with_engine};
use crate::domain::one_line;
use crate::engine::{Command, Event, Level};
use crate::workspace::Workspace;

/// Scores and prints each answer as it comes. Fails if a score could not be read.
pub fn score(workspace: &Arc<Workspace>, command: Command, output: Output) -> Result<ExitCode> {
    let single = matches!(&command, Command::ScoreMany { profiles, articles } if profiles.len() == 1 && articles.len() == 1);
    with_engine(workspace, Door::Open, async |handle| {
        let mut events = handle.events();
        asked(&handle, command).await?;
        loop {
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = handle.ended() => return Err(gone(&handle)),
            };
            match event {
                Ok(event @ (Event::Scored { .. } | Event::ScoringDone { .. })) => {
                    if output == Output::JsonLines {
                        say(&serde_json::to_string(&event)?);
                    } else {
                        show(&event, single);
                    }
                    if let Event::ScoringDone { unread, .. } = event {
                        return Ok(if unread == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
                    }
                }
                Ok(Event::Log { level: Level::Error, text }) => bail!("{}", clean(&text)),
                Err(RecvError::Lagged(lost)) | Ok(Event::Dropped { facts: lost @ 1.., .. }) => {
                    bail!("{lost} answers came faster than they could be printed; write them to a file")
                }
                Ok(_) => {}
                Err(RecvError::Closed) => return Err(gone(&handle)),
            }
        }
    })
}

fn show(event: &Event, single: bool) {
    match event {
        Event::Scored { .. } if single => whole(event),
        Event::Scored { pair, title, score, expected, seconds, .. } => {
            let score = score.map_or_else(|| "   —".to_owned(), |s| format!("{s:4.1}"));
            let expected = expected.map_or_else(|| "    —".to_owned(), |s| format!("{s:5.2}"));
            say(&format!("{score} {expected} {seconds:6.2} s  {:<28} {}", clean(pair.profile.as_str()), one_line(title, 100)));
        }
        Event::ScoringDone { answers, unread, seconds, prompt_tokens, tokens, runtime } if !single => {
            let per_second = |n: usize| n as f64 / seconds.max(1e-9);
            let lost = if *unread == 0 { String::new() } else { format!(" ({unread} without a score)") };
            say(&format!(
                "{answers} answers{lost} in {seconds:.1} s: {:.2} articles/s, {:.0} prompt tokens/s, {:.0} generated tokens/s · {}",
                per_second(*answers),
                per_second(*prompt_tokens),
                per_second(*tokens),
                clean(runtime)
            ));
        }
        _ => {}
    }
}

/// Think block, score and reason, and under them who wrote it.
fn whole(event: &Event) {
    let Event::Scored { think, score, expected, reason, raw, seconds, runtime, .. } = event else { return };
    let Some(score) = score else {
        eprintln!("error: no score could be read from the answer; it follows");
        return say(&clean(raw));
    };
    if !think.is_empty() {
        say(&format!("<think>\n{}\n</think>", clean(think)));
    }
    say(&format!("SCORE: {score:.1} | REASON: {}", clean(reason.as_deref().unwrap_or("—"))));
    let expected = expected.map_or_else(String::new, |e| format!("expected {e:.2} · "));
    say(&format!("{expected}{} · {seconds:.2} s", clean(runtime)));
}
