//! Tests of the Profiles tab and of the ways to a reader's draft.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::domain::{lint, read_draft, write_draft};
use crate::engine::{Answer, Command, DraftView, Query};
use crate::tui::app::App;
use crate::tui::chrome;
use crate::tui::msg::{Effect, Msg};
use crate::tui::tabs::TabState;
use crate::tui::testing::{SIZES, Stage, styled};

const HERE: Phase = Phase::Profiles;

fn view(id: &str, role: &str, selected: bool) -> ProfileView {
    let profile: Profile = serde_json::from_value(serde_json::json!({
        "id": id, "description": format!("Reader {id}"), "role": role, "seniority": "mid", "location": "Houston, Texas, United States",
        "context": "Works nights.\u{1b}[2J 日本 \u{202e}x", "motivation": "career", "tracked": ["Methodist"], "interests": ["shifts, wages"]
    }))
    .expect("profile");
    let remarks = lint(&profile);
    ProfileView { profile, system_prompt: "You judge for a night nurse.".into(), prompt_words: 6, selected, remarks }
}

fn snapshot() -> Snapshot {
    let profiles = vec![view("texas_nurse", "night nurse", true), view("oslo_chef", "senior chef", false)];
    Snapshot { profiles: Arc::new(profiles), complete: true, ..Snapshot::default() }
}

fn app() -> App {
    let session = crate::tui::session::Session { welcomed: true, ..Default::default() };
    let mut app = App::new(Arc::new(Snapshot::default()), Theme::default()).with_session(&session);
    app.update(Msg::Snapshot(Arc::new(snapshot())));
    app
}

/// What the library would say of a draft.
fn examined(text: &str) -> DraftView {
    let profile = read_draft(text).map_err(|e| e.to_string());
    DraftView {
        remarks: profile.as_ref().map(lint).unwrap_or_default(),
        profile,
        system_prompt: "You judge for a night nurse.".into(),
        words: 6,
        tokens: Some(9),
        diff: vec![(' ', "id = 1".into()), ('-', "role = a".into()), ('+', "role = b".into())],
        stale: vec![Phase::Distill, Phase::Train],
        takes_part: true,
    }
}

/// Presses a key; questions about drafts are answered, everything else is given back.
fn press(app: &mut App, code: KeyCode, modifiers: KeyModifiers) -> Vec<Effect> {
    let mut open = app.update(Msg::Key(KeyEvent::new(code, modifiers)));
    let mut rest = Vec::new();
    while let Some(effect) = open.pop() {
        match effect {
            Effect::Ask(Query::Draft { text, saved }) => {
                let answer = Answer::Draft(Arc::new(examined(&text)));
                open.extend(app.update(Msg::Answered((Query::Draft { text, saved }, Some(Ok(answer))))));
            }
            other => rest.push(other),
        }
    }
    rest
}

fn letters(app: &mut App, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|c| press(app, KeyCode::Char(c), KeyModifiers::NONE)).collect()
}

fn screen(app: &App, size: (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("terminal");
    terminal.draw(|frame| chrome::draw(frame, app)).expect("draws");
    styled(terminal.backend().buffer())
}

#[test]
fn the_readers_and_the_page_of_one_at_three_sizes() {
    let stage = Stage::of(&snapshot(), &TabState::default());
    for size in SIZES {
        insta::assert_snapshot!(format!("profiles_{}x{}", size.0, size.1), stage.styled(HERE, size));
    }
}

#[test]
fn the_editor_shows_what_becomes_of_the_draft_at_three_sizes() {
    for size in SIZES {
        let mut app = app();
        letters(&mut app, "i");
        insta::assert_snapshot!(format!("editor_{}x{}", size.0, size.1), screen(&app, size));
    }
}

#[test]
fn a_changed_draft_is_saved_by_its_key_and_not_lost_by_one_escape() {
    let mut app = app();
    letters(&mut app, "i");
    letters(&mut app, "#");
    press(&mut app, KeyCode::Esc, KeyModifiers::NONE);
    assert!(screen(&app, (80, 24)).contains("esc again discards"));
    press(&mut app, KeyCode::Backspace, KeyModifiers::NONE);
    let sent = press(&mut app, KeyCode::Char('s'), KeyModifiers::CONTROL);
    let [Effect::Send(Command::SaveProfile { profile })] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(**profile, snapshot().profiles[0].profile);
    assert!(app.overlays().is_empty());
}

#[test]
fn a_draft_that_is_no_reader_cannot_be_saved_and_says_why() {
    let mut app = app();
    letters(&mut app, "i=");
    assert!(press(&mut app, KeyCode::Char('s'), KeyModifiers::CONTROL).is_empty());
    assert!(screen(&app, (120, 40)).contains("✗"));
}

#[test]
fn a_copy_has_an_id_of_its_own() {
    let mut app = app();
    letters(&mut app, "d");
    let sent = press(&mut app, KeyCode::Char('s'), KeyModifiers::CONTROL);
    let [Effect::Send(Command::SaveProfile { profile })] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(profile.id.as_str(), "texas_nurse_2");
}

#[test]
fn a_reader_that_was_taken_out_comes_back_by_undo() {
    let mut app = app();
    let reader = snapshot().profiles[0].profile.clone();
    assert_eq!(letters(&mut app, "x"), [Effect::Send(Command::RemoveProfile { id: reader.id.clone() })]);
    assert_eq!(letters(&mut app, "u"), [Effect::Send(Command::SaveProfile { profile: Box::new(reader) })]);
    assert!(letters(&mut app, "u").is_empty(), "nothing is left to bring back");
}

#[test]
fn what_the_operators_own_editor_wrote_goes_on_in_ours_beside_the_changes() {
    let mut app = app();
    let effects = letters(&mut app, "e");
    let reader = snapshot().profiles[0].profile.clone();
    assert_eq!(effects, [Effect::Edit(write_draft(&reader))]);
    let text = write_draft(&Profile { role: "harbour pilot".into(), ..reader });
    for effect in app.update(Msg::Edited(Ok(text.clone()))) {
        if let Effect::Ask(query) = effect {
            app.update(Msg::Answered((query, Some(Ok(Answer::Draft(Arc::new(examined(&text))))))));
        }
    }
    assert!(screen(&app, (120, 40)).contains("+ role = b"));
    let sent = press(&mut app, KeyCode::Char('s'), KeyModifiers::CONTROL);
    let [Effect::Send(Command::SaveProfile { profile })] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(profile.role, "harbour pilot");
}

#[test]
fn log_and_welcome_at_three_sizes() {
    for size in SIZES {
        let mut app = app();
        letters(&mut app, "L");
        insta::assert_snapshot!(format!("log_{}x{}", size.0, size.1), screen(&app, size));
        press(&mut app, KeyCode::Esc, KeyModifiers::NONE);
        press(&mut app, KeyCode::F(1), KeyModifiers::NONE);
        insta::assert_snapshot!(format!("welcome_{}x{}", size.0, size.1), screen(&app, size));
    }
}
