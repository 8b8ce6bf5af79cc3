//! Tests of the approval dialog: what is typed, what is refused, what is sent, and that it all fits.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Modifier;

use super::money;
use crate::domain::{Digest, Usd};
use crate::engine::{ApprovalRequest, Basis, Command, DistillView, Estimate, Forecast, PlanView, Snapshot};
use crate::tui::app::App;
use crate::tui::chrome;
use crate::tui::msg::{Effect, Msg};
use crate::tui::theme::Theme;

fn usd(text: &str) -> Usd {
    text.parse().expect("amount")
}

fn spend(ceiling: &str) -> ApprovalRequest {
    ApprovalRequest::Spend {
        plan: Digest::of("plan"),
        what: "judgements".into(),
        requests: 120,
        expected: usd("3.10"),
        p95: usd(ceiling),
        worst: usd("40"),
        ceiling: usd(ceiling),
        notice: None,
        how: "press a".into(),
    }
}

fn plan(digest: &str) -> PlanView {
    let forecast = Forecast {
        basis: Basis::Assumed,
        prompt_tokens: 1_000,
        output_tokens: 100,
        retry_share: 0.0,
        expected: usd("3.10"),
        p95: usd("12.34"),
    };
    let price = serde_json::json!({"provider": "anthropic", "model": "claude-sonnet-5", "mode": "batch", "input": "1.5",
        "output": "7.5", "cache_write_5m": "1.875", "cache_write_1h": "3", "cache_read": "0.15",
        "verified": "2026-11-20", "source": "a test"});
    PlanView {
        digest: Digest::of(digest),
        kind: "traces".into(),
        scope: "every pair without an answer".into(),
        teacher: "anthropic".into(),
        model: "claude-sonnet-5".into(),
        estimate: Estimate {
            pairs: 40,
            at_once: usd("3"),
            requests: 120,
            answered: 0,
            under_way: 0,
            given_up: 0,
            retries: 0,
            forecast,
            before: None,
            whole: None,
            worst: usd("40"),
            chunks: 1,
            price: serde_json::from_value(price).expect("a price row"),
            remarks: Vec::new(),
            samples: Vec::new(),
        },
        approved: None,
        suggested: usd("12.34"),
        spent: Usd::ZERO,
    }
}

fn opened(request: ApprovalRequest, plan: Option<PlanView>) -> App {
    let distill = DistillView { plan, ..DistillView::default() };
    let snapshot = Snapshot { approval: Some(request), distill: Arc::new(distill), ..Snapshot::default() };
    let theme = Theme::load("dark", None, true).expect("theme");
    let mut app = App::new(Arc::new(snapshot), theme);
    typed(&mut app, "a");
    assert_eq!(app.overlays().len(), 1);
    app
}

fn dialog(ceiling: &str) -> App {
    opened(spend(ceiling), Some(plan("plan")))
}

fn press(app: &mut App, code: KeyCode) -> Vec<Effect> {
    app.update(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn typed(app: &mut App, text: &str) {
    for letter in text.chars() {
        assert!(press(app, KeyCode::Char(letter)).is_empty(), "typing sends nothing");
    }
}

fn enter(app: &mut App) -> Vec<Effect> {
    press(app, KeyCode::Enter)
}

fn clear(app: &mut App) {
    app.update(Msg::Key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL)));
}

fn approved(ceiling: &str) -> Vec<Effect> {
    vec![Effect::Send(Command::Approve { plan: Digest::of("plan"), ceiling: usd(ceiling) })]
}

