//! What each action does, and when it can: the functions that the action table names.
//!
//! Owns the way from the selection to a command; keys and words are `actions`' own.

use super::app::App;
use super::msg::Effect;
use super::overlays::{
    Overlay, Step, approval::Approval, confirm::Confirm, filter, help as help_list, palette as command_list, reason::Reason,
    score::Score,
};
use super::select::{selected_audit, selected_example};
use super::tabs::TABS;
use super::toasts::Toast;
use crate::domain::Phase;
use crate::engine::{BatchView, Command, Consent, Errand, FindingView, JobState, Snapshot, Verdict};

type Effects = Vec<Effect>;
type Ready = Result<(), String>;

/// Rows that a page key moves by: half of the body at 80×24.
const PAGE: i32 = 10;
/// The Dataset tab's pages that `m` works from and goes to.
const EXAMPLES_PAGE: usize = 2;
const MASK_PAGE: usize = 4;

fn need(condition: bool, why: &str) -> Ready {
    if condition { Ok(()) } else { Err(why.into()) }
}

// Moving about.

pub fn down(app: &mut App) -> Effects {
    moved(app, 1)
}

pub fn up(app: &mut App) -> Effects {
    moved(app, -1)
}

pub fn page_down(app: &mut App) -> Effects {
    moved(app, PAGE)
}

pub fn page_up(app: &mut App) -> Effects {
    moved(app, -PAGE)
}

pub fn top(app: &mut App) -> Effects {
    moved(app, -i32::from(u16::MAX))
}

pub fn bottom(app: &mut App) -> Effects {
    // The end of a text is known to its tab alone.
    let by = if app.tab().detail || app.rows() == 0 { PAGE * 5 } else { i32::MAX };
    moved(app, by)
}

fn moved(app: &mut App, by: i32) -> Effects {
    app.shift(by);
    Vec::new()
}

pub fn go(app: &mut App, index: usize) -> Effects {
    app.show_tab(index);
    Vec::new()
}

pub fn tab_next(app: &mut App) -> Effects {
    go(app, (app.current() + 1) % TABS.len())
}

pub fn tab_previous(app: &mut App) -> Effects {
    go(app, (app.current() + TABS.len() - 1) % TABS.len())
}

pub fn can_turn(app: &App) -> Ready {
    need(app.spec().pages.len() > 1, "this tab has one page")
}

pub fn page_next(app: &mut App) -> Effects {
    turn(app, 1)
}

pub fn page_previous(app: &mut App) -> Effects {
    let pages = app.spec().pages.len();
    turn(app, pages.saturating_sub(1))
}

fn turn(app: &mut App, by: usize) -> Effects {
    let pages = app.spec().pages.len().max(1);
    app.show_page((app.tab().page + by) % pages);
    Vec::new()
}

pub fn detail(app: &mut App) -> Effects {
    app.tab_mut().detail = true;
    Vec::new()
}

/// One thing at a time: messages, the details' focus, the filter.
pub fn back(app: &mut App) -> Effects {
    if app.dismiss() {
        return Vec::new();
    }
    let tab = app.tab_mut();
    if tab.detail {
        tab.detail = false;
        tab.scroll = 0;
    } else {
        tab.filter.clear();
    }
    Vec::new()
}

pub fn filter(app: &mut App) -> Effects {
    let overlay = filter::Filter::new(&app.tab().filter);
    app.open(Overlay::Filter(overlay))
}

pub fn help(app: &mut App) -> Effects {
    app.open(Overlay::Help(help_list::Help::default()))
}

pub fn palette(app: &mut App) -> Effects {
    app.open(Overlay::Palette(command_list::Palette::default()))
}

// The job.

pub fn can_run(app: &App) -> Ready {
    match app.live_job() {
        Some(job) => Err(format!("{} is {}; stop it first, or wait", job.phase, job.state.label())),
        None => Ok(()),
    }
}

pub fn run_phase(app: &mut App) -> Effects {
    run_to(app.phase())
}

pub fn run_all(_: &mut App) -> Effects {
    run_to(Phase::Deploy)
}

fn run_to(to: Phase) -> Effects {
    vec![Effect::Send(Command::Run { to, consent: Consent::default() })]
}

pub fn can_run_again(app: &App) -> Ready {
    can_run(app)?;
    let done = app.snapshot().phases.iter().any(|view| view.phase == app.phase() && !view.headline.is_empty());
    need(done, "it has not run yet; press r")
}

pub fn run_again(app: &mut App) -> Effects {
    let phase = app.phase();
    let question = format!("{} runs again from its inputs. Phases after it become stale if its result differs.", phase.title());
    let answers = vec![("keep it".into(), Step::Close), ("run again".into(), Step::Send(Command::Rerun { phase }))];
    app.open(Overlay::Confirm(Confirm::new(format!("Run {phase} again?"), question, answers)))
}

