//! Tests of the Validate tab: every page at three sizes, hostile texts, choosing and comparing runs, evaluating something else.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::domain::{Finding, PairKey, UnixMillis};
use crate::engine::{
    BaselineFigure, Bin, Command, ComparisonView, Errand, EvaluationRequest, Outcome, PartDifference, PredictorChoice,
    RowsChoice, RunComparison, RunSummary, Snapshot,
};
use crate::tui::app::App;
use crate::tui::charts::fixture::{nothing, with_finding};
use crate::tui::msg::{Effect, Msg};
use crate::tui::tabs::TabState;
use crate::tui::testing::{NOW, SIZES, Stage};
use crate::tui::theme::Theme;

const HERE: Phase = Phase::Validate;
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}Tender \u{200b}日本語";

fn id(name: &str) -> Digest {
    Digest::of(name)
}

fn run(name: &str, mae: f64) -> StoredRun {
    let summary = RunSummary {
        predictor: name.into(),
        rows: "held-out".into(),
        runtime: "stratos f32 cpu".into(),
        n: 118,
        parse_failures: 2,
        mae: Some(mae),
        mae_interval: Some((mae - 0.2, mae + 0.2)),
        spearman: Some(0.61),
        skill: None,
        opening: None,
    };
    StoredRun { id: id(name), at: UnixMillis(NOW.0 - 180_000), summary }
}

fn figure(name: &str, value: &str, n: usize, wins: bool) -> FigureLine {
    let baseline = |name: &str, value: &str, wins| BaselineFigure { name: name.into(), value: value.into(), wins };
    FigureLine {
        name: name.into(),
        value: value.into(),
        interval: Some((0.7, 0.92)),
        n,
        weak: n < 30,
        baselines: vec![baseline("constant", "2.100", false), baseline("profile median", "1.900", false), baseline("lexical", "0.700", wins)],
    }
}

fn part(by: &str, name: &str, mae: f64, n: usize) -> PartLine {
    let seen = (by == "profile").then_some(name != "oman_nurse");
    PartLine { by: by.into(), name: name.into(), seen, n, failures: usize::from(n < 30), mae: Some(mae), interval: Some((mae - 0.1, mae + 0.3)), weak: n < 30 }
}

fn far_off(article: &str, title: &str, predicted: Option<f64>) -> WorstLine {
    WorstLine {
        pair: PairKey { article: article.parse().expect("id"), profile: "kuwait_cpeg".parse().expect("id") },
        title: title.into(),
        band: "Critical".into(),
        truth: 8.5,
        source: "rehearsal-prism-1".into(),
        predicted,
        error: 8.5 - predicted.unwrap_or(0.0),
        output: format!("<think>\nPROFILE: {HOSTILE}\nMATCH: none\n</think>\nSCORE: 2.0"),
        defect: predicted.is_none().then(|| format!("no score {HOSTILE}")),
    }
}

fn evaluation(name: &str) -> EvaluationView {
    let bin = |from: f64, truth: f64, n| Bin { from, to: from + 1.0, n, predicted: from + 0.5, truth, interval: (n > 1).then_some((truth - 0.5, truth + 0.5)) };
    let check = |passed: bool| SanityRow {
        article: HOSTILE.into(),
        profile: "kuwait_cpeg".into(),
        expected: "≥ 7".into(),
        teacher: Some(8.5),
        student: passed.then_some(8.0),
        passed,
    };
    EvaluationView {
        id: id(name),
        predictor: name.into(),
        rows: "held-out".into(),
        runtime: "stratos f32 cpu".into(),
        n: 118,
        remarks: vec!["these rows also chose the checkpoint: its figures flatter it".into()],
        table: vec![figure("MAE", "0.810", 118, true), figure("Spearman ρ", "0.610", 118, false), figure("contrast ordered", "0.500", 12, false)],
        parts: vec![part("band", "Noise", 0.5, 90), part("band", "Critical", 2.5, 12), part("reader", "unseen", 1.2, 40), part("profile", "oman_nurse", 1.5, 60), part("profile", HOSTILE, 0.5, 58)],
        scale: (0.0, 10.0),
        bins: vec![bin(0.0, 0.8, 60), bin(3.0, 2.0, 30), bin(6.0, 8.0, 25), bin(9.0, 9.0, 1)],
        ece: Some(0.421),
        calibrator: Some("isotonic on 116 rows: MAE 0.810 → 0.790 out of sample; dropped".into()),
        bands: vec!["Noise".into(), "Moderate".into(), "Critical".into()],
        confusion: vec![vec![80, 8, 1, 1], vec![4, 10, 2, 0], vec![1, 2, 8, 1]],
        worst: vec![far_off("a-1", HOSTILE, Some(2.0)), far_off("a-2", "Nurse fair", None)],
        sanity: vec![check(true), check(false)],
        think: vec!["38 of 40 name the reader's role".into(), HOSTILE.into()],
        verdict: "better than every baseline".into(),
        verdict_lines: vec!["mae 0.810: success (failure > 4, success < 2.5)".into()],
        findings: vec![Finding::fail("E4", "12 rows are few", "Evaluate on more rows.")],
        has_rows: true,
    }
}

