//! The console without a terminal: transitions, the action table, and whole screens on a test backend.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Modifier;
use stratos::domain::recipe::OrderStrategy;
use stratos::domain::{ArticleId, Digest, Finding, PairKey, Phase, PhaseState, ProfileId, UnixMillis, Usd};
use stratos::engine::{
    Answer, ApprovalRequest, AuditHead, AuditIndex, AuditRow, Command, DatasetIndex, Event, ExampleRow, FindingView, JobState,
    JobView, Level, PhaseView, Query, Snapshot,
};
use stratos::tui::actions::{self, HELP_WIDTH};
use stratos::tui::app::App;
use stratos::tui::chrome;
use stratos::tui::msg::{Effect, Msg};
use stratos::tui::overlays::Overlay;
use stratos::tui::theme::Theme;

fn cents(cents: i64) -> Usd {
    Usd::new(rust_decimal::Decimal::new(cents, 2))
}

fn spend(ceiling: Usd) -> ApprovalRequest {
    ApprovalRequest::Spend {
        plan: Digest::of("plan"),
        what: "judgements".into(),
        requests: 120,
        expected: cents(60),
        p95: ceiling,
        worst: cents(4_000),
        ceiling,
        notice: None,
        how: "press a".into(),
    }
}

fn pair(article: &str) -> PairKey {
    PairKey { article: ArticleId::new(article).expect("id"), profile: ProfileId::new("reader").expect("id") }
}

/// What the library says of a queue: two unread blocks.
fn audit_queue() -> AuditIndex {
    let row = |article: &str, title: &str| {
        let head = AuditHead {
            pair: pair(article),
            title: title.into(),
            role: "engineer".into(),
            band: "Noise".into(),
            teacher: 1.0,
            student: Some(6.5),
            student_failed: false,
        };
        AuditRow { head: Arc::new(head), teacher_verdict: None, student_verdict: None, remedy: None, repeat: false }
    };
    AuditIndex { rows: vec![row("a1", "Rain"), row("a2", "漢字 chips")], total: 2, ..AuditIndex::default() }
}

fn snapshot() -> Snapshot {
    let states = [
        PhaseState::Done,
        PhaseState::Done,
        PhaseState::Stale("articles changed".into()),
        PhaseState::Ready,
        PhaseState::Locked("no dataset".into()),
        PhaseState::Locked("no run".into()),
        PhaseState::Locked("no evaluation".into()),
        PhaseState::Locked("no run".into()),
    ];
    let mut snapshot = Snapshot {
        phases: Phase::ALL
            .into_iter()
            .zip(states)
            .map(|(phase, state)| PhaseView { phase, state, headline: String::new() })
            .collect(),
        ..Snapshot::default()
    };
    snapshot.workspace.recipe = "demo".into();
    snapshot.workspace.teacher = "rehearsal".into();
    snapshot.workspace.student = "seedling".into();
    snapshot.workspace.practice = true;
    snapshot
}

fn with_job(state: JobState) -> Snapshot {
    let mut snapshot = snapshot();
    snapshot.job = Some(JobView {
        id: 1,
        phase: Phase::Train,
        state,
        done: 40,
        total: 120,
        unit: "steps".into(),
        message: "epoch 2".into(),
        started: UnixMillis(1_000),
        heartbeat: UnixMillis(9_000),
        then: Vec::new(),
    });
    snapshot
}

fn app(snapshot: Snapshot) -> App {
    App::new(Arc::new(snapshot), Theme::default())
}

fn code(app: &mut App, code: KeyCode) -> Vec<Effect> {
    app.update(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

/// Types text; the effects of its last key.
fn keys(app: &mut App, text: &str) -> Vec<Effect> {
    text.chars().map(|letter| code(app, KeyCode::Char(letter))).last().unwrap_or_default()
}

fn ctrl(app: &mut App, letter: char) -> Vec<Effect> {
    app.update(Msg::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)))
}

