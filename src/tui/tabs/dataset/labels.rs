//! Page labels: imported files of labels with their counts, and the sealed hold-out with who opened it.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::scrolled;
use crate::domain::{one_line, safe_text};
use crate::engine::{LabelSourceView, SealView};
use crate::tui::tabs::Look;
use crate::tui::tabs::common::{age, grouped};
use crate::tui::theme::Role;
use crate::tui::widgets::{bar, text};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let view = &look.snapshot.dataset;
    scrolled(frame, area, look, "Labels and seal", |columns| {
        let mut lines = match &view.seal {
            Some(seal) => sealed(look, seal, columns),
            None => {
                let words = "Nothing is sealed: seal some article clusters and readers before anything is trained, and they \
                             tell what the student can do with what nobody tuned it on.";
                text::wrapped(look.theme, Role::Warn, words, columns)
            }
        };
        lines.push(Line::default());
        if view.labels.is_empty() {
            let words = "No labels were imported; scores of other teachers or of people can be, from JSON lines.";
            lines.extend(text::wrapped(look.theme, Role::Dim, words, columns));
        }
        for source in &view.labels {
            lines.extend(imported(look, source, columns));
            lines.push(Line::default());
        }
        lines
    });
}

fn sealed(look: &Look<'_>, seal: &SealView, columns: usize) -> Vec<Line<'static>> {
    let theme = look.theme;
    let (head, role) = match &seal.tampered {
        None => (format!("✓ Sealed hold-out {}", seal.digest.short()), Role::Good),
        Some(why) => (format!("✗ The seal was changed: {}", one_line(why, 400)), Role::Bad),
    };
    let mut lines = text::wrapped(theme, role, &head, columns);
    let readers = if seal.readers.is_empty() { "none whole".to_owned() } else { one_line(&seal.readers.join(", "), 600) };
    let holds = format!("{} clusters ({} articles), {} imported labels", seal.clusters, seal.articles, grouped(seal.rows as u64));
    let made = format!("{} ago, share {}, seed {}", age(look.now, seal.at), seal.share, seal.seed);
    let mut fields = vec![("holds out", holds), ("readers", readers), ("made", made)];
    if let Some(previous) = &seal.previous {
        fields.push(("contains", format!("seal {}", previous.short())));
    }
    if !seal.why.is_empty() {
        fields.push(("made late", format!("after training had begun, because: {}", one_line(&seal.why, 400))));
    }
    fields.push(("file", format!(".stratos/seals/{}", one_line(&seal.file, 200))));
    for (name, value) in fields {
        lines.extend(text::field_wrapped(theme, name, &value, columns));
    }
    if seal.openings.is_empty() {
        lines.extend(text::field_wrapped(theme, "openings", "none: nobody has looked at it", columns));
    }
    for (number, who, why, rows) in &seal.openings {
        let words = format!("{number} by {}: {} ({rows} rows)", one_line(who, 80), one_line(why, 300));
        lines.extend(text::field_wrapped(theme, "opening", &words, columns));
    }
    lines
}

fn imported(look: &Look<'_>, source: &LabelSourceView, columns: usize) -> Vec<Line<'static>> {
    let theme = look.theme;
    let (sign, role) = if source.suspicious { ("!", Role::Warn) } else { ("●", Role::Strong) };
    let mut lines = text::wrapped(theme, role, &format!("{sign} {}", one_line(&source.name, 200)), columns);
    if source.suspicious {
        lines.extend(text::wrapped(theme, Role::Warn, "suspicious: a script may have filled it in; look before you trust it", columns));
    }
    let by = format!("{}, {}, trust {}", one_line(&source.annotators.join(", "), 200), source.kind.id(), source.trust);
    lines.extend(text::field_wrapped(theme, "judged by", &by, columns));
    let length = columns.saturating_sub(13 + 12 + 2 + 8 + 2).min(40);
    for (name, rows) in [("kept", source.kept), ("orphans", source.orphans), ("quarantined", source.quarantined)] {
        let value = format!(
            "{}  {}",
            text::columns(&[(&grouped(rows as u64), -8)]),
            bar::bar(rows as f64, source.rows as f64, length)
        );
        lines.push(text::field(theme, name, text::cut(&value, columns.saturating_sub(13)).trim_end(), Role::Text));
    }
    for (state, why, rows) in source.reasons.iter().filter(|(_, why, _)| !why.is_empty()) {
        let words = format!("{} {}: {}", grouped(*rows as u64), state.id(), one_line(why, 200));
        lines.extend(text::field_wrapped(theme, "", &words, columns));
    }
    for finding in &source.findings {
        let (sign, role) = if finding.failed() { ("!", Role::Warn) } else { ("✓", Role::Dim) };
        let words = format!("  {sign} {}: {}", finding.guard, safe_text(&finding.saw));
        lines.extend(text::wrapped(theme, role, &words, columns));
    }
    lines
}
