//! A small snapshot to draw in tests, and the drawing of it.

use std::sync::Arc;

use crate::domain::{ArticleId, Digest, Finding, PairKey, Phase, PhaseState, ProfileId, UnixMillis};
use crate::engine::{
    DeployView, DriftLevel, DriftView, FindingView, JobState, JobView, MemoryView, MetricRow, Pace, Parity, PhaseView,
    PredictionView, ReleaseView, SanityRow, Snapshot, TrainView, ValidateView,
};
use crate::tui::tabs::TabState;
use crate::tui::testing::Stage;

pub const NOW: UnixMillis = UnixMillis(1_750_000_002_000);

fn pair() -> PairKey {
    PairKey { article: ArticleId::new("a-1").unwrap(), profile: ProfileId::new("kuwait_cpeg").unwrap() }
}

/// Nothing done yet: the first phase may run, the others are locked.
pub fn nothing() -> Snapshot {
    let phases = Phase::ALL.map(|phase| PhaseView {
        phase,
        state: PhaseState::Locked("the dataset is not built".into()),
        headline: String::new(),
    });
    Snapshot { phases: phases.to_vec(), ..Snapshot::default() }
}

fn validated() -> ValidateView {
    let metric = |name: &str, weak| MetricRow {
        name: name.into(),
        model: "0.81".into(),
        interval: "0.70–0.92".into(),
        n: if weak { 3 } else { 40 },
        weak,
        baselines: vec![
            ("constant".into(), "2.10".into()),
            ("profile median".into(), "1.90".into()),
            ("lexical".into(), "1.40".into()),
        ],
    };
    let sanity = |passed: bool| SanityRow {
        article: "Tender for pumps".into(),
        profile: "kuwait_cpeg".into(),
        expected: "≥ 7".into(),
        teacher: Some(8.5),
        student: passed.then_some(8.0),
        passed,
    };
    ValidateView {
        subject: Some("run-7 step 40 on 40 rows".into()),
        table: vec![metric("MAE", false), metric("MAE of critical", true)],
        sanity: vec![sanity(true), sanity(false)],
        think: vec!["38 of 40 name the reader's role".into()],
        verdict: "better than every baseline".into(),
        verdict_lines: vec!["MAE 0.81 against 1.40".into()],
        worst: vec![PredictionView {
            pair: pair(),
            title: "Tender \u{1b}[2Jfor pumps".into(),
            truth: 8.5,
            predicted: Some(2.0),
            output: "<think>\u{1b}]0;owned\u{7}PROFILE: x</think>\nSCORE: 2.0".into(),
        }],
        by_profile: vec![("kuwait_cpeg".into(), 20, 0.5), ("oman_nurse".into(), 20, 1.5)],
    }
}

/// A run in the middle of everything, with hostile outputs.
pub fn busy() -> Snapshot {
    let mut snapshot = nothing();
    for view in &mut snapshot.phases {
        view.state = PhaseState::Done;
    }
    snapshot.job = Some(JobView {
        id: 1,
        phase: Phase::Train,
        state: JobState::Running,
        done: 40,
        total: 100,
        unit: "steps".into(),
        message: "epoch 2".into(),
        started: UnixMillis(NOW.0 - 90_000),
        heartbeat: UnixMillis(NOW.0 - 2_000),
        then: Vec::new(),
    });
    snapshot.memory =
        Arc::new(MemoryView { used: 6 << 30, total: 16 << 30, process: 2 << 30, cpu: 0.75, ..MemoryView::default() });
    snapshot.train = Arc::new(TrainView {
        run: Some("run-7".into()),
        parameters: 1_250_000,
        total_steps: 100,
        loss: (1..=40).map(|step| (step, 4.0 / step as f64)).collect(),
        eval_loss: [(20, 0.9), (40, 0.7)].into_iter().collect(),
        lr: (1..=40).map(|step| (step, 3e-4)).collect(),
        grad_norm: (1..=40).map(|step| (step, 1.25)).collect(),
        tokens_per_second: (1..=40).map(|step| (step, 1234.0)).collect(),
        epoch: 2,
        resumed_from: Some(20),
        best: Some((40, 0.7)),
        checkpoints: vec![20, 40],
        checkpoints_written: 2,
        since: Some(UnixMillis(NOW.0 - 80_000)),
        pace: Pace { steps: 20, fast: 2.0, slow: 2.0, aside: 0.0 },
        ..TrainView::default()
    });
    snapshot.validate = Arc::new(validated());
    let release = |name: &str, live, gate| ReleaseView {
        name: name.into(),
        created: NOW,
        model: "abc123".into(),
        runtime: "candle".into(),
        verdict: "better than every baseline".into(),
        path: "releases/x".into(),
        live,
        forms: vec![("merged".into(), 538_000_000), ("q8_0".into(), 150_200_000)],
        gate: Some(gate),
    };
    snapshot.deploy = Arc::new(DeployView {
        releases: vec![release("r2", true, parity(0)), release("r1", false, parity(3))],
        served: Some("r2 · model abc123 · candle".into()),
        back: Some("r1".into()),
        clearable: Vec::new(),
        keep: 3,
        last_score: vec!["SCORE: 8.5 | REASON: \u{1b}[5ma tender".into(), "in 1.2 s".into()],
        drift: Some(DriftView { level: DriftLevel::Watch, n: 212, line: "parse failures 3.8 % of 212, evaluation 0.8 %".into() }),
    });
    snapshot
}