fn drawn(app: &App, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("backend");
    terminal.draw(|frame| chrome::draw(frame, app)).expect("draws");
    terminal.backend().buffer().clone()
}

/// The text of a screen, then where it is bold (b), dim (d), underlined (u) or reversed (R).
fn dump(buffer: &Buffer) -> String {
    let (mut text, mut styles) = (String::new(), String::new());
    for y in 0..buffer.area.height {
        let (mut line, mut marks) = (String::new(), String::new());
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            line.push_str(cell.symbol());
            marks.push(match cell.modifier {
                m if m.contains(Modifier::REVERSED) => 'R',
                m if m.contains(Modifier::UNDERLINED) => 'u',
                m if m.contains(Modifier::BOLD) => 'b',
                m if m.contains(Modifier::DIM) => 'd',
                _ => '.',
            });
        }
        let _ = writeln!(text, "{}", line.trim_end());
        let _ = writeln!(styles, "{y:>2} {}", marks.trim_end_matches('.'));
    }
    format!("{text}--- styles\n{styles}")
}

fn screen(app: &App) -> String {
    dump(&drawn(app, 80, 24))
}

#[test]
fn no_key_means_two_things_on_one_tab() {
    for phase in Phase::ALL {
        let mut seen = BTreeSet::new();
        for action in actions::all().filter(|action| action.valid_on(phase)) {
            for key in action.keys {
                assert!(seen.insert(key.to_string()), "{key} is twice on {phase}: {}", action.id);
            }
        }
    }
}

#[test]
fn every_action_has_an_id_of_its_own_a_key_and_a_sentence_that_fits() {
    let ids: BTreeSet<&str> = actions::all().map(|action| action.id).collect();
    assert_eq!(ids.len(), actions::all().count());
    for action in actions::all() {
        assert!(!action.keys.is_empty(), "{} has no key", action.id);
        assert!(action.help.ends_with('.'), "{}: no sentence", action.id);
        assert!(action.help.chars().count() <= HELP_WIDTH, "{}: too long for 80 columns", action.id);
    }
}

#[test]
fn digits_and_tab_change_tabs_and_wrap_around() {
    let mut app = app(snapshot());
    keys(&mut app, "8");
    assert_eq!(app.phase(), Phase::Deploy);
    code(&mut app, KeyCode::Tab);
    assert_eq!(app.phase(), Phase::Profiles);
    code(&mut app, KeyCode::BackTab);
    assert_eq!(app.phase(), Phase::Deploy);
}

#[test]
fn brackets_turn_pages_and_wrap_around() {
    let mut app = app(snapshot());
    keys(&mut app, "3[");
    assert_eq!(app.tab().page, 3);
    keys(&mut app, "]");
    assert_eq!(app.tab().page, 0);
}

#[test]
fn r_runs_the_tabs_phase_and_not_while_a_job_is_live() {
    let mut idle = app(snapshot());
    let effects = keys(&mut idle, "4r");
    assert!(matches!(effects.as_slice(), [Effect::Send(Command::Run { to: Phase::Dataset, .. })]));
    assert!(matches!(keys(&mut idle, "R").as_slice(), [Effect::Send(Command::Run { to: Phase::Deploy, .. })]));
    let mut busy = app(with_job(JobState::Running));
    assert!(keys(&mut busy, "r").is_empty());
    assert!(busy.toasts().iter().any(|toast| toast.text.contains("stop it first")));
}

#[test]
fn p_pauses_a_running_job_and_resumes_a_paused_one() {
    assert_eq!(keys(&mut app(with_job(JobState::Running)), "p"), [Effect::Send(Command::Pause)]);
    assert_eq!(keys(&mut app(with_job(JobState::Paused)), "p"), [Effect::Send(Command::Resume)]);
    assert!(keys(&mut app(snapshot()), "p").is_empty());
}

