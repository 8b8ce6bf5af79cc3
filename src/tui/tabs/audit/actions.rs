//! What can be done on the Audit tab alone: one key for each verdict, and what belongs to reading.
//!
//! Owns the way from a key to the next block. A verdict is about the block on the screen, is bound to its digest, and
//! brings the next unread block by itself.

use super::{Draft, Opened, Pane, RESULTS, block, current, index, next_unread, noted, place, reading};
use crate::domain::{Author, MarkedSpan, PairKey, Phase, Remedy, Round, Verdict};
use crate::engine::{Command, Errand, Judgement, Scope, Which};
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, need};
use crate::tui::app::App;
use crate::tui::keys::Chord;
use crate::tui::msg::Effect;
use crate::tui::overlays::confirm::Confirm;
use crate::tui::overlays::fix::Fix;
use crate::tui::overlays::marks::Marks;
use crate::tui::overlays::note::Note;
use crate::tui::overlays::{Overlay, Step};
use crate::tui::widgets::scroll::Scroll;
use crossterm::event::KeyCode;

pub const ACTIONS: &[Action] = &[
    free(
        "audit-faithful",
        &[Chord::char('y')],
        "faithful",
        "Faithful: read right, and the score follows. Then the next.",
        |app| judge(app, Verdict::Faithful),
    )
    .shown()
    .when(can_judge)
    .on(Phase::Audit),
    free("audit-profile", &[Chord::char('P')], "profile", "Wrong profile reading: the reader is somebody else.", |app| {
        judge(app, Verdict::WrongProfile)
    })
    .shown()
    .when(can_judge)
    .on(Phase::Audit),
    free("audit-article", &[Chord::char('A')], "article", "Wrong article reading: the article does not say so.", |app| {
        judge(app, Verdict::WrongArticle)
    })
    .shown()
    .when(can_judge)
    .on(Phase::Audit),
    free("audit-overlap", &[Chord::char('O')], "overlap", "Wrong overlap: what ties reader and article is not so.", |app| {
        judge(app, Verdict::WrongOverlap)
    })
    .shown()
    .when(can_judge)
    .on(Phase::Audit),
    free("audit-calibration", &[Chord::char('C')], "calibration", "Wrong calibration: right reasons, wrong score.", |app| {
        judge(app, Verdict::WrongCalibration)
    })
    .shown()
    .when(can_judge)
    .on(Phase::Audit),
    free("audit-unfaithful", &[Chord::char('x')], "unfaithful", "Unfaithful: the score does not follow from the block.", |app| {
        judge(app, Verdict::Unfaithful)
    })
    .shown()
    .when(can_judge)
    .on(Phase::Audit),
    free("audit-undo", &[Chord::char('u')], "undo", "Take the newest verdict or remedy back, and go back to it.", undo)
        .shown()
        .when(can_undo)
        .on(Phase::Audit),
    free("audit-note", &[Chord::char('n')], "note", "Write a note to the verdict.", note)
        .shown()
        .when(can_judge)
        .on(Phase::Audit),
    free("audit-mark", &[Chord::char('m')], "mark", "Mark parts of the block, each with what is wrong there.", mark)
        .shown()
        .when(can_mark)
        .on(Phase::Audit),
    free("audit-remedy", &[Chord::char('d')], "remedy", "Say what becomes of the rejected trace.", remedy)
        .shown()
        .when(can_remedy)
        .on(Phase::Audit),
    free("audit-author", &[Chord::char('t')], "teacher/student", "Read the other author's block, and judge that.", other_author)
        .shown()
        .on(Phase::Audit),
    free("audit-next", &[Chord::char('N')], "next unread", "Go to the next block without a verdict.", next)
        .when(can_move)
        .on(Phase::Audit),
    free("audit-row-down", &[Chord::char('J')], "next block", "Go to the next block of the queue, judged or not.", row_down)
        .when(can_move)
        .on(Phase::Audit),
    free("audit-row-up", &[Chord::char('K')], "previous block", "Go to the previous block of the queue.", row_up)
        .when(can_move)
        .on(Phase::Audit),
    free(
        "audit-pane-next",
        &[Chord::char('l'), Chord::key(KeyCode::Right)],
        "next pane",
        "Move to the next pane: block, other author, article, reader.",
        pane_next,
    )
    .when(can_move)
    .on(Phase::Audit),
    free(
        "audit-pane-previous",
        &[Chord::char('h'), Chord::key(KeyCode::Left)],
        "previous pane",
        "Move to the previous pane.",
        pane_previous,
    )
    .when(can_move)
    .on(Phase::Audit),
    free("audit-order", &[Chord::char('S')], "order", "Next order: disagreement, uncertainty, random.", next_order)
        .on(Phase::Audit),
    free("audit-fix", &[Chord::char('=')], "fix score", "Give the rejected trace's pair a score of your own.", fix)
        .when(can_remedy)
        .on(Phase::Audit),
    free("audit-plan", &[Chord::char('B')], "plan returns", "Plan what was sent back to the teacher; approve it then.", plan)
        .when(can_plan)
        .on(Phase::Audit),
    free("audit-export", &[Chord::char('E')], "export", "Write every verdict to a file, CSV or JSON lines.", export)
        .when(can_export)
        .on(Phase::Audit),
];