pub fn can_pause(app: &App) -> Ready {
    match app.live_job().map(|job| &job.state) {
        None => Err("no job runs".into()),
        Some(JobState::Stopping) => Err("the job is stopping".into()),
        Some(_) => Ok(()),
    }
}

pub fn pause(app: &mut App) -> Effects {
    let held = app.live_job().is_some_and(|job| matches!(job.state, JobState::Pausing | JobState::Paused));
    vec![Effect::Send(if held { Command::Resume } else { Command::Pause })]
}

pub fn can_stop(app: &App) -> Ready {
    can_pause(app)
}

pub fn stop(_: &mut App) -> Effects {
    vec![Effect::Send(Command::Stop)]
}

/// Asks while a job is live; asked again while it saves, it goes at once.
pub fn quit(app: &mut App) -> Effects {
    let Some(job) = app.live_job().filter(|_| !app.leaving()) else { return vec![Effect::Quit] };
    if matches!(app.overlays().last(), Some(Overlay::Confirm(_))) {
        return Vec::new();
    }
    let question = format!(
        "{} is {}. The engine works without this console; what becomes of the job?",
        job.phase.title(),
        job.state.label()
    );
    let answers =
        vec![("cancel".into(), Step::Close), ("leave running".into(), Step::Quit), ("stop after checkpoint".into(), Step::Leave)];
    let meanings = vec![
        "Stay in this console.".into(),
        "Quit; the job goes on, and 'stratos' shows it again.".into(),
        "Finish the unit, save, then quit; r goes on later.".into(),
    ];
    app.open(Overlay::Confirm(Confirm::new("A job is running", question, answers).explained(meanings)))
}

pub fn can_reconnect(app: &App) -> Ready {
    need(app.engine_gone(), "the engine is there")
}

/// Finds the workspace's engine, or starts one.
pub fn reconnect(app: &mut App) -> Effects {
    app.say(Toast::info("looking for an engine, or starting one", app.now()));
    vec![Effect::Reconnect]
}

// Decisions.

pub fn can_approve(app: &App) -> Ready {
    need(app.snapshot().approval.is_some(), "nothing waits for approval")
}

pub fn approve(app: &mut App) -> Effects {
    match app.snapshot().approval.clone() {
        Some(request) => app.open(Overlay::Approval(Approval::new(request))),
        None => Vec::new(),
    }
}

// Batches at the provider.

/// Batches that have not ended: what they hold is not bought again.
pub fn open_batches(snapshot: &Snapshot) -> Vec<&BatchView> {
    snapshot.distill.batches.iter().filter(|batch| batch.ended.is_none()).collect()
}

pub fn can_cancel_batches(app: &App) -> Ready {
    need(!open_batches(app.snapshot()).is_empty(), "no batch is open")
}

/// Asks first: the plan's approval goes with its batches.
pub fn cancel_batches(app: &mut App) -> Effects {
    let count = open_batches(app.snapshot()).len();
    let (which, them) = if count == 1 { ("the open batch", "it") } else { ("all open batches", "them") };
    let question = format!(
        "This cancels {which} ({count}). What the provider has answered by then is billed, kept and imported. The plan's \
         approval ends with {them}: to go on, the rest is planned anew and needs a new approval."
    );
    let cancel = Step::Send(Command::CancelBatches { submission: None });
    let answers = vec![("keep waiting".into(), Step::Close), ("cancel the batches".into(), cancel)];
    app.open(Overlay::Confirm(Confirm::new("Cancel open batches?", question, answers)))
}

pub fn can_look_at_batches(app: &App) -> Ready {
    can_cancel_batches(app)?;
    can_run(app)
}

pub fn look_at_batches(_: &mut App) -> Effects {
    vec![Effect::Send(Command::Errand { errand: Errand::Tend })]
}

/// Failed stop guards of this tab that nobody has overridden.
fn stopped_by(app: &App) -> Vec<FindingView> {
    let phase = app.phase();
    let stops = |f: &&FindingView| f.phase == phase && f.stops && f.finding.failed() && f.overridden.is_none();
    app.snapshot().findings.iter().filter(stops).cloned().collect()
}

pub fn can_override(app: &App) -> Ready {
    need(!stopped_by(app).is_empty(), "no stop guard of this tab has failed")
}

pub fn override_guard(app: &mut App) -> Effects {
    let findings = stopped_by(app);
    app.open(Overlay::Reason(Reason::new(findings)))
}

pub fn can_mask(app: &App) -> Ready {
    need(app.tab().page == EXAMPLES_PAGE, "select an example on page 'examples' first")?;
    need(selected_example(app.snapshot(), app.tab()).is_some(), "no example is selected")
}

pub fn show_mask(app: &mut App) -> Effects {
    let Some(example) = selected_example(app.snapshot(), app.tab()).map(|e| e.id.clone()) else { return Vec::new() };
    app.show_page(MASK_PAGE);
    vec![Effect::Send(Command::ShowMask { example })]
}

pub fn can_judge(app: &App) -> Ready {
    need(selected_audit(app.snapshot(), app.tab()).is_some(), "no think block is selected")
}