#[test]
fn a_small_plan_is_approved_by_enter_for_the_suggested_ceiling() {
    let mut state = snapshot();
    state.approval = Some(spend(cents(499)));
    let mut app = app(state);
    keys(&mut app, "a");
    let effects = code(&mut app, KeyCode::Enter);
    assert_eq!(effects, [Effect::Send(Command::Approve { plan: Digest::of("plan"), ceiling: cents(499) })]);
    assert!(app.overlays().is_empty());
}

#[test]
fn above_five_dollars_the_amount_must_be_typed() {
    let mut state = snapshot();
    state.approval = Some(spend(cents(1234)));
    let mut app = app(state);
    keys(&mut app, "a");
    assert!(code(&mut app, KeyCode::Enter).is_empty(), "nothing typed");
    keys(&mut app, "12.3x");
    assert!(code(&mut app, KeyCode::Enter).is_empty(), "no amount");
    assert!(screen(&app).contains("'12.3x' is no amount"));
    code(&mut app, KeyCode::Backspace);
    keys(&mut app, "4");
    let effects = code(&mut app, KeyCode::Enter);
    assert_eq!(effects, [Effect::Send(Command::Approve { plan: Digest::of("plan"), ceiling: cents(1234) })]);
}

#[test]
fn an_approval_whose_plan_changed_closes_and_says_so() {
    let mut state = snapshot();
    state.approval = Some(spend(cents(100)));
    let mut app = app(state.clone());
    keys(&mut app, "a");
    state.approval = Some(spend(cents(200)));
    app.update(Msg::Snapshot(Arc::new(state)));
    assert!(app.overlays().is_empty());
    assert!(app.toasts().iter().any(|toast| toast.level == Level::Error));
}

#[test]
fn a_dataset_is_acknowledged_and_the_dialog_says_whether_it_was_on_screen() {
    let dataset = Digest::of("rows");
    let mut state = snapshot();
    state.approval = Some(ApprovalRequest::Dataset { dataset: dataset.clone(), rows: 90, how: String::new() });
    Arc::make_mut(&mut state.dataset).digest = Some(dataset.clone());
    let mut app = app(state);
    keys(&mut app, "a");
    assert!(screen(&app).contains("It has not been on this"));
    code(&mut app, KeyCode::Esc);
    keys(&mut app, "4a");
    assert!(screen(&app).contains("You say that you have read its statistics"));
    assert_eq!(code(&mut app, KeyCode::Enter), [Effect::Send(Command::Acknowledge { dataset })]);
}

#[test]
fn quitting_without_a_job_is_immediate() {
    assert_eq!(keys(&mut app(snapshot()), "q"), [Effect::Quit]);
    assert_eq!(ctrl(&mut app(snapshot()), 'c'), [Effect::Quit]);
    let mut in_dialog = app(snapshot());
    keys(&mut in_dialog, "?");
    assert_eq!(ctrl(&mut in_dialog, 'c'), [Effect::Quit]);
}

#[test]
fn quitting_with_a_live_job_asks_and_staying_is_the_default() {
    let mut app = app(with_job(JobState::Running));
    assert!(keys(&mut app, "q").is_empty());
    assert!(matches!(app.overlays(), [Overlay::Confirm(_)]));
    assert!(code(&mut app, KeyCode::Enter).is_empty());
    assert!(app.overlays().is_empty());
}

#[test]
fn stop_and_quit_waits_until_the_job_has_saved() {
    let mut app = app(with_job(JobState::Running));
    keys(&mut app, "q");
    code(&mut app, KeyCode::Right);
    code(&mut app, KeyCode::Right);
    assert_eq!(code(&mut app, KeyCode::Enter), [Effect::Send(Command::Stop)]);
    assert!(app.update(Msg::Snapshot(Arc::new(with_job(JobState::Stopping)))).is_empty());
    assert_eq!(app.update(Msg::Snapshot(Arc::new(with_job(JobState::Stopped)))), [Effect::Quit]);
}