fn on_queue(app: &App) -> Ready {
    need(app.tab().page != RESULTS, "blocks are read on the page 'queue'")
}

fn can_judge(app: &App) -> Ready {
    on_queue(app)?;
    need(block(&app.look()).is_some(), "no think block of this author is on the screen")
}

fn can_mark(app: &App) -> Ready {
    can_judge(app)?;
    need(block(&app.look()).is_some_and(|b| !b.think.is_empty()), "there is no text to mark")
}

fn can_move(app: &App) -> Ready {
    on_queue(app)?;
    need(index(&app.look()).is_some_and(|(index, _)| index.total > 0), "there is nothing to read")
}

/// Gives the verdict on what is on the screen and goes to the next unread block.
fn judge(app: &mut App, verdict: Verdict) -> Effects {
    let look = app.look();
    let (Some(found), Some(block), Some(draft)) = (reading(&look), block(&look), noted(&look)) else { return Vec::new() };
    let pair = found.pair.clone();
    let judgement = judgement(app, &pair, block.trace.clone(), verdict, block.repeat, &draft);
    let next = next_unread(&look, Some(&pair));
    let author = look.own.audit.author;
    let own = &mut app.own_mut().audit;
    own.given.push((pair, author));
    own.last = Some(draft);
    own.draft = Draft::default();
    if let Some((pair, at)) = next {
        open(app, pair, author, at);
    }
    vec![Effect::Send(Command::Judge { judgement })]
}

fn judgement(
    app: &App,
    pair: &PairKey,
    trace: crate::domain::Digest,
    verdict: Verdict,
    repeat: bool,
    draft: &Draft,
) -> Judgement {
    let own = &app.own().audit;
    let opened = own.opened.as_ref().filter(|o| o.pair == *pair && o.author == own.author && o.at == app.tab().selected);
    let filter = app.tab().filter.trim();
    // What a filter left is no draw from all blocks; those without a verdict are.
    let drawn = if filter.is_empty() || filter == "verdict:none" {
        own.order.id().to_owned()
    } else {
        format!("{} of a filter", own.order.id())
    };
    Judgement {
        trace: Some(trace),
        round: if repeat { Round::Blind } else { Round::First },
        note: draft.note.clone(),
        spans: draft.marks.clone(),
        seconds: opened.map(|o| app.now().seconds_since(o.since)),
        drawn,
        ..Judgement::new(pair.clone(), own.author, verdict)
    }
}

/// Puts a block on the screen.
fn open(app: &mut App, pair: PairKey, author: Author, at: usize) {
    let since = app.now();
    let own = &mut app.own_mut().audit;
    (own.author, own.pane, own.scrolls) = (author, Pane::Block, Default::default());
    own.opened = Some(Opened { pair, author, since, at });
    let tab = app.tab_mut();
    (tab.selected, tab.scroll) = (at, Scroll::default());
}

fn can_undo(app: &App) -> Ready {
    need(undoable(app).is_some(), "there is no verdict to take back")
}

