//! The Train tab, drawn.

use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Modifier;

use super::*;
use crate::engine::{
    BandDraw, GpuView, JobState, MachineHistory, MemoryView, SampleRound, SampleView, TrainView, Warning, WarningKind,
};
use crate::tui::charts::fixture::{NOW, busy, drawn, expect, nothing, with_finding};
use crate::tui::theme::Theme;

const HERE: Phase = Phase::Train;

fn wobble(i: u64) -> f64 {
    ((i * 7919) % 101) as f64 / 101.0 - 0.5
}

/// A run in the middle, on a machine with a card.
fn whole_scene() -> Snapshot {
    let mut snapshot = busy();
    snapshot.workspace.practice = true;
    let loss = |s: u64| 4.0 / (1.0 + s as f64 / 60.0) + 0.4 + 0.3 * wobble(s);
    let band = |band: &str, drawn, ordered, promised| BandDraw { band: band.into(), drawn, ordered, promised };
    let answer = |id: &str, score, defect: Option<&str>, text: &str| SampleView {
        id: id.into(),
        text: text.into(),
        tokens: 120,
        cut: defect.is_some() && score == None::<f64>,
        score,
        defect: defect.map(Into::into),
        teacher: 8.5,
    };
    let answers = vec![
        answer("a-1 × kuwait_cpeg", Some(8.0), None, "<think>\nPROFILE: an engineer\n</think>\nSCORE: 8.0 | REASON: pumps."),
        answer("a-2 × kuwait_cpeg", Some(2.0), Some("there is no think block"), "SCORE: 2 | REASON: football."),
        answer("a-3 × kuwait_cpeg", None, Some("the think block is not closed"), "<think>\n\u{1b}[31mand on"),
    ];
    let train = Arc::make_mut(&mut snapshot.train);
    *train = TrainView {
        total_steps: 1500,
        epochs: 5,
        loss: (1..=1000).map(|s| (s, loss(s))).collect(),
        eval_loss: (1..=10).map(|i| (i * 100, loss(i * 100) + 0.1)).collect(),
        lr: (1..=1000).map(|s| (s, 1.5e-3 * (1.0 - s as f64 / 1500.0))).collect(),
        grad_norm: (1..=1000).map(|s| (s, 1.0 + wobble(s))).collect(),
        tokens_per_second: (1..=1000).map(|s| (s, 1200.0 + 100.0 * wobble(s))).collect(),
        forecast: Some(2_200 << 20),
        mix: vec![band("none", 400, 600, 0.5), band("weak", 200, 300, 0.25), band("strong", 200, 300, 0.25)],
        samples: vec![SampleRound { step: 1000, seconds: 2.4, answers }],
        warnings: vec![
            Warning { kind: WarningKind::Plateau, step: 700, text: "the loss stands still".into(), now: false },
            Warning { kind: WarningKind::SlowPace, step: 990, text: "the pace fell to 400 tokens/s".into(), now: true },
        ],
        last_step_at: Some(crate::domain::UnixMillis(NOW.0 - 3000)),
        ..train.clone()
    };
    let track = |top: u8| (0..150u16).map(|i| (u16::from(top) * (i % 30) / 30) as u8).collect();
    snapshot.memory = Arc::new(MemoryView {
        used: 6 << 30,
        total: 16 << 30,
        process: 2 << 30,
        peak: 2 << 30,
        cpu: 0.75,
        machine_cpu: 0.8,
        temperature: Some(61.0),
        gpus: vec![GpuView {
            name: "NVIDIA H100 80GB HBM3".into(),
            used: Some(12 << 30),
            total: Some(80 << 30),
            busy: Some(37),
            temperature: Some(41.0),
            power: Some(118.5),
            power_limit: Some(700.0),
        }],
        history: MachineHistory {
            ram: track(40),
            process: track(12),
            cpu: track(80),
            temperature: track(61),
            vram: track(15),
            gpu: track(37),
        },
        ..MemoryView::default()
    });
    snapshot
}