#[test]
fn asked_again_while_it_saves_it_quits_at_once() {
    let mut app = app(with_job(JobState::Running));
    ctrl(&mut app, 'c');
    code(&mut app, KeyCode::Right);
    code(&mut app, KeyCode::Right);
    code(&mut app, KeyCode::Enter);
    assert_eq!(ctrl(&mut app, 'c'), [Effect::Quit]);
}

#[test]
fn leaving_a_job_running_quits_at_once_and_asks_the_engine_for_nothing() {
    let mut app = app(with_job(JobState::Running));
    ctrl(&mut app, 'c');
    let text = screen(&app);
    for sentence in ["Stay in this console.", "the job goes on", "Finish the unit, save, then quit"] {
        assert!(text.contains(sentence), "{text}");
    }
    code(&mut app, KeyCode::Right);
    assert_eq!(code(&mut app, KeyCode::Enter), [Effect::Quit]);
}

#[test]
fn a_lost_engine_is_said_once_looking_goes_on_and_a_key_finds_the_next() {
    let mut app = app(with_job(JobState::Running));
    assert!(ctrl(&mut app, 'e').is_empty(), "there is an engine");
    let lost = || Msg::EngineGone { why: "the engine (process 7) is gone".into(), again: false };
    assert!(app.update(lost()).is_empty());
    // Looking asks the library alone.
    assert!(keys(&mut app, "6").iter().all(|effect| matches!(effect, Effect::Ask(_))));
    let text = screen(&app);
    assert!(text.contains("no engine: press ctrl-e") && text.contains("the engine (process 7) is gone"), "{text}");
    assert_eq!(ctrl(&mut app, 'e'), [Effect::Reconnect]);
    app.update(Msg::Attached { process: 8, snapshot: Arc::new(with_job(JobState::Running)) });
    let text = screen(&app);
    assert!(text.contains("attached to the engine of process 8") && !text.contains("no engine"), "{text}");
    // The job was cut off with its engine: there is nothing to ask about.
    app.update(lost());
    assert_eq!(keys(&mut app, "q"), [Effect::Quit]);
}

#[test]
fn an_engine_that_makes_room_is_followed_without_a_key() {
    let mut app = app(snapshot());
    let made_room = Msg::EngineGone { why: "the command has ended".into(), again: true };
    assert_eq!(app.update(made_room), [Effect::Reconnect]);
}

#[test]
fn errors_stay_until_esc_and_remarks_go_by_themselves() {
    let mut app = app(snapshot());
    let failed = Event::PhaseFailed { phase: Phase::Train, reason: "disk full.".into(), next: "Free space.".into() };
    app.update(Msg::Event(failed));
    app.update(Msg::Event(Event::RunEnded { complete: true }));
    assert_eq!(app.toasts().len(), 2);
    app.update(Msg::Tick(UnixMillis(1_000_000)));
    assert_eq!(app.toasts().len(), 1);
    assert!(screen(&app).contains("disk full. Free space."));
    code(&mut app, KeyCode::Esc);
    assert!(app.toasts().is_empty());
}

#[test]
fn the_filter_is_live_enter_keeps_it_and_esc_reverts_it() {
    let mut app = app(snapshot());
    keys(&mut app, "/Tesla");
    assert_eq!(app.tab().filter, "tesla");
    code(&mut app, KeyCode::Enter);
    keys(&mut app, "/x");
    assert_eq!(app.tab().filter, "teslax");
    code(&mut app, KeyCode::Esc);
    assert_eq!(app.tab().filter, "tesla");
    code(&mut app, KeyCode::Esc);
    assert_eq!(app.tab().filter, "");
}

#[test]
fn the_selection_stays_in_range_when_rows_shrink() {
    let mut app = app(snapshot());
    keys(&mut app, "7");
    app.tab_mut().selected = 40;
    app.update(Msg::Snapshot(Arc::new(snapshot())));
    assert!(app.tab().selected <= app.rows());
    assert_eq!(app.tab().selected, app.rows().saturating_sub(1).min(40));
}