/// What undoing takes back: what was just given, as long as the queue does not know of it yet; else what the queue says.
fn undoable(app: &App) -> Option<(PairKey, Author)> {
    let look = app.look();
    let given = look.own.audit.given.last();
    let found = index(&look);
    let unseen = |(pair, author): &(PairKey, Author)| {
        found.as_ref().is_none_or(|(index, _)| {
            index.rows.iter().any(|row| row.head.pair == *pair && row.verdict(*author).is_none() && !row.repeat)
        })
    };
    if let Some(given) = given.filter(|g| unseen(g)) {
        return Some(given.clone());
    }
    found.and_then(|(index, _)| index.undo.clone()).or_else(|| given.cloned())
}

fn undo(app: &mut App) -> Effects {
    let Some((pair, author)) = undoable(app) else { return Vec::new() };
    let own = &mut app.own_mut().audit;
    let mine = own.given.last() == Some(&(pair.clone(), author));
    if mine {
        own.given.pop();
        // What was written with it is there again, for the verdict that is given instead.
        own.draft = own.last.take().unwrap_or_default();
    }
    if app.tab().page != RESULTS {
        own_place(app, &pair, author);
    }
    vec![Effect::Send(Command::UndoVerdict { pair: Some(pair), author: Some(author) })]
}

fn own_place(app: &mut App, pair: &PairKey, author: Author) {
    let found = index(&app.look()).and_then(|(index, _)| index.rows.iter().position(|row| row.head.pair == *pair));
    let at = found.unwrap_or(app.tab().selected);
    open(app, pair.clone(), author, at);
}

fn note(app: &mut App) -> Effects {
    let text = noted(&app.look()).map(|d| d.note).unwrap_or_default();
    app.open(Overlay::Note(Note::new(&text)))
}

fn mark(app: &mut App) -> Effects {
    let look = app.look();
    let (Some(block), Some(draft)) = (block(&look), noted(&look)) else { return Vec::new() };
    let marks = Marks::new(block.think.clone(), block.anatomy.parts.clone(), draft.marks);
    app.open(Overlay::Marks(marks))
}

/// Keeps a note for the verdict to come; of a judged block it is kept with its verdict at once.
pub fn take_note(app: &mut App, note: String) -> Effects {
    let Some(draft) = noted(&app.look()) else { return Vec::new() };
    take(app, Draft { note, ..draft })
}

/// The same for marks.
pub fn take_marks(app: &mut App, marks: Vec<MarkedSpan>) -> Effects {
    let Some(draft) = noted(&app.look()) else { return Vec::new() };
    take(app, Draft { marks, ..draft })
}

fn take(app: &mut App, draft: Draft) -> Effects {
    let look = app.look();
    let Some(block) = block(&look) else { return Vec::new() };
    if let (Some(standing), Some(found)) = (&block.standing, reading(&look)) {
        let pair = found.pair.clone();
        let mut judgement = judgement(app, &pair, block.trace.clone(), standing.verdict, false, &draft);
        // The reading was timed when it was read.
        judgement.seconds = standing.seconds;
        app.own_mut().audit.draft = draft;
        return vec![Effect::Send(Command::Judge { judgement })];
    }
    app.own_mut().audit.draft = draft;
    Vec::new()
}

fn other_author(app: &mut App) -> Effects {
    let pair = current(&app.look());
    let author = app.own().audit.author.other();
    let at = app.tab().selected;
    match pair {
        Some(pair) => open(app, pair, author, at),
        None => app.own_mut().audit.author = author,
    }
    Vec::new()
}

fn next(app: &mut App) -> Effects {
    let look = app.look();
    let author = look.own.audit.author;
    let here = current(&look);
    if let Some((pair, at)) = next_unread(&look, here.as_ref()) {
        open(app, pair, author, at);
    }
    Vec::new()
}

fn row_down(app: &mut App) -> Effects {
    step(app, 1)
}

fn row_up(app: &mut App) -> Effects {
    step(app, -1)
}

fn step(app: &mut App, by: i32) -> Effects {
    let look = app.look();
    let author = look.own.audit.author;
    let here = place(&look).unwrap_or(look.tab.selected);
    let at = if by < 0 { here.saturating_sub(1) } else { here + 1 };
    let pair = index(&look).and_then(|(index, _)| index.rows.get(at)).map(|row| row.head.pair.clone());
    if let Some(pair) = pair {
        open(app, pair, author, at);
    }
    Vec::new()
}

fn pane_next(app: &mut App) -> Effects {
    turn(app, 1)
}