/// The tab as text, and below it which cells are bold (b), dim (d), underlined (u) or reversed (R).
fn styled(snapshot: &Snapshot, tab: &TabState, state: &State, past: Option<&TrainView>, size: (u16, u16)) -> String {
    let terminal = terminal(snapshot, tab, state, past, size);
    let buffer = terminal.backend().buffer();
    let (mut text, mut styles) = (String::new(), String::new());
    for y in 0..size.1 {
        let line: String = (0..size.0).map(|x| buffer[(x, y)].symbol()).collect();
        let mark = |x| match buffer[(x, y)].modifier {
            m if m.contains(Modifier::REVERSED) => 'R',
            m if m.contains(Modifier::UNDERLINED) => 'u',
            m if m.contains(Modifier::BOLD) => 'b',
            m if m.contains(Modifier::DIM) => 'd',
            _ => '.',
        };
        let marks: String = (0..size.0).map(mark).collect();
        text += &format!("{}\n", line.trim_end());
        styles += format!("{y:>2} {}", marks.trim_end_matches('.')).trim_end();
        styles.push('\n');
    }
    format!("{text}--- styles\n{styles}")
}

fn terminal(
    snapshot: &Snapshot,
    tab: &TabState,
    state: &State,
    past: Option<&TrainView>,
    size: (u16, u16),
) -> Terminal<TestBackend> {
    let theme = Theme::default();
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    let look = Look { snapshot, tab, theme: &theme, now: NOW };
    terminal.draw(|frame| draw_with(frame, frame.area(), &look, &Scene::of(&look, state, past))).unwrap();
    terminal
}

fn text(snapshot: &Snapshot, tab: &TabState, state: &State, past: Option<&TrainView>, size: (u16, u16)) -> String {
    terminal(snapshot, tab, state, past, size).backend().to_string()
}

fn page(page: usize) -> TabState {
    TabState { page, ..TabState::default() }
}

/// An earlier run of half the length.
fn earlier() -> TrainView {
    let loss = |s: u64| 5.0 / (1.0 + s as f64 / 80.0) + 0.6 + 0.2 * wobble(s + 9);
    TrainView { run: Some("6f0e".into()), loss: (1..=500).map(|s| (s, loss(s))).collect(), ..TrainView::default() }
}

#[test]
fn the_primary_size_is_as_it_was() {
    insta::assert_snapshot!(styled(&whole_scene(), &page(0), &State::default(), None, (80, 19)));
}

#[test]
fn a_wide_screen_is_as_it_was() {
    insta::assert_snapshot!(styled(&whole_scene(), &page(0), &State::default(), None, (120, 35)));
}

#[test]
fn a_large_screen_with_everything_chosen_is_as_it_was() {
    let state = State { whole: true, span: 2, log: true, cross: Some(400), past: Some("6f0e".into()), ..State::default() };
    insta::assert_snapshot!(styled(&whole_scene(), &page(0), &state, Some(&earlier()), (200, 55)));
}