#[test]
fn a_block_is_not_judged_before_it_is_on_the_screen() {
    let mut app = app(snapshot());
    let asked = keys(&mut app, "7");
    let [Effect::Ask(query)] = &asked[..] else { panic!("{asked:?}") };
    let effects = app.update(Msg::Answered((query.clone(), Some(Ok(Answer::AuditQueue(Arc::new(audit_queue())))))));
    let wanted = [Effect::Ask(Query::AuditReading(pair("a1"))), Effect::Ask(Query::AuditReading(pair("a2")))];
    assert_eq!(effects, wanted, "the block, and the one after it");
    assert!(keys(&mut app, "x").iter().all(|effect| !matches!(effect, Effect::Send(_))), "nobody has read it");
}

#[test]
fn the_mask_of_the_selected_example_is_asked_for_and_its_page_shown() {
    let mut state = snapshot();
    Arc::make_mut(&mut state.dataset).digest = Some(Digest::of("data"));
    let mut app = app(state);
    assert!(keys(&mut app, "4m").is_empty(), "the report is no list of examples");
    assert_eq!(keys(&mut app, "]"), [Effect::Ask(Query::Dataset)]);
    assert!(keys(&mut app, "]]]").is_empty(), "it is on its way");
    let example = ExampleRow {
        id: "a1|r".into(),
        held_out: false,
        score: 1.0,
        band: "0".into(),
        reader: "r".into(),
        tokens: 9,
        repeats: 1,
    };
    let index = dataset_index(vec![example]);
    let asked = app.update(Msg::Answered((Query::Dataset, Some(Ok(Answer::Dataset(Arc::new(index)))))));
    assert_eq!(asked, [Effect::Ask(Query::Example("a1|r".into()))]);
    assert_eq!(keys(&mut app, "m"), [Effect::Ask(Query::Mask("a1|r".into()))]);
    assert_eq!(app.tab().page, 5);
}

/// An index of these rows, without figures.
fn dataset_index(rows: Vec<ExampleRow>) -> DatasetIndex {
    let stats = serde_json::json!({"recipe": "r", "seed": 1, "totals": {"rows": 1, "articles": 1, "clusters": 1, "profiles": 1,
        "train": 1, "eval": 0, "train_clusters": 1, "eval_clusters": 0, "epoch": 1}, "by_profile": [], "by_band": [], "mix": [],
        "max_repeat": 1, "worst_stratum_gap": 0.0, "think": [], "flagged": 0, "rejected": {}, "quarantined": {}, "joins": {},
        "contrastive_delta": 3.0, "contrastive_pairs": 0, "contrastive_examples": [], "unscreened_share": 1.0, "by_teacher": {},
        "modal_score": null, "tokens": null});
    DatasetIndex {
        digest: Digest::of("data"),
        stats: serde_json::from_value(stats).expect("figures"),
        rows,
        read: Vec::new(),
        strategy: OrderStrategy::Curriculum,
        order: Vec::new(),
        epoch: 0,
        pairs: Vec::new(),
    }
}

#[test]
fn an_override_needs_a_failed_guard_and_a_reason() {
    let mut state = snapshot();
    let finding = Finding::fail("d13-lists", "a list is a string", "split it");
    let view = FindingView { phase: Phase::Profiles, finding, stops: true, overridden: None, subject: Digest::of("s") };
    state.findings = Arc::new(vec![view]);
    let mut app = app(state);
    keys(&mut app, "ook");
    assert!(code(&mut app, KeyCode::Enter).is_empty());
    keys(&mut app, " for this demo");
    let reason = "ok for this demo".to_owned();
    let wanted = Command::Override { guard: "d13-lists".into(), subject: Digest::of("s"), reason };
    assert_eq!(code(&mut app, KeyCode::Enter), [Effect::Send(wanted)]);
}

