//! Tests of the first four tabs on a small fixture: every page at three sizes, hostile titles, empty states. What the
//! Distill tab says in each state is tested beside it.

use std::sync::Arc;

use ratatui::style::Modifier;

use super::TabState;
use crate::domain::{Digest, Phase, PhaseState, Tokens, UnixMillis};
use crate::engine::{
    Basis, BatchView, DatasetView, DistillView, Estimate, ExampleView, FindingView, Forecast, Kind, MaskView, PhaseView,
    PlanView, Price, ProfileView, Receipt, ReceiptLine, RejectView, Sample, Snapshot,
};
use crate::guards::Finding;
pub(super) use crate::tui::testing::NOW;
use crate::tui::testing::Stage;

pub(super) fn usd(text: &str) -> crate::domain::Usd {
    text.parse().expect("amount")
}

pub(super) fn distill() -> DistillView {
    let forecast = Forecast {
        basis: Basis::Measured { answers: 40 },
        prompt_tokens: 1_234_567,
        output_tokens: 20_000,
        retry_share: 0.025,
        expected: usd("1.5"),
        p95: usd("1.9"),
    };
    let before = Forecast { basis: Basis::Assumed, expected: usd("1.2"), p95: usd("2.04"), ..forecast.clone() };
    let plan = PlanView {
        digest: Digest::of("plan"),
        kind: "traces".into(),
        scope: "every pair without an answer".into(),
        teacher: "openai".into(),
        model: "gpt-6-luna".into(),
        estimate: Estimate {
            pairs: 40,
            at_once: usd("3"),
            requests: 40,
            answered: 10,
            under_way: 0,
            given_up: 1,
            retries: 2,
            forecast,
            before: Some(before),
            whole: None,
            worst: usd("9"),
            chunks: 1,
            price: price(),
            remarks: vec!["the price of gpt-6-luna was last verified 80 days ago; look it up again".into()],
            samples: vec![Sample { pair: "a1 × texas_nurse".into(), text: "system: judge this".into() }],
        },
        approved: Some(usd("2")),
        suggested: usd("1.9"),
        spent: usd("0.4"),
    };
    DistillView {
        plan: Some(plan),
        batches: vec![BatchView {
            id: 7,
            plan: Digest::of("plan"),
            remote: "batch_abc".into(),
            state: "submitted".into(),
            note: String::new(),
            watched: Some(UnixMillis(NOW.0 - 20_000)),
            expires: Some(UnixMillis(NOW.0 + 86_220_000)),
            requests: 40,
            answered: 12,
            attempt: 1,
            created: UnixMillis(NOW.0 - 180_000),
            ended: None,
        }],
        kept: 30,
        pairs: 40,
        rejects: vec![("no score".into(), 3)],
        rejected: vec![RejectView {
            pair: "a1 × kuwait_cpeg".into(),
            attempt: 2,
            reason: "no score".into(),
            raw: "I cannot say\u{1b}[31m".into(),
        }],
        flagged: 4,
        receipt: Some(Receipt {
            lines: vec![ReceiptLine {
                plan: Digest::of("plan"),
                kind: Kind::Traces,
                provider: "openai".into(),
                model: "gpt-6-luna".into(),
                estimated: usd("1.5"),
                billed: usd("1.9"),
                perhaps: usd("0.01"),
                tokens: Tokens { cache_read: 5, ..Tokens::plain(9, 8) },
                answers: 44,
                kept: 30,
                rejected: 14,
                lost: 1,
                ceiling: Some(usd("2")),
            }],
            estimated: usd("1.5"),
            billed: usd("1.9"),
            perhaps: usd("0.01"),
            kept: 30,
            per_kept: Some(usd("0.00123")),
        }),
        key: "environment".into(),
    }
}