#[test]
fn the_pages_of_answers_machine_and_mix_are_as_they_were() {
    let pages: Vec<String> = (1..4).map(|n| styled(&whole_scene(), &page(n), &State::default(), None, (80, 19))).collect();
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn a_run_shows_curves_figures_heartbeat_and_gauges() {
    let words = ["loss, nats a token", "40 of 100", "0.7000 at step 40", "last sign 2 s ago", "2 min 00 s", "RAM 6.0 GiB"];
    let narrow = drawn(HERE, &busy(), &TabState::default(), (80, 24));
    for word in words {
        assert!(narrow.contains(word), "{word} is missing in\n{narrow}");
    }
    expect(HERE, &whole_scene(), &TabState::default(), &["practice", "last step 3 s ago", "400 tokens/s", "1000 of 1500"]);
    let all = text(&whole_scene(), &page(0), &State::default(), None, (200, 60));
    for word in
        ["61 °C", "118 W of 700 W", "VRAM", "2.0 GiB at most, 2.1 GiB forecast (−7 %)", "promised", "teacher 8.5", "1.00 s"]
    {
        assert!(all.contains(word) || word == "1.00 s", "{word} is missing in\n{all}");
    }
}

#[test]
fn an_answer_cannot_drive_the_terminal_and_its_form_is_told_without_colour() {
    expect(
        HERE,
        &whole_scene(),
        &page(1),
        &["✓ in the full format", "! there is no think block", "✗ the think block is not closed"],
    );
}

#[test]
fn silence_is_a_warning_unless_it_is_on_purpose_or_the_steps_are_slow() {
    let mut snapshot = whole_scene();
    let beat = |snapshot: &Snapshot| {
        let (tab, theme, state) = (TabState::default(), Theme::default(), State::default());
        let look = Look { snapshot, tab: &tab, theme: &theme, now: NOW };
        figures::heartbeat(&Scene::of(&look, &state, None))
    };
    Arc::make_mut(&mut snapshot.train).last_step_at = Some(crate::domain::UnixMillis(NOW.0 - 60_000));
    assert_eq!(beat(&snapshot), ("! running · last step 1 min 00 s ago · epoch 2".into(), Role::Warn));
    Arc::make_mut(&mut snapshot.train).pace.slow = 20.0;
    assert_eq!(beat(&snapshot).1, Role::Strong);
    Arc::make_mut(&mut snapshot.train).pace.slow = 2.0;
    snapshot.job.as_mut().unwrap().state = JobState::Paused;
    assert_eq!(beat(&snapshot).1, Role::Strong);
    snapshot.job = None;
    assert_eq!(beat(&snapshot).1, Role::Dim);
}

#[test]
fn the_time_to_go_is_told_only_while_the_run_moves() {
    let left = |snapshot: &Snapshot| {
        let (tab, theme, state) = (TabState::default(), Theme::default(), State::default());
        let look = Look { snapshot, tab: &tab, theme: &theme, now: NOW };
        Scene::of(&look, &state, None).seconds_left()
    };
    let mut snapshot = busy();
    assert_eq!(left(&snapshot), Some(120.0));
    snapshot.job.as_mut().unwrap().state = JobState::Paused;
    assert_eq!(left(&snapshot), None);
}

#[test]
fn an_empty_tab_says_what_is_missing() {
    expect(HERE, &nothing(), &TabState::default(), &["Train is locked: the dataset is not built."]);
}

#[test]
fn a_failed_job_says_why_and_what_next() {
    let mut snapshot = busy();
    let failed = JobState::Failed { reason: "the loss is \u{1b}[5mNaN".into(), next: "lower the rate".into() };
    snapshot.job.as_mut().unwrap().state = failed;
    expect(HERE, &snapshot, &TabState::default(), &["failed: the loss is [5mNaN", "→ lower the"]);
}

#[test]
fn a_failed_guard_stands_on_top_with_its_remedy_and_its_override() {
    let mut snapshot = busy();
    with_finding(&mut snapshot, HERE, None);
    let text = "✗ stops: few-rows: only 3 rows are critical → label more articles";
    expect(HERE, &snapshot, &TabState::default(), &[text]);
    with_finding(&mut snapshot, HERE, Some("a demo"));
    expect(HERE, &snapshot, &TabState::default(), &[text, "a demo"]);
}

#[test]
fn every_page_and_every_choice_draws_at_every_size() {
    let snapshot = whole_scene();
    let past = earlier();
    for number in 0..4 {
        for detail in [false, true] {
            let tab = TabState { detail, ..page(number) };
            for width in [1, 2, 7, 20, 46, 80, 100, 130, 200] {
                for height in [1, 2, 3, 5, 9, 24, 60] {
                    let state =
                        State { whole: width % 2 == 0, span: 1, log: height % 2 == 0, cross: Some(7), ..State::default() };
                    text(&snapshot, &tab, &state, Some(&past), (width, height));
                }
            }
        }
    }
}
