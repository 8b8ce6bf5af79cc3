//! What can be done on the Distill tab alone.
//!
//! Owns which of them can be done when: looking at open batches, cancelling and settling them, planning, importing. What is
//! asked before is `forms`' own.

use super::{BATCHES, batches, forms};
use crate::domain::Phase;
use crate::engine::{BatchView, Command, Errand, Snapshot};
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, can_run, need, step};
use crate::tui::app::App;
use crate::tui::keys::Chord;
use crate::tui::msg::Effect;
use crate::tui::overlays::confirm::Confirm;
use crate::tui::overlays::{Overlay, Step};

pub const ACTIONS: &[Action] = &[
    free("look", &[Chord::char('b')], "look", "Look at the open batches once; nothing new is sent.", look_at_batches)
        .shown()
        .when(can_look_at_batches)
        .on(Phase::Distill),
    free("cancel", &[Chord::char('x')], "cancel", "Cancel the selected batch or all open ones; asks first.", cancel_batches)
        .shown()
        .when(can_cancel_batches)
        .on(Phase::Distill),
    free("plan", &[Chord::char('P')], "plan", "Choose which pairs to ask about, and plan them.", plan)
        .shown()
        .when(can_run)
        .on(Phase::Distill),
    free("settle", &[Chord::char('y')], "settle", "Say what a batch without a clear answer is; asks first.", settle)
        .shown()
        .when(can_settle)
        .on(Phase::Distill),
    free("import-answers", &[Chord::char('I')], "import answers", "Import a result file that was fetched by hand.", import)
        .when(can_import)
        .on(Phase::Distill),
    free("second-opinion", &[Chord::char('O')], "second opinion", "Ask another teacher about pairs, under a plan.", second)
        .when(can_run)
        .on(Phase::Distill),
    free("write-articles", &[Chord::char('W')], "write articles", "Have polarising articles written, under a plan.", polarise)
        .when(can_run)
        .on(Phase::Distill),
    free("distill-next", &[Chord::char('n')], "next", "Next row, also while its details are read.", |app| step(app, false))
        .when(has_rows)
        .on(Phase::Distill),
    free("distill-previous", &[Chord::char('N')], "previous", "The row before, also while details are read.", |app| step(app, true))
        .when(has_rows)
        .on(Phase::Distill),
];

fn has_rows(app: &App) -> Ready {
    need(app.rows() > 0, "this page has no rows")
}

/// The batch that is selected on page batches.
fn selected(app: &App) -> Option<&BatchView> {
    if app.tab().page != BATCHES {
        return None;
    }
    batches::found(app.snapshot(), app.tab()).get(app.tab().selected).copied()
}

fn can_settle(app: &App) -> Ready {
    let unclear = selected(app).is_some_and(|batch| batch.ended.is_none() && batches::is_unknown(batch));
    need(unclear, "select a batch in state 'unknown' on page 'batches' first")
}

fn settle(app: &mut App) -> Effects {
    match selected(app).map(forms::settle) {
        Some(form) => app.open(Overlay::Form(form)),
        None => Vec::new(),
    }
}

fn plan(app: &mut App) -> Effects {
    let form = forms::plan(app.snapshot());
    app.open(Overlay::Form(form))
}

fn second(app: &mut App) -> Effects {
    let form = forms::second_opinion(app.snapshot());
    app.open(Overlay::Form(form))
}

fn polarise(app: &mut App) -> Effects {
    let form = forms::polarise(app.snapshot());
    app.open(Overlay::Form(form))
}

fn can_import(app: &App) -> Ready {
    need(!app.snapshot().distill.batches.is_empty(), "nothing was sent that answers could belong to")?;
    can_run(app)
}

fn import(app: &mut App) -> Effects {
    app.open(Overlay::Form(forms::import_answers()))
}

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
    let cancel = |submission| Step::Send(Command::CancelBatches { submission });
    let mut answers = vec![("keep waiting".into(), Step::Close)];
    // One of several can go alone; the plan's approval stays then.
    if let Some(one) = selected(app).filter(|batch| count > 1 && batch.ended.is_none()) {
        answers.push((format!("cancel {} alone", one.id), cancel(Some(one.id))));
    }
    answers.push(("cancel the batches".into(), cancel(None)));
    app.open(Overlay::Confirm(Confirm::new("Cancel open batches?", question, answers)))
}

pub fn can_look_at_batches(app: &App) -> Ready {
    can_cancel_batches(app)?;
    can_run(app)
}

pub fn look_at_batches(_: &mut App) -> Effects {
    vec![Effect::Send(Command::Errand { errand: Errand::Tend })]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::domain::{Digest, UnixMillis};
    use crate::engine::{DistillView, JobState, JobView, Scope, Which};
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
    fn one_of_several_open_batches_is_cancelled_alone_where_it_is_selected() {
        let mut app = app(&[None, None], None);
        app.show_page(BATCHES);
        press(&mut app, KeyCode::Char('x'));
        press(&mut app, KeyCode::Right);
        assert_eq!(press(&mut app, KeyCode::Enter), [Effect::Send(Command::CancelBatches { submission: Some(1) })]);
    }

    #[test]
    fn an_unclear_submission_is_settled_only_after_its_form_was_answered() {
        let mut app = app(&[None], None);
        app.show_page(BATCHES);
        assert!(press(&mut app, KeyCode::Char('y')).is_empty() && app.overlays().is_empty(), "it is submitted, not unclear");
        let mut snapshot = app.snapshot().clone();
        Arc::make_mut(&mut snapshot.distill).batches[0].state = "unknown".into();
        app.update(Msg::Snapshot(Arc::new(snapshot)));
        press(&mut app, KeyCode::Char('y'));
        assert!(press(&mut app, KeyCode::Enter).is_empty());
        assert!(press(&mut app, KeyCode::Enter).is_empty(), "nothing was chosen");
        press(&mut app, KeyCode::Up);
        press(&mut app, KeyCode::Right);
        press(&mut app, KeyCode::Enter);
        assert_eq!(press(&mut app, KeyCode::Enter), [Effect::Send(Command::Settle { submission: 1, adopt: None })]);
    }

    #[test]
    fn a_plan_of_a_scope_is_asked_for_and_sends_nothing_else() {
        let mut app = app(&[], None);
        for code in [KeyCode::Char('P'), KeyCode::Right, KeyCode::Enter, KeyCode::Enter, KeyCode::Char('5')] {
            assert!(press(&mut app, code).is_empty());
        }
        let scope = Scope { which: Which::Missing, profile: None, sample: Some(5) };
        assert_eq!(press(&mut app, KeyCode::Enter), [Effect::Send(Command::Errand { errand: Errand::Plan { scope } })]);
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