fn price() -> Price {
    serde_json::from_value(serde_json::json!({
        "provider": "openai", "model": "gpt-6-luna", "mode": "batch", "input": "0.05", "output": "0.25",
        "verified": "2026-09-01", "source": "a test"
    }))
    .expect("a price row")
}

fn dataset() -> DatasetView {
    DatasetView {
        digest: Some(Digest::of("data")),
        acknowledged: false,
        report: (0..60).map(|n| format!("report line {n}")).collect(),
        bands: vec![("high".into(), 10, 20, 3), ("low".into(), 40, 40, 6)],
        profiles: vec![("texas_nurse".into(), 25, 5)],
        examples: (0..500)
            .map(|n| ExampleView {
                id: format!("example-{n}"),
                held_out: n % 10 == 0,
                score: 7.0,
                band: "high".into(),
                tokens: 321,
                repeats: 2,
            })
            .collect(),
        order: vec![("example-3".into(), 7.0)],
        mask: Some(MaskView { example: "example-3".into(), tokens: vec![("prompt".into(), false), ("SCORE: 7".into(), true)] }),
        ..DatasetView::default()
    }
}

pub(super) fn fixture() -> Snapshot {
    let profile = serde_json::json!({"id": "texas_nurse", "description": "d", "role": "night nurse", "seniority": "mid",
        "location": "Houston, Texas", "context": "", "motivation": "career", "tracked": [], "interests": ["shifts"]});
    let profile = ProfileView {
        profile: serde_json::from_value(profile).expect("profile"),
        system_prompt: "You judge for a night nurse.".into(),
        prompt_words: 6,
        selected: true,
        remarks: vec!["tracks nobody".into()],
    };
    let finding = |overridden: Option<&str>| FindingView {
        phase: Phase::Articles,
        finding: Finding::fail("D07", "two near-duplicates", "Drop one of them."),
        stops: true,
        overridden: overridden.map(str::to_owned),
        subject: Digest::of("x"),
    };
    Snapshot {
        phases: Phase::ALL.map(|phase| PhaseView { phase, state: PhaseState::Done, headline: String::new() }).to_vec(),
        profiles: Arc::new(vec![profile]),
        distill: Arc::new(distill()),
        dataset: Arc::new(dataset()),
        findings: Arc::new(vec![finding(Some("looked at both"))]),
        ..Snapshot::default()
    }
}

pub(super) fn screen(snapshot: &Snapshot, phase: Phase, tab: &TabState, size: (u16, u16)) -> String {
    Stage::of(snapshot, tab).text(phase, size)
}

pub(super) fn page(page: usize) -> TabState {
    TabState { page, ..TabState::default() }
}

#[test]
fn every_page_says_its_piece_at_both_common_sizes() {
    let snapshot = fixture();
    let scrolled = TabState { scroll: 99, ..page(0) };
    let expected: [(Phase, TabState, &[&str]); 11] = [
        (Phase::Profiles, page(0), &["› ●! texas_nurse", "night nurse", "description"]),
        (
            Phase::Distill,
            page(0),
            &["gpt-6-luna · key: environment", "1,234,567 in", "2.00 $  ✓ approved", "before the pilot", "verified 80"],
        ),
        (Phase::Distill, scrolled, &["0.00123 $", "0.40 $ more", "30 of 40", "4 kept", "36 % of the prompts", "up to 0.01 $"]),
        (
            Phase::Distill,
            page(1),
            &["batch_abc", "12/40", "3 min", "› ", "heard 20 s ago", "expires in 23 h", "1 open, oldest 3 min"],
        ),
        (Phase::Distill, page(2), &["no score", "#2 a1 × kuwait_cpeg"]),
        (Phase::Distill, page(3), &["a1 × texas_nurse", "system: judge this"]),
        (Phase::Dataset, page(0), &["report line 0", "not acknowledged", "more ↓"]),
        (Phase::Dataset, page(1), &["per epoch", "held out", "█", "texas_nurse"]),
        (Phase::Dataset, page(2), &["› held out  example-0", "×2", "Examples 1/500"]),
        (Phase::Dataset, page(3), &["example-3", "7.0"]),
        (Phase::Dataset, page(4), &["1 of 2 tokens are trained", "prompt⟦SCORE: 7⟧"]),
    ];
    for (phase, tab, texts) in expected {
        for size in [(80, 24), (120, 40)] {
            let drawn = screen(&snapshot, phase, &tab, size);
            for text in texts {
                assert!(drawn.contains(text), "{phase} {tab:?} at {size:?} lacks {text:?}:\n{drawn}");
            }
        }
    }
}

