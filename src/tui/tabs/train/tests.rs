//! The Train tab, drawn.

use std::sync::Arc;

use super::*;
use crate::engine::{
    BandDraw, Command, GpuView, JobState, MachineHistory, MemoryView, SampleRound, SampleView, Snapshot, Warning, WarningKind,
};
use crate::tui::charts::fixture::{NOW, busy, drawn, expect, nothing, with_finding};
use crate::tui::app::App;
use crate::tui::msg::Effect;
use crate::tui::tabs::TabState;
use crate::tui::theme::Theme;
use crate::tui::testing::{SIZES, Stage};

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
    let answer = |id: &str, score: Option<f64>, defect: Option<&str>, text: &str| SampleView {
        id: id.into(),
        text: text.into(),
        tokens: 120,
        cut: defect.is_some() && score.is_none(),
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

/// The tab on its stage, an earlier run beside it if there is one.
fn stage(snapshot: &Snapshot, tab: &TabState, state: State, past: Option<TrainView>) -> Stage {
    let run = |run: &str, step, student: &str| RunLine {
        run: run.into(),
        last: crate::domain::UnixMillis(NOW.0 - 7_200_000),
        step,
        total_steps: 1500,
        loss: Some(0.7586),
        eval_loss: Some(0.7),
        parameters: 1_250_000,
        student: student.into(),
        recipe: "v19".into(),
    };
    let runs = vec![run("run-7", 1000, "seedling"), run("6f0e", 500, "seed\u{1b}[2Jling")];
    let mut set = Stage { now: NOW, ..Stage::of(snapshot, tab) }.answered(&Query::Runs, Answer::Runs(Arc::new(runs)));
    if let Some(past) = past {
        set = set.answered(&Query::Run("6f0e".into()), Answer::Run(Arc::new(past)));
    }
    set.own.train = state;
    set
}

fn beside() -> State {
    State { past: Some("6f0e".into()), ..State::default() }
}

fn page(page: usize) -> TabState {
    TabState { page, ..TabState::default() }
}

/// An earlier run of half the length.
fn other() -> TrainView {
    let loss = |s: u64| 5.0 / (1.0 + s as f64 / 80.0) + 0.6 + 0.2 * wobble(s + 9);
    TrainView { run: Some("6f0e".into()), loss: (1..=500).map(|s| (s, loss(s))).collect(), ..TrainView::default() }
}

#[test]
fn the_curves_with_everything_beside_them_at_three_sizes() {
    for size in SIZES {
        let text = stage(&whole_scene(), &page(0), State::default(), None).styled(HERE, size);
        insta::assert_snapshot!(format!("train_{}x{}", size.0, size.1), text);
    }
}

#[test]
fn everything_that_can_be_chosen_is_as_it_was() {
    let state = State { whole: true, span: 2, log: true, cross: Some(400), ..beside() };
    insta::assert_snapshot!(stage(&whole_scene(), &page(0), state, Some(other())).styled(HERE, (200, 60)));
}

#[test]
fn the_other_pages_are_as_they_were() {
    let pages: Vec<String> =
        (1..5).map(|n| stage(&whole_scene(), &page(n), beside(), None).styled(HERE, (80, 24))).collect();
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn a_run_shows_curves_figures_heartbeat_and_gauges() {
    let words = ["loss, nats a token", "40 of 100", "0.7000 at step 40", "last sign 2 s ago", "2 min 00 s", "RAM 6.0/16.0 GiB"];
    let narrow = drawn(HERE, &busy(), &TabState::default(), (80, 24));
    for word in words {
        assert!(narrow.contains(word), "{word} is missing in\n{narrow}");
    }
    expect(HERE, &whole_scene(), &TabState::default(), &["practice", "last step 3 s ago", "400 tokens/s", "1000 of 1500"]);
    let all = stage(&whole_scene(), &page(0), State::default(), None).text(HERE, (200, 60));
    for word in
        ["61 °C", "118 W of 700 W", "VRAM", "2.0 GiB at most, 2.1 GiB forecast (−7 %)", "promised", "teacher 8.5", "1.00 s"]
    {
        assert!(all.contains(word) || word == "1.00 s", "{word} is missing in\n{all}");
    }
}

#[test]
fn charts_and_gauges_have_letters_where_nothing_else_can_be_shown() {
    let mut plain = stage(&whole_scene(), &page(0), State::default(), None);
    plain.theme = Theme::default().in_ascii(true);
    let text = plain.text(HERE, (120, 40));
    assert!(!text.chars().any(|c| ('\u{2800}'..='\u{28ff}').contains(&c) || "█░▁▇┤•".contains(c)), "{text}");
    assert!(text.contains("* train, mean of 10 . as it came") && text.contains("##."), "{text}");
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
        let stage = stage(snapshot, &page(0), State::default(), None);
        figures::heartbeat(&Scene::of(&stage.look(), &stage.own.train, None))
    };
    Arc::make_mut(&mut snapshot.train).last_step_at = Some(crate::domain::UnixMillis(NOW.0 - 60_000));
    assert_eq!(beat(&snapshot), ("! running · last step 1 min 00 s ago · epoch 2".into(), Role::Warn));
    Arc::make_mut(&mut snapshot.train).pace.slow = 20.0;
    assert_eq!(beat(&snapshot).1, Role::Strong);
    Arc::make_mut(&mut snapshot.train).pace.slow = 2.0;
    snapshot.job.as_mut().unwrap().state = JobState::Paused;
    assert_eq!(beat(&snapshot), ("paused after step 1000 · epoch 2".into(), Role::Strong));
    snapshot.job = None;
    assert_eq!(beat(&snapshot).1, Role::Dim);
}

#[test]
fn the_time_to_go_is_told_only_while_the_run_moves() {
    let left = |snapshot: &Snapshot| {
        let stage = stage(snapshot, &page(0), State::default(), None);
        Scene::of(&stage.look(), &stage.own.train, None).seconds_left()
    };
    let mut snapshot = busy();
    assert_eq!(left(&snapshot), Some(120.0));
    snapshot.job.as_mut().unwrap().started = NOW;
    assert_eq!(left(&snapshot), None, "the curves are of the run before");
    let before = stage(&snapshot, &page(0), State::default(), None).text(HERE, (120, 40));
    assert!(before.contains("run-7, the one before"), "{before}");
    let mut snapshot = busy();
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
    for number in 0..5 {
        for detail in [false, true] {
            let tab = TabState { detail, ..page(number) };
            let mut stage = stage(&whole_scene(), &tab, beside(), Some(other()));
            for width in [1, 2, 7, 20, 46, 80, 100, 130, 200] {
                for height in [1, 2, 3, 5, 9, 24, 60] {
                    let train = &mut stage.own.train;
                    (train.whole, train.log) = (width % 2 == 0, height % 2 == 0);
                    (train.span, train.cross) = (usize::from(height % 3), Some(u64::from(width)));
                    stage.text(HERE, (width, height));
                }
            }
        }
    }
}

#[test]
fn keys_choose_the_window_the_mean_the_chart_the_step_and_the_run_beside() {
    let mut app = App::new(Arc::new(whole_scene()), Theme::default());
    app.show_tab(HERE.index());
    let press = |app: &mut App, id: &str| {
        let action = crate::tui::actions::by_id(id).expect(id);
        assert_eq!(action.ready(app), Ok(()), "{id}");
        (action.act)(app)
    };
    for id in ["window", "mean", "chart", "log-scale", "cross-left", "cross-left"] {
        assert!(press(&mut app, id).is_empty());
    }
    let state = &app.own().train;
    assert_eq!((state.whole, state.span(), state.large, state.log), (true, Some(50.0), state::Which::Rate, true));
    assert!(state.cross.is_some_and(|step| step < 1000));
    press(&mut app, "cross-off");
    assert_eq!(app.own().train.cross, None);
    assert_eq!(press(&mut app, "checkpoint"), [Effect::Send(Command::Checkpoint)]);
    let none = crate::tui::actions::by_id("beside").expect("there").ready(&app);
    assert_eq!(none, Err("this workspace has no other run".into()));
}

#[test]
fn a_checkpoint_is_asked_for_only_while_a_training_goes_on() {
    let ready = |snapshot: Snapshot| {
        let mut app = App::new(Arc::new(snapshot), Theme::default());
        app.show_tab(HERE.index());
        crate::tui::actions::by_id("checkpoint").expect("there").ready(&app)
    };
    let mut snapshot = whole_scene();
    snapshot.job.as_mut().unwrap().state = JobState::Paused;
    assert_eq!(ready(snapshot.clone()), Ok(()));
    snapshot.job.as_mut().unwrap().state = JobState::Stopping;
    assert!(ready(snapshot.clone()).is_err());
    snapshot.job = None;
    assert!(ready(snapshot).is_err());
}