pub fn keep(app: &mut App) -> Effects {
    judge(app, Verdict::Keep)
}

pub fn reject(app: &mut App) -> Effects {
    judge(app, Verdict::Reject)
}

/// Judges the selected trace and goes to the next.
fn judge(app: &mut App, verdict: Verdict) -> Effects {
    let Some(pair) = selected_audit(app.snapshot(), app.tab()).map(|item| item.pair.clone()) else { return Vec::new() };
    app.tab_mut().detail = false;
    app.shift(1);
    vec![Effect::Send(Command::Judge { pair, verdict, note: String::new() })]
}

pub fn can_score(app: &App) -> Ready {
    need(app.snapshot().deploy.served.is_some(), "no model is served yet; press r to make a release")?;
    need(!app.snapshot().profiles.is_empty(), "there is no reader; run tab 1 first")
}

pub fn score(app: &mut App) -> Effects {
    let readers = app.snapshot().profiles.iter().map(|view| (view.profile.id.clone(), view.profile.role.clone())).collect();
    app.open(Overlay::Score(Score::new(readers)))
}

/// The selected row as text; only where the shell knows which row that is.
fn selected_text(app: &App) -> Option<String> {
    match app.phase() {
        Phase::Dataset if app.tab().page == EXAMPLES_PAGE => selected_example(app.snapshot(), app.tab()).map(|e| e.id.clone()),
        Phase::Dataset if app.tab().page == 0 => Some(app.snapshot().dataset.report.join("\n")).filter(|text| !text.is_empty()),
        Phase::Audit => selected_audit(app.snapshot(), app.tab())
            .map(|item| format!("{}\n{}\n\n{}\n{}", item.pair, item.title, item.teacher_think, item.teacher_reason)),
        _ => None,
    }
}

pub fn can_copy(app: &App) -> Ready {
    need(selected_text(app).is_some(), "nothing to copy here; think blocks, examples and the report can be copied")
}

pub fn copy(app: &mut App) -> Effects {
    selected_text(app).map(Effect::Copy).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::domain::{Digest, UnixMillis};
    use crate::engine::{DistillView, JobView};
    use crate::tui::msg::Msg;
    use crate::tui::theme::Theme;

    /// On tab 3, with batches that have ended at these times.
    fn app(ended: &[Option<UnixMillis>], job: Option<JobView>) -> App {
        let batch = |ended: &Option<UnixMillis>| BatchView {
            id: 1,
            plan: Digest::of("plan"),
            remote: "b".into(),
            state: "submitted".into(),
            note: String::new(),
            requests: 2,
            answered: 0,
            attempt: 1,
            created: UnixMillis(0),
            ended: *ended,
            watched: None,
            expires: None,
        };
        let distill = DistillView { batches: ended.iter().map(batch).collect(), ..DistillView::default() };
        let snapshot = Snapshot { distill: Arc::new(distill), job, ..Snapshot::default() };
        let mut app = App::new(Arc::new(snapshot), Theme::default());
        app.show_tab(2);
        app
    }

    fn press(app: &mut App, code: KeyCode) -> Effects {
        app.update(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    fn running() -> JobView {
        JobView {
            id: 1,
            phase: Phase::Distill,
            state: JobState::Running,
            done: 0,
            total: 0,
            unit: String::new(),
            message: String::new(),
            started: UnixMillis(0),
            heartbeat: UnixMillis(0),
            then: Vec::new(),
        }
    }

    #[test]
    fn open_batches_are_cancelled_after_a_question_whose_first_answer_keeps_them() {
        let mut app = app(&[None, Some(UnixMillis(1))], Some(running()));
        assert!(press(&mut app, KeyCode::Char('x')).is_empty());
        let Some(Overlay::Confirm(confirm)) = app.overlays().last() else { unreachable!("a question") };
        for words in ["billed, kept and imported", "needs a new approval"] {
            assert!(confirm.question.contains(words), "{}", confirm.question);
        }
        assert!(press(&mut app, KeyCode::Enter).is_empty());
        press(&mut app, KeyCode::Char('x'));
        press(&mut app, KeyCode::Right);
        assert_eq!(press(&mut app, KeyCode::Enter), [Effect::Send(Command::CancelBatches { submission: None })]);
    }

    #[test]
    fn without_an_open_batch_there_is_nothing_to_cancel_or_to_look_at() {
        let mut app = app(&[Some(UnixMillis(1))], None);
        assert!(press(&mut app, KeyCode::Char('x')).is_empty() && app.overlays().is_empty());
        assert!(press(&mut app, KeyCode::Char('b')).is_empty());
    }

    #[test]
    fn batches_are_looked_at_only_while_no_job_runs() {
        let look = [Effect::Send(Command::Errand { errand: Errand::Tend })];
        assert_eq!(press(&mut app(&[None], None), KeyCode::Char('b')), look);
        assert!(press(&mut app(&[None], Some(running())), KeyCode::Char('b')).is_empty());
    }
}