fn pane_previous(app: &mut App) -> Effects {
    turn(app, Pane::ALL.len() - 1)
}

/// Moves the focus.
fn turn(app: &mut App, by: usize) -> Effects {
    if app.tab().detail {
        let pane = app.own_mut().audit.pane.turned(by);
        focus(app, pane as usize);
    } else {
        app.tab_mut().detail = true;
    }
    Vec::new()
}

/// Gives one pane the focus; each keeps where it was scrolled to.
pub fn focus(app: &mut App, pane: usize) {
    let Some(pane) = Pane::ALL.get(pane) else { return };
    let scroll = std::mem::take(&mut app.tab_mut().scroll);
    let own = &mut app.own_mut().audit;
    own.scrolls[own.pane as usize] = scroll;
    own.pane = *pane;
    let scroll = own.scrolls[own.pane as usize].clone();
    let tab = app.tab_mut();
    (tab.scroll, tab.detail) = (scroll, true);
}

/// Scrolls one pane, and leaves the focus where it is.
pub fn scroll(app: &mut App, pane: usize, by: i32) {
    let own = &mut app.own_mut().audit;
    if own.pane as usize == pane {
        app.tab_mut().scroll.by(by);
    } else if let Some(at) = own.scrolls.get_mut(pane) {
        at.by(by);
    }
}

fn next_order(app: &mut App) -> Effects {
    let own = &mut app.own_mut().audit;
    own.order = own.order.next();
    own.opened = None;
    let tab = app.tab_mut();
    (tab.selected, tab.scroll) = (0, Scroll::default());
    Vec::new()
}

fn can_remedy(app: &App) -> Ready {
    on_queue(app)?;
    let look = app.look();
    need(
        look.own.audit.author == Author::Teacher,
        "only a trace of the teacher's is in the dataset; a student's verdict changes nothing",
    )?;
    let rejected = block(&look).and_then(|b| b.standing.as_ref()).is_some_and(|s| s.verdict.rejects());
    need(rejected, "the block on the screen is not rejected")
}

fn remedy(app: &mut App) -> Effects {
    let Some(pair) = current(&app.look()) else { return Vec::new() };
    let send = |choice| Step::Send(Command::Remedy { pair: pair.clone(), choice });
    let mut answers = vec![("as it is".into(), Step::Close), ("drop".into(), send(Remedy::Drop))];
    answers.extend(crate::tui::actions::by_id("audit-fix").map(|action| ("fix score".into(), Step::Act(action))));
    answers.push(("ask again".into(), send(Remedy::Retry { why: String::new() })));
    let question = "drop: it leaves the dataset. fix score: your own score takes its place. ask again: the teacher gets it back, \
                    under a plan that you approve first.";
    app.open(Overlay::Confirm(Confirm::new("What becomes of this trace?", question, answers)))
}

fn fix(app: &mut App) -> Effects {
    let look = app.look();
    let (Some(pair), Some(block)) = (current(&look), block(&look)) else { return Vec::new() };
    let was = block.score;
    app.open(Overlay::Fix(Fix::new(pair, was)))
}

fn can_plan(app: &App) -> Ready {
    need(app.snapshot().audit.sent_back > 0, "nothing was sent back to the teacher")?;
    need(app.live_job().is_none(), "a job is running; wait, or stop it first")
}

fn plan(_: &mut App) -> Effects {
    let scope = Scope { which: Which::SentBack, ..Scope::default() };
    vec![Effect::Send(Command::Errand { errand: Errand::Plan { scope } })]
}

fn can_export(app: &App) -> Ready {
    need(app.snapshot().audit.read.iter().sum::<usize>() > 0, "nothing was judged yet")
}

fn export(app: &mut App) -> Effects {
    let send = |path: &str| Step::Send(Command::ExportVerdicts { path: path.into() });
    let answers = vec![
        ("not now".into(), Step::Close),
        ("CSV".into(), send("data/audit.csv")),
        ("JSON lines".into(), send("data/audit.jsonl")),
    ];
    let question = "Every reading with its note and marks, to data/audit.csv or data/audit.jsonl in the workspace. A file that \
                    is there is replaced.";
    app.open(Overlay::Confirm(Confirm::new("Write the verdicts to a file?", question, answers)))
}
