//! What can be done on the Distill tab alone.
//!
//! Owns looking at open batches and cancelling them.

use crate::domain::Phase;
use crate::engine::{BatchView, Command, Errand, Snapshot};
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, can_run, need};
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
    free("cancel", &[Chord::char('x')], "cancel", "Cancel the open batches; asks first.", cancel_batches)
        .shown()
        .when(can_cancel_batches)
        .on(Phase::Distill),
];

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::domain::{Digest, UnixMillis};
    use crate::engine::{DistillView, JobState, JobView};
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
