//! Everything around a tab's body.
//!
//! ```text
//! StratOS · recipe · teacher · student                    PRACTICE  0.00 $
//! job line, or what waits for approval
//! 1✓Profiles 2✓Articles 3▶Distill …
//! pages and filter (only where there are any)
//! body
//! messages
//! footer
//! ```
//! Owns the division of the screen and these lines; the body is the tab's.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;
use unicode_width::UnicodeWidthStr as _;

use super::actions::{self, Action, by_id};
use super::app::App;
use super::ascii;
use super::hits::{self, Hit};
use super::overlays::{Overlay, row};
use super::tabs::TABS;
use super::theme::Role;
use super::toasts::Toast;
use crate::domain::{PhaseState, one_line};
use crate::engine::{JobView, Level};

/// Messages drawn at once; they cover the end of the body, not the footer.
const TOASTS: usize = 3;
/// Widest tab bar with spaces around the glyphs: below this they are left out.
const WIDE: u16 = 96;
/// Narrowest screen on which all eight titles fit.
const TITLES: u16 = 78;
/// Shortest body a tab is asked to draw in.
const MIN_BODY: u16 = 3;
/// A worker gives a sign several times a second; after this long something is slow.
const SILENT_SECONDS: f64 = 30.0;

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    hits::clear();
    if area.is_empty() {
        return;
    }
    frame.buffer_mut().set_style(area, app.theme().style(Role::Text));
    let mut used = 0;
    let mut next = || {
        used += 1;
        row(area, used - 1)
    };
    header(frame, next(), app);
    status(frame, next(), app);
    tab_bar(frame, next(), app);
    if app.spec().pages.len() > 1 || !app.tab().filter.is_empty() {
        page_bar(frame, next(), app);
    }
    let body = Rect { y: area.y + used.min(area.height), height: area.height.saturating_sub(used + 1), ..area };
    if body.height >= MIN_BODY && body.width > 0 {
        (app.spec().draw)(frame, body, &app.look());
    }
    let overlaid = !app.overlays().is_empty();
    if !overlaid {
        toasts(frame, (1..=body.height).map(|up| row(body, body.height - up)), app.toasts(), app);
    }
    footer(frame, row(area, area.height - 1), app);
    for overlay in app.overlays() {
        let room = if matches!(overlay, Overlay::Filter(_)) { area } else { Rect { height: area.height - 1, ..area } };
        if !room.is_empty() {
            overlay.draw(frame, room, app);
        }
    }
    if overlaid {
        // What went wrong is seen whatever is open; at the top, where no overlay says what its keys do.
        let errors = app.toasts().iter().filter(|toast| toast.level == Level::Error);
        toasts(frame, (0..area.height).map(|n| row(area, n)), errors, app);
    }
    if app.theme().ascii() {
        ascii::rewrite(frame.buffer_mut());
    }
}

fn width(line: &Line<'_>) -> u16 {
    u16::try_from(line.width()).unwrap_or(u16::MAX)
}

/// `left`, cut where `right` begins.
fn both(frame: &mut Frame<'_>, area: Rect, left: Line<'_>, right: Line<'_>) {
    let taken = width(&right).min(area.width);
    let room = area.width - taken;
    frame.render_widget(left, Rect { width: room.saturating_sub(1), ..area });
    frame.render_widget(right, Rect { x: area.x + room, width: taken, ..area });
}

fn header(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let theme = app.theme();
    let workspace = &app.snapshot().workspace;
    let mut right = Vec::new();
    if workspace.practice {
        right.push(Span::styled(" PRACTICE ", theme.style(Role::Selected)));
    }
    let spent = match workspace.ceiling {
        Some(ceiling) => format!(" spent {} of {ceiling}", workspace.spent),
        None => format!(" spent {}", workspace.spent),
    };
    right.push(Span::styled(spent, theme.style(Role::Strong)));
    let right = Line::from(right);
    let mut left = vec![Span::styled("StratOS", theme.style(Role::Accent))];
    let mut room = usize::from(area.width.saturating_sub(width(&right))).saturating_sub("StratOS ".len());
    let name = workspace.root.rsplit('/').find(|part| !matches!(*part, "" | ".")).unwrap_or_default().to_owned();
    for part in [&workspace.recipe, &workspace.teacher, &workspace.student, &name] {
        if part.is_empty() || room < 8 {
            continue;
        }
        let text = format!(" · {}", one_line(part, room - 3));
        room = room.saturating_sub(text.width());
        left.push(Span::styled(text, theme.style(Role::Dim)));
    }
    both(frame, area, Line::from(left), right);
}