/// A gate whose 8-bit form reads so many prompts otherwise.
fn parity(other_prompts: usize) -> Parity {
    let figures = |stage: &str, standing: &str, mae: f64| {
        serde_json::json!({
            "stage": stage, "standing": standing, "runtime": {"engine": "stratos", "precision": "f32", "device": "cpu"},
            "digest": null, "n": 24, "other_prompts": 0, "next": [0, 0], "delta": null, "unread": 1, "mae": mae,
            "mae_interval": [mae - 0.2, mae + 0.3], "rho": 0.71, "rho_interval": [0.52, 0.83], "rise": null,
            "rise_interval": null, "seconds": 31.2, "reasons": [],
        })
    };
    let mut lines =
        vec![figures("trained", "reference", 0.81), figures("trained", "passed", 0.84), figures("llama_cpp", "not_asked", 0.0)];
    lines[1]["stage"] = serde_json::json!({"form": "q8_0"});
    lines[1]["next"] = serde_json::json!([1391, 1402]);
    lines[1]["delta"] = serde_json::json!([0.04, 0.31, 23]);
    if other_prompts > 0 {
        lines[1]["standing"] = "failed".into();
        let why = format!("{other_prompts} of 24 prompts are read as other tokens than in training");
        lines[1]["reasons"] = serde_json::json!([["T11", why]]);
    }
    let absent = serde_json::json!({"n": 0, "runtime": null, "mae": null, "mae_interval": null, "rho": null, "rho_interval": null,
        "unread": 0, "seconds": 0.0, "reasons": [["", "deploy.llama_server names none"]]});
    for (key, value) in absent.as_object().into_iter().flatten() {
        lines[2][key] = value.clone();
    }
    let limits = serde_json::json!({"rows": 24, "min_greedy": 0.95, "max_score_delta": 0.5, "max_mae_rise": 0.25});
    let why = format!("q8_0: {other_prompts} of 24 prompts are read as other tokens than in training");
    let stops = if other_prompts > 0 { serde_json::json!([["T11", why]]) } else { serde_json::json!([]) };
    let table = serde_json::json!({"at": NOW, "rows": 24, "limits": limits, "lines": lines, "stops": stops});
    serde_json::from_value(table).expect("a parity table")
}

/// Adds a failed guard to a phase.
pub fn with_finding(snapshot: &mut Snapshot, phase: Phase, overridden: Option<&str>) {
    let finding = Finding::fail("few-rows", "only 3 rows are critical", "label more articles");
    let view =
        FindingView { phase, finding, stops: true, overridden: overridden.map(Into::into), subject: Digest::of("subject") };
    Arc::make_mut(&mut snapshot.findings).push(view);
}

/// The tab of `phase` as text.
pub fn drawn(phase: Phase, snapshot: &Snapshot, tab: &TabState, size: (u16, u16)) -> String {
    Stage { now: NOW, ..Stage::of(snapshot, tab) }.text(phase, size)
}

/// Draws at every size that matters; panics if a word is missing at 80×24 or 120×40, or if a control character is drawn.
pub fn expect(phase: Phase, snapshot: &Snapshot, tab: &TabState, words: &[&str]) {
    for size in [(80, 24), (120, 40)] {
        let text = drawn(phase, snapshot, tab, size);
        for word in words {
            assert!(text.contains(word), "'{word}' is missing at {size:?} in\n{text}");
        }
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "a control character is drawn:\n{text}");
    }
    for width in [1, 2, 3, 7, 30, 99, 100] {
        for height in [1, 2, 3, 5, 9] {
            drawn(phase, snapshot, tab, (width, height));
        }
    }
}