fn comparison() -> ComparisonView {
    let label = |name: &str| serde_json::json!({"digest": id(name), "predictor": name, "runtime": "stratos f32 cpu", "row_set": "held-out", "n": 118});
    let text = serde_json::json!({
        "first": label("student"),
        "others": [{
            "run": label("constant"), "common": 118, "only_first": 0, "only_other": 0, "other_truth": 0, "across_runtimes": false,
            "paired": {
                "n": 118, "articles": 30, "clusters": 28, "failures_a": 0, "failures_b": 0,
                "differences": [{"metric": "mae", "a": 0.81, "b": 2.1, "difference": 1.29, "interval": [0.9, 1.6], "p": 0.001, "p_corrected": 0.005, "outcome": "worse"}],
                "sides": {"only_a": 30, "only_b": 2, "p": 0.001},
                "nearer": {"a": 90, "b": 20, "ties": 8, "delta": -0.6}
            },
            "outcome": "worse", "mixed": false,
            "changed": [{"name": "predictor", "first": "student", "other": HOSTILE}],
            "disagreements": [], "findings": []
        }],
        "tests": 5
    });
    let comparison: RunComparison = serde_json::from_value(text).expect("a comparison");
    let part = |by, name: &str, difference, outcome| PartDifference { by, name: name.into(), n: 40, difference, interval: Some((difference - 0.2, difference + 0.2)), outcome };
    let parts = vec![
        part("band", "Noise", -0.5, Outcome::Better),
        part("band", "Critical", 3.1, Outcome::Worse),
        part("reader", HOSTILE, 0.1, Outcome::CannotTell),
    ];
    ComparisonView { comparison, parts }
}

fn answers() -> Vec<(Query, Answer)> {
    let mut answers = vec![(Query::Evaluations, Answer::Evaluations(Arc::new(vec![run("student", 0.81), run("constant", 2.1), run(HOSTILE, 1.4)])))];
    answers.extend(["student", "constant"].map(|name| (Query::Evaluation(id(name)), Answer::Evaluation(Arc::new(evaluation(name))))));
    let query = Query::EvaluationsCompared { first: id("student"), other: id("constant"), across: false };
    answers.push((query, Answer::EvaluationsCompared(Arc::new(comparison()))));
    answers
}

fn stage(tab: &TabState) -> Stage {
    answers().into_iter().fold(Stage::of(&Snapshot::default(), tab), |stage, (query, answer)| stage.answered(&query, answer))
}

fn page(page: usize) -> TabState {
    TabState { page, ..TabState::default() }
}

fn compared_stage() -> Stage {
    let mut stage = stage(&page(RUNS));
    stage.own.validate.marks = vec![id("student"), id("constant")];
    stage.own.validate.comparing = true;
    stage
}

#[test]
fn every_page_at_three_sizes() {
    for (at, name) in TAB.pages.iter().enumerate() {
        for size in SIZES {
            insta::assert_snapshot!(format!("validate_{name}_{}x{}", size.0, size.1), stage(&page(at)).styled(HERE, size));
        }
    }
}