#[test]
fn the_palette_does_what_it_finds_and_refuses_what_cannot_be_done() {
    let mut app = app(snapshot());
    keys(&mut app, ":tab-6");
    code(&mut app, KeyCode::Enter);
    assert_eq!(app.phase(), Phase::Validate);
    keys(&mut app, ":pause");
    assert!(screen(&app).contains("no: no job runs"));
    assert!(code(&mut app, KeyCode::Enter).is_empty());
    assert!(matches!(app.overlays(), [Overlay::Palette(_)]));
}

#[test]
fn pasted_control_characters_never_reach_the_screen() {
    let mut app = app(snapshot());
    keys(&mut app, "/");
    app.update(Msg::Paste("a\u{1b}[31mb\r\nc".into()));
    assert_eq!(app.tab().filter, "a[31mb c");
}

#[test]
fn all_eight_titles_fit_at_eighty_columns() {
    let text = screen(&app(snapshot()));
    for phase in Phase::ALL {
        assert!(text.contains(phase.title()), "{phase} is cut");
    }
}

#[test]
fn the_current_tab_and_practice_are_visible_without_colour() {
    let theme = Theme::load("dark", None, true).expect("theme");
    let app = App::new(Arc::new(snapshot()), theme);
    let buffer = drawn(&app, 80, 24);
    assert!(buffer[(0, 2)].modifier.contains(Modifier::REVERSED));
    assert!(screen(&app).contains("PRACTICE"));
}

#[test]
fn a_live_job_shows_progress_and_its_last_sign() {
    let mut app = app(with_job(JobState::Running));
    assert!(app.wants_tick());
    app.update(Msg::Tick(UnixMillis(12_000)));
    let text = screen(&app);
    assert!(text.contains("Train running  40/120 steps 33%  last sign 3 s ago  epoch 2"), "{text}");
}

/// A small generator, so that a failure repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

#[test]
fn any_keys_at_any_size_never_panic() {
    let sizes = [(1, 1), (2, 40), (40, 2), (7, 5), (20, 8), (80, 24), (200, 60)];
    let mut busy = with_job(JobState::Running);
    busy.approval = Some(spend(cents(900)));
    let finding = Finding::fail("g", "saw", "do");
    let view = FindingView { phase: Phase::Profiles, finding, stops: true, overridden: None, subject: Digest::of("s") };
    busy.findings = Arc::new(vec![view]);
    let states = [Arc::new(snapshot()), Arc::new(busy)];
    let special = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::PageDown,
        KeyCode::PageUp,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Backspace,
        KeyCode::Delete,
        KeyCode::F(5),
    ];
    let letters: Vec<char> = (' '..='~').chain(['漢', 'é', '🦀', '\u{301}']).collect();
    let mut dice = Dice(7);
    let mut app = App::new(states[0].clone(), Theme::default());
    for step in 0..5_000 {
        let msg = match dice.roll(20) {
            0 => Msg::Snapshot(states[dice.roll(2)].clone()),
            1 => Msg::Tick(UnixMillis(step * 700)),
            2 => Msg::Event(Event::Log { level: Level::Error, text: "漢字 and a long line ".repeat(dice.roll(9)) }),
            3 => Msg::Paste("pasted 漢字\n".repeat(dice.roll(3))),
            4..=9 => Msg::Key(KeyEvent::new(special[dice.roll(special.len())], KeyModifiers::NONE)),
            10 => Msg::Key(KeyEvent::new(KeyCode::Char(letters[dice.roll(95)]), KeyModifiers::CONTROL)),
            _ => Msg::Key(KeyEvent::new(KeyCode::Char(letters[dice.roll(letters.len())]), KeyModifiers::NONE)),
        };
        app.update(msg);
        let (width, height) = sizes[dice.roll(sizes.len())];
        drawn(&app, width, height);
    }
}

#[test]
fn the_first_screen_is_as_it_was() {
    insta::assert_snapshot!(screen(&app(snapshot())));
}

#[test]
fn the_help_is_as_it_was() {
    let mut app = app(snapshot());
    keys(&mut app, "?");
    insta::assert_snapshot!(screen(&app));
}