fn terminal(app: &App, size: (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("backend");
    terminal.draw(|frame| chrome::draw(frame, app)).expect("draws");
    terminal
}

fn screen(app: &App, size: (u16, u16)) -> String {
    terminal(app, size).backend().to_string()
}

/// A screen with its styles: bold (b), dim (d), underlined (u) or reversed (R).
fn styled(app: &App) -> String {
    let terminal = terminal(app, (80, 24));
    let buffer = terminal.backend().buffer();
    let (mut text, mut styles) = (String::new(), String::new());
    for y in 0..24 {
        let line: String = (0..80).map(|x| buffer[(x, y)].symbol()).collect();
        let mark = |x| match buffer[(x, y)].modifier {
            m if m.contains(Modifier::REVERSED) => 'R',
            m if m.contains(Modifier::UNDERLINED) => 'u',
            m if m.contains(Modifier::BOLD) => 'b',
            m if m.contains(Modifier::DIM) => 'd',
            _ => '.',
        };
        let marks: String = (0..80).map(mark).collect();
        text.push_str(line.trim_end());
        text.push('\n');
        styles += format!("{y:>2} {}", marks.trim_end_matches('.')).trim_end();
        styles.push('\n');
    }
    format!("{text}--- styles\n{styles}")
}

#[test]
fn up_to_five_dollars_enter_approves_the_suggested_ceiling() {
    assert_eq!(enter(&mut dialog("4.99")), approved("4.99"));
    assert_eq!(enter(&mut dialog("5")), approved("5"));
    assert!(enter(&mut dialog("5.01")).is_empty());
}

#[test]
fn the_first_letter_typed_or_pasted_replaces_the_suggestion() {
    let mut app = dialog("4.99");
    typed(&mut app, "7");
    assert_eq!(enter(&mut app), approved("7"));
    let mut app = dialog("4.99");
    app.update(Msg::Paste("6.5\n".into()));
    assert_eq!(enter(&mut app), approved("6.5"));
    let mut app = dialog("4.99");
    press(&mut app, KeyCode::Backspace);
    typed(&mut app, "5");
    assert_eq!(enter(&mut app), approved("4.95"));
}

#[test]
fn above_five_dollars_nothing_goes_without_an_amount_and_any_amount_is_taken() {
    let mut app = dialog("12.34");
    assert!(screen(&app, (80, 24)).contains("12.34 would usually be enough"));
    assert!(enter(&mut app).is_empty(), "nothing typed");
    assert!(screen(&app, (80, 24)).contains("An amount must be typed"));
    typed(&mut app, "20");
    assert!(screen(&app, (80, 24)).contains("enter approves up to 20.00 $"));
    assert_eq!(enter(&mut app), approved("20"));
    assert!(app.overlays().is_empty());
}

#[test]
fn what_is_no_amount_is_refused_with_a_sentence() {
    for wrong in ["twelve", "12,50", "-3", "1e3", "12.3.4", "1000001", "99999999999999999999999999999999", "0x9", "١٢"] {
        let mut app = dialog("12.34");
        typed(&mut app, wrong);
        assert!(enter(&mut app).is_empty(), "{wrong}");
        let drawn = screen(&app, (80, 24));
        assert!(drawn.contains("is no amount from 0 to"), "{wrong}:\n{drawn}");
        assert!(!drawn.contains("enter approves"), "{wrong}:\n{drawn}");
        clear(&mut app);
        assert!(!screen(&app, (80, 24)).contains("is no amount"), "the sentence was about what stood there");
        typed(&mut app, "13 $");
        assert_eq!(enter(&mut app), approved("13"));
    }
}

#[test]
fn a_ceiling_below_what_is_expected_needs_a_second_enter_for_the_same_amount() {
    let mut app = dialog("12.34");
    typed(&mut app, "3.09");
    assert!(enter(&mut app).is_empty());
    let drawn = screen(&app, (80, 24));
    assert!(drawn.contains("3.09 $ is below what is expected (3.10 $); the run will stop there"), "{drawn}");
    press(&mut app, KeyCode::Backspace);
    assert!(enter(&mut app).is_empty(), "another amount is warned of anew");
    assert_eq!(enter(&mut app), approved("3.0"));
    let mut app = dialog("12.34");
    typed(&mut app, "0");
    assert!(enter(&mut app).is_empty());
    assert_eq!(enter(&mut app), approved("0"));
}

#[test]
fn a_second_enter_does_not_approve_what_was_pasted_after_the_warning() {
    let mut app = dialog("12.34");
    typed(&mut app, "1");
    assert!(enter(&mut app).is_empty());
    app.update(Msg::Paste(".5".into()));
    assert!(enter(&mut app).is_empty());
    assert_eq!(enter(&mut app), approved("1.5"));
}

#[test]
fn esc_sends_nothing() {
    let mut app = dialog("4.99");
    assert!(press(&mut app, KeyCode::Esc).is_empty());
    assert!(app.overlays().is_empty());
}

#[test]
fn teacher_and_price_are_those_of_the_plan_that_is_approved() {
    let drawn = screen(&dialog("12.34"), (80, 24));
    for text in ["Approve the judgements?", "anthropic · claude-sonnet-5", "1.5 $ in, 7.5 $ out", "3.10 $", "12.34 $", "40.00 $"]
    {
        assert!(drawn.contains(text), "lacks {text}:\n{drawn}");
    }
    let other = screen(&opened(spend("12.34"), Some(plan("another"))), (80, 24));
    assert!(!other.contains("claude-sonnet-5") && other.contains("another plan than the one on tab 3"), "{other}");
}

#[test]
fn with_a_long_notice_everything_that_matters_fits_eighty_by_twenty_four() {
    let mut request = spend("12.34");
    let ApprovalRequest::Spend { notice, .. } = &mut request else { unreachable!() };
    let long = "First use of anthropic: its commercial terms restrict training models that compete with the provider's.";
    *notice = Some(format!("{long} {long} {long} Read them before you approve.\u{1b}[2J"));
    let mut view = plan("plan");
    (view.approved, view.spent) = (Some(usd("2")), usd("1.99"));
    let mut app = opened(request, Some(view));
    typed(&mut app, "2");
    enter(&mut app);
    let drawn = screen(&app, (80, 24));
    let numbers = ["expected     3.10 $", "worst        40.00 $", "spent        1.99 $ of 2.00 $ approved before"];
    for text in
        numbers.into_iter().chain(["before you approve.[2J", "ceiling in $", "2.00 $ is below", "enter approves up to 2.00 $"])
    {
        assert!(drawn.contains(text), "lacks {text}:\n{drawn}");
    }
    for size in [(1, 1), (20, 5), (40, 12), (76, 9), (200, 60)] {
        screen(&app, size);
    }
    insta::assert_snapshot!(styled(&app));
}

#[test]
fn on_a_small_screen_the_rest_is_scrolled_to() {
    let mut app = dialog("12.34");
    let drawn = screen(&app, (80, 12));
    assert!(drawn.contains("more ↓") && drawn.contains("↑ ↓ scroll") && !drawn.contains("verified"), "{drawn}");
    for _ in 0..9 {
        press(&mut app, KeyCode::Down);
    }
    assert!(screen(&app, (80, 12)).contains("verified 2026-11-20"));
}

#[test]
fn the_dialog_of_a_small_plan_is_as_it_was() {
    insta::assert_snapshot!(styled(&dialog("4.99")));
}

#[test]
fn an_amount_below_a_cent_does_not_look_like_nothing() {
    let shown = ["0", "0.0042", "0.00714", "0.01", "1.999", "1234.5"].map(|text| money(usd(text)));
    assert_eq!(shown, ["0.00 $", "0.0042 $", "0.0071 $", "0.01 $", "2.00 $", "1234.50 $"]);
}