#[test]
fn a_comparison_at_three_sizes() {
    let mut stage = compared_stage();
    stage.tab.detail = true;
    for size in SIZES {
        insta::assert_snapshot!(format!("validate_comparison_{}x{}", size.0, size.1), stage.styled(HERE, size));
    }
}

fn says(tab: &TabState, words: &[&str]) {
    for size in [(120, 40), (200, 60)] {
        let text = stage(tab).text(HERE, size);
        for word in words {
            assert!(text.contains(word), "{word} at {size:?}:\n{text}");
        }
    }
}

#[test]
fn no_figure_stands_without_its_interval_and_its_rows_and_a_baseline_that_wins_is_marked() {
    says(&page(METRICS), &["0.810", "0.700 … 0.920", "118", "▲0.700", "!12", "better than every baseline", "flatter it", "E4: 12 rows"]);
    says(&page(READERS), &["1.50", "1.400 … 1.800", "oman_nurse (unseen)", "!12", "█"]);
    says(&page(CALIBRATION), &["0.421", "116 readable", "7.500 … 8.500", "dropped"]);
    says(&page(BANDS), &["=89 %", "!8 %", "unreadable", "!12"]);
    says(&page(WORST), &["-6.5", "model 2.0", "truth 8.5 of rehearsal-prism-1", "SCORE: 2.0"]);
    says(&page(SANITY), &["1 of 2 passed", "✓ ", "✗ ", "≥ 7"]);
    says(&page(RUNS), &["constant", "1.900 … 2.300", "3 min"]);
}

#[test]
fn an_unreadable_answer_says_why_and_is_charged() {
    says(&TabState { selected: 1, ..page(WORST) }, &["×8.5", "✗ no score", "model —"]);
}

#[test]
fn a_comparison_says_better_worse_or_cannot_tell_with_its_interval() {
    let mut stage = compared_stage();
    stage.tab.detail = true;
    let text = stage.text(HERE, (200, 60));
    for word in ["B is ▼ worse", "0.900 … 1.600", "+1.290", "▲ better", "? cannot tell", "predictor: student →", "118 common rows", "5 tests"] {
        assert!(text.contains(word), "{word}:\n{text}");
    }
}

#[test]
fn nothing_is_drawn_that_could_move_the_cursor_and_no_size_panics() {
    let mut stages: Vec<Stage> = (0..TAB.pages.len()).flat_map(|at| [false, true].map(|detail| stage(&TabState { detail, ..page(at) }))).collect();
    stages.push(compared_stage());
    stages.push(Stage { theme: Theme::default().in_ascii(true), ..stage(&page(CALIBRATION)) });
    for stage in &mut stages {
        for part in [Part::Student, Part::Teacher, Part::Article] {
            stage.own.validate.part = part;
            for size in SIZES {
                let text = stage.text(HERE, size);
                assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text}");
            }
            for size in [(1, 1), (2, 2), (3, 3), (5, 1), (1, 9), (7, 5), (13, 7), (40, 4), (79, 9), (99, 12), (101, 3), (300, 6)] {
                stage.text(HERE, size);
            }
        }
    }
}

#[test]
fn stored_runs_are_shown_though_the_phase_is_locked() {
    let mut snapshot = nothing();
    with_finding(&mut snapshot, HERE, Some("a demo"));
    let empty = Stage::of(&snapshot, &page(METRICS)).answered(&Query::Evaluations, Answer::Evaluations(Arc::default()));
    let text = empty.text(HERE, (80, 24));
    assert!(text.contains("Validate is locked") && text.contains("overridden: a demo"), "{text}");
    let full = answers().into_iter().fold(Stage::of(&snapshot, &page(METRICS)), |s, (q, a)| s.answered(&q, a));
    assert!(full.text(HERE, (80, 24)).contains("student on held-out"));
}

