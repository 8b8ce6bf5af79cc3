//! What the tests of the first tabs stand on: a small workspace as the engine publishes it.

use std::sync::Arc;

use super::TabState;
use crate::domain::{Digest, Phase, PhaseState, Tokens, UnixMillis};
use crate::engine::{
    Basis, BatchView, DatasetView, DistillView, Estimate, FindingView, Forecast, Kind, PhaseView, PlanView, Price, ProfileView,
    Receipt, ReceiptLine, Sample, Snapshot,
};
use crate::guards::Finding;
pub use crate::tui::testing::NOW;
use crate::tui::testing::Stage;

pub fn usd(text: &str) -> crate::domain::Usd {
    text.parse().expect("amount")
}

pub fn distill() -> DistillView {
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

pub fn dataset() -> DatasetView {
    DatasetView {
        digest: Some(Digest::of("data")),
        report: (0..60).map(|n| format!("report line {n}")).collect(),
        bands: vec![("high".into(), 10, 20, 3), ("low".into(), 40, 40, 6)],
        profiles: vec![("texas_nurse".into(), 25, 5)],
        ..DatasetView::default()
    }
}

pub fn fixture() -> Snapshot {
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

pub fn screen(snapshot: &Snapshot, phase: Phase, tab: &TabState, size: (u16, u16)) -> String {
    Stage::of(snapshot, tab).text(phase, size)
}

pub fn page(page: usize) -> TabState {
    TabState { page, ..TabState::default() }
}