#[test]
fn no_size_and_no_state_panics() {
    for snapshot in [fixture(), Snapshot::default()] {
        for phase in [Phase::Profiles, Phase::Articles, Phase::Distill, Phase::Dataset] {
            for number in 0..6 {
                for size in [(1, 1), (2, 2), (3, 3), (5, 1), (1, 9), (13, 7), (40, 4), (99, 12), (100, 2)] {
                    for detail in [false, true] {
                        let tab = TabState { page: number, detail, selected: 9999, scroll: u16::MAX, ..TabState::default() };
                        screen(&snapshot, phase, &tab, size);
                        screen(&snapshot, phase, &TabState { filter: "zz source: profile:".into(), ..tab }, size);
                    }
                }
            }
        }
    }
}

#[test]
fn escape_sequences_in_a_title_or_an_answer_are_harmless() {
    let snapshot = fixture();
    let answer = TabState { page: 2, detail: true, ..TabState::default() };
    for (phase, tab, text) in [(Phase::Distill, answer, "I cannot say")] {
        let drawn = screen(&snapshot, phase, &tab, (80, 24));
        assert!(drawn.contains(text), "{drawn}");
        assert!(!drawn.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'));
    }
}

#[test]
fn a_failed_finding_stands_on_top_with_its_remedy_and_its_override() {
    let drawn = screen(&fixture(), Phase::Articles, &TabState::default(), (80, 24));
    for text in ["D07: two near-duplicates", "→ Drop one of them.", "overridden: looked at both"] {
        assert!(drawn.lines().take(3).any(|line| line.contains(text)), "{text}:\n{drawn}");
    }
    assert!(!screen(&fixture(), Phase::Dataset, &TabState::default(), (80, 24)).contains("D07"));
}

#[test]
fn an_empty_tab_says_why_it_is_locked() {
    let locked = PhaseState::Locked("import articles first".into());
    let snapshot = Snapshot {
        phases: Phase::ALL.map(|phase| PhaseView { phase, state: locked.clone(), headline: String::new() }).to_vec(),
        ..Snapshot::default()
    };
    for (phase, pages) in [(Phase::Profiles, 1), (Phase::Distill, 4), (Phase::Dataset, 5)] {
        for number in 0..pages {
            let drawn = screen(&snapshot, phase, &page(number), (80, 24));
            assert!(drawn.contains("is locked: import articles first"), "{phase} {number}:\n{drawn}");
        }
    }
}

#[test]
fn without_a_mask_the_page_says_how_to_get_one() {
    let mut snapshot = fixture();
    snapshot.dataset = Arc::new(DatasetView { mask: None, ..dataset() });
    assert!(screen(&snapshot, Phase::Dataset, &page(4), (80, 24)).contains("select an example and press m"));
}

#[test]
fn the_selection_and_the_trained_tokens_are_seen_without_colour() {
    let snapshot = fixture();
    let row = Stage::of(&snapshot, &page(2)).buffer(Phase::Dataset, (80, 24));
    assert!(row[(5, 2)].modifier.contains(Modifier::REVERSED));
    let mask = Stage::of(&snapshot, &page(4)).buffer(Phase::Dataset, (80, 24));
    assert!(mask[(9, 3)].modifier.contains(Modifier::UNDERLINED));
}