fn status(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let theme = app.theme();
    let waits = app.snapshot().approval.as_ref().map(|_| Line::styled("? needs approval: press a", theme.style(Role::Warn)));
    let left = match &app.snapshot().job {
        _ if app.engine_gone() => {
            Line::styled(format!("✗ no engine: press {} to find or start one", app.engine_key()), theme.style(Role::Bad))
        }
        Some(job) => job_line(job, app),
        None => Line::styled("no job", theme.style(Role::Dim)),
    };
    both(frame, area, left, waits.unwrap_or_default());
}

fn job_line(job: &JobView, app: &App) -> Line<'static> {
    let theme = app.theme();
    let live = job.state.is_live();
    let mut spans = vec![
        Span::styled(job.phase.title(), theme.style(Role::Strong)),
        Span::styled(format!(" {}", job.state.label()), theme.style(if live { Role::Accent } else { Role::Dim })),
    ];
    if live {
        spans.push(Span::raw(match (job.done, job.total) {
            (0, 0) => String::new(),
            (done, 0) => format!("  {done} {}", job.unit),
            // 100 % is for what has ended.
            (done, total) => format!("  {done}/{total} {} {}%", job.unit, (done.saturating_mul(100) / total).min(99)),
        }));
        let silent = app.now().seconds_since(job.heartbeat);
        // Before the first tick there is no now to compare with.
        if silent >= 1.0 {
            let role = if silent > SILENT_SECONDS { Role::Warn } else { Role::Dim };
            spans.push(Span::styled(format!("  last sign {silent:.0} s ago"), theme.style(role)));
        }
        spans.push(Span::styled(format!("  {}", one_line(&job.message, 120)), theme.style(Role::Dim)));
    }
    Line::from(spans)
}

fn tab_bar(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let theme = app.theme();
    let (mut spans, mut column) = (Vec::new(), 0_u16);
    for (nth, tab) in TABS.iter().enumerate() {
        let before = spans.len();
        let state = app.snapshot().phases.iter().find(|view| view.phase == tab.phase).map(|view| &view.state);
        let glyph = state.map_or("·", PhaseState::glyph);
        let here = nth == app.current();
        let gap = if area.width >= WIDE { " " } else { "" };
        let title = if here || area.width >= TITLES { tab.phase.title() } else { "" };
        if here {
            spans.push(Span::styled(format!("{}{gap}{glyph}{gap}{title}", nth + 1), theme.style(Role::Selected)));
        } else {
            spans.push(Span::styled((nth + 1).to_string(), theme.style(Role::Key)));
            spans.push(Span::styled(format!("{gap}{glyph}{gap}"), theme.style(glyph_role(state))));
            spans.push(Span::styled(title, theme.style(Role::Text)));
        }
        let taken = spans[before..].iter().map(Span::width).sum::<usize>() as u16;
        hits::note(within(area, column, taken), Hit::Tab(nth));
        let gap = if area.width >= WIDE { "  " } else { " " };
        column = column.saturating_add(taken + gap.len() as u16);
        spans.push(Span::raw(gap));
    }
    frame.render_widget(Line::from(spans), area);
}

/// Some columns of a line, cut where the line ends.
fn within(area: Rect, from: u16, columns: u16) -> Rect {
    let from = from.min(area.width);
    Rect { x: area.x + from, width: columns.min(area.width - from), ..area }
}

fn glyph_role(state: Option<&PhaseState>) -> Role {
    match state {
        Some(PhaseState::Done) => Role::Good,
        Some(PhaseState::Running) => Role::Accent,
        Some(PhaseState::NeedsApproval(_) | PhaseState::Stale(_)) => Role::Warn,
        Some(PhaseState::Ready) => Role::Text,
        Some(PhaseState::Locked(_)) | None => Role::Dim,
    }
}

