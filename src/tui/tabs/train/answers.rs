//! What the student in training writes to a few held-out prompts, and how it reads beside its teacher's score.

use ratatui::text::Line;

use super::scene::{Scene, duration};
use crate::domain::{one_line, safe_text};
use crate::engine::SampleView;
use crate::tui::theme::Role;
use crate::tui::widgets::text::wrapped;

/// "wrote 7.5, teacher 8.0 · in the full format"
fn verdict(answer: &SampleView) -> (String, Role) {
    let wrote = answer.score.map_or_else(|| "no score".to_owned(), |s| format!("{s:.1}"));
    let cut = if answer.cut { format!(", cut at {} tokens", answer.tokens) } else { String::new() };
    let (form, role) = match (&answer.defect, answer.score) {
        (None, _) => ("✓ in the full format".to_owned(), Role::Good),
        (Some(why), Some(_)) => (format!("! {}", one_line(why, 100)), Role::Warn),
        (Some(why), None) => (format!("✗ {}", one_line(why, 100)), Role::Bad),
    };
    (format!("wrote {wrote}, teacher {:.1} · {form}{cut}", answer.teacher), role)
}

fn nothing(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let words = match &scene.train.no_samples {
        Some(why) => format!("No live answers: {}.", one_line(why, 200).trim_end_matches('.')),
        None => "What the student answers to a few held-out prompts appears here at its evaluations.".into(),
    };
    wrapped(scene.theme, Role::Dim, &words, columns)
}

/// The last round in a line an answer.
pub fn condensed(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let Some(round) = scene.train.samples.last() else { return nothing(scene, columns) };
    let mut lines = vec![Line::styled(format!("step {}", round.step), scene.theme.style(Role::Dim))];
    for answer in &round.answers {
        let (text, role) = verdict(answer);
        lines.extend(wrapped(scene.theme, role, &text, columns));
    }
    lines
}

/// Every round that is kept, newest first, with the texts.
pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if scene.train.samples.is_empty() || scene.train.no_samples.is_some() {
        lines.extend(nothing(scene, columns));
    }
    for round in scene.train.samples.iter().rev() {
        let head = format!("step {} · {} answers in {}", round.step, round.answers.len(), duration(round.seconds.ceil()));
        lines.push(Line::styled(head, scene.theme.style(Role::Strong)));
        for answer in &round.answers {
            let (text, role) = verdict(answer);
            lines.push(Line::styled(one_line(&answer.id, columns), scene.theme.style(Role::Accent)));
            lines.extend(wrapped(scene.theme, role, &text, columns));
            lines.extend(wrapped(scene.theme, Role::Text, &safe_text(&answer.text), columns));
            lines.push(Line::default());
        }
    }
    lines
}