#[test]
fn a_filter_counts_what_it_shows_on_every_page() {
    let counts: Vec<usize> = (0..TAB.pages.len()).map(|p| stage(&TabState { filter: "nurse".into(), ..page(p) }).rows(HERE)).collect();
    assert_eq!(counts, [0, 1, 4, 0, 1, 0, 0, 0]);
    assert_eq!(stage(&TabState { filter: "const".into(), ..page(RUNS) }).rows(HERE), 1);
}

#[test]
fn a_record_without_rows_says_so_where_rows_are_needed() {
    let view = EvaluationView { has_rows: false, ..evaluation("student") };
    let stage = stage(&page(BANDS)).answered(&Query::Evaluation(id("student")), Answer::Evaluation(Arc::new(view)));
    assert!(stage.text(HERE, (80, 24)).contains("older version"));
}

// The flow of an operator.

fn app() -> App {
    let mut app = App::new(Arc::new(Snapshot::default()), Theme::default());
    press(&mut app, "6");
    answer(&mut app);
    app
}

fn answer(app: &mut App) {
    for _ in 0..3 {
        for (query, answer) in answers() {
            app.update(Msg::Answered((query, Some(Ok(answer)))));
        }
        app.update(Msg::Resize);
    }
}

fn press(app: &mut App, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|c| tap(app, KeyCode::Char(c))).collect()
}

fn tap(app: &mut App, code: KeyCode) -> Vec<Effect> {
    app.update(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn sent(effects: &[Effect]) -> Vec<&Command> {
    effects.iter().filter_map(|e| if let Effect::Send(command) = e { Some(command) } else { None }).collect()
}

#[test]
fn two_marked_runs_are_compared_and_the_chosen_one_is_shown_on_every_page() {
    let mut app = app();
    press(&mut app, "[");
    assert_eq!(app.tab().page, RUNS);
    press(&mut app, "mjm");
    assert_eq!(app.own().validate.marks, [id("student"), id("constant")]);
    let effects = press(&mut app, "C");
    let asked = Query::EvaluationsCompared { first: id("student"), other: id("constant"), across: false };
    assert!(format!("{effects:?}").contains("EvaluationsCompared"), "{effects:?}");
    assert_eq!(compared(&app.look()), Some(asked));
    press(&mut app, "v");
    assert_eq!((app.tab().page, shown(&app.look())), (METRICS, Some(id("constant"))));
}

#[test]
fn a_report_is_asked_for_by_the_run_that_is_shown() {
    let mut app = app();
    let effects = press(&mut app, "w");
    assert_eq!(sent(&effects), [&Command::WriteReport { run: id("student").to_string(), to: None }]);
}

#[test]
fn another_evaluation_is_asked_for_in_a_form_and_the_seal_wants_a_reason() {
    let mut app = app();
    press(&mut app, "e");
    tap(&mut app, KeyCode::Left);
    tap(&mut app, KeyCode::Tab);
    tap(&mut app, KeyCode::Left);
    assert!(sent(&tap(&mut app, KeyCode::Enter)).is_empty(), "no reason was given");
    tap(&mut app, KeyCode::Up);
    tap(&mut app, KeyCode::Up);
    press(&mut app, "the last word");
    for _ in 0..3 {
        tap(&mut app, KeyCode::Tab);
    }
    press(&mut app, "x");
    assert!(sent(&tap(&mut app, KeyCode::Enter)).is_empty(), "'x' is no number");
    tap(&mut app, KeyCode::Backspace);
    press(&mut app, "20");
    let effects = tap(&mut app, KeyCode::Enter);
    let request = EvaluationRequest {
        predictor: PredictorChoice::Baseline("lexical".into()),
        rows: RowsChoice::Sealed,
        limit: Some(20),
        why: Some("the last word".into()),
        ..EvaluationRequest::default()
    };
    assert_eq!(sent(&effects), [&Command::Errand { errand: Errand::Evaluate { request } }]);
}

#[test]
fn the_table_is_copied_with_its_intervals() {
    let mut app = app();
    let effects = press(&mut app, "c");
    assert!(matches!(&effects[..], [Effect::Copy(text)] if text.contains("MAE\t0.810\t0.700 … 0.920\t118")), "{effects:?}");
}