fn page_bar(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let theme = app.theme();
    let mut left = Vec::new();
    if app.spec().pages.len() > 1 {
        left.push(Span::styled("[ ] ", theme.style(Role::Key)));
        let mut column = 4_u16;
        let first = first_page(app.spec().pages, app.tab().page, area.width.into());
        if first > 0 {
            left.push(Span::styled("‹ ", theme.style(Role::Dim)));
            column += 2;
        }
        for (nth, name) in app.spec().pages.iter().enumerate().skip(first) {
            let here = nth == app.tab().page;
            let text = if here { format!("▸{name} ") } else { format!(" {name} ") };
            let taken = text.width() as u16;
            hits::note(within(area, column, taken), Hit::Page(nth));
            column = column.saturating_add(taken);
            left.push(Span::styled(text, theme.style(if here { Role::Strong } else { Role::Dim })));
        }
    }
    let filter = &app.tab().filter;
    let right = if filter.is_empty() {
        Line::default()
    } else {
        let text = format!("filter: {} · {} rows", one_line(filter, 24), app.rows());
        Line::styled(text, theme.style(Role::Warn))
    };
    both(frame, area, Line::from(left), right);
}

/// The first page whose name is shown, so that the name of the page that is open fits.
fn first_page(pages: &[&str], open: usize, columns: usize) -> usize {
    let open = open.min(pages.len().saturating_sub(1));
    let taken = |first: usize| 6 + pages[first..=open].iter().map(|name| name.width() + 2).sum::<usize>();
    (0..open).find(|first| taken(*first) <= columns).unwrap_or(open)
}

/// The newest ones, one on each of these lines.
fn toasts<'a>(
    frame: &mut Frame<'_>,
    lines: impl Iterator<Item = Rect>,
    toasts: impl IntoIterator<Item = &'a Toast, IntoIter: DoubleEndedIterator>,
    app: &App,
) {
    let theme = app.theme();
    for (toast, line) in toasts.into_iter().rev().take(TOASTS).zip(lines) {
        let (glyph, role) = match toast.level {
            Level::Error => ("✗", Role::Bad),
            Level::Warn => ("!", Role::Warn),
            Level::Info => ("i", Role::Accent),
        };
        frame.render_widget(Clear, line);
        let hint = if toast.level == Level::Error { " esc" } else { "" };
        let room = usize::from(line.width).saturating_sub(3 + hint.len());
        let text = format!("{glyph} {}", one_line(&toast.text, room));
        both(frame, line, Line::styled(text, theme.style(role)), Line::styled(hint, theme.style(Role::Key)));
    }
}

fn footer(frame: &mut Frame<'_>, area: Rect, app: &App) {
    // These two are never crowded out: everything else can be found from them.
    let always: Vec<&'static Action> = ["help", "palette"].into_iter().filter_map(by_id).collect();
    let (right, right_acts) = hints(always.iter().copied(), app, area.width);
    let room = area.width.saturating_sub(width(&right) + 1);
    let enabled = actions::all().filter(|a| a.footer && a.ready(app).is_ok() && !always.iter().any(|b| b.id == a.id));
    let (left, left_acts) = hints(enabled, app, room);
    let from = area.width.saturating_sub(width(&right));
    for (offset, acts) in [(0, left_acts), (from, right_acts)] {
        for (column, taken, id) in acts {
            hits::note(within(area, offset + column, taken), Hit::Act(id));
        }
    }
    both(frame, area, left, right);
}

/// Where a hint stands: its column, its width, the action's id.
type Places = Vec<(u16, u16, &'static str)>;

/// As many hints as fit, and where each stands.
fn hints(actions: impl Iterator<Item = &'static Action>, app: &App, room: u16) -> (Line<'static>, Places) {
    let theme = app.theme();
    let (mut line, mut places) = (Line::default(), Vec::new());
    for action in actions {
        let Some(key) = app.keymap().of(action).first() else { continue };
        let (key, label) = (key.to_string(), format!(" {}  ", action.label));
        if line.width() + key.width() + label.width() > usize::from(room) {
            break;
        }
        places.push((line.width() as u16, (key.width() + label.trim_end().width()) as u16, action.id));
        line.push_span(Span::styled(key, theme.style(Role::Key)));
        line.push_span(Span::styled(label, theme.style(Role::Dim)));
    }
    (line, places)
}
