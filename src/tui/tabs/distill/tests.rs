//! Tests of the Distill tab: what its pages say of money and of batches in each state.

use std::sync::Arc;

use super::super::TabState;
use super::super::fixture::{NOW, distill, fixture, page, screen, usd};
use crate::domain::{ArticleId, Digest, PairKey, Phase, ProfileId, UnixMillis};
use crate::engine::{Answer, BatchView, DistillView, Forecast, PlanView, Query, RejectRow, RejectsView, Snapshot};
use crate::tui::testing::{SIZES, Stage};

fn styled(snapshot: &Snapshot, phase: Phase, tab: &TabState, size: (u16, u16)) -> String {
    Stage::of(snapshot, tab).styled(phase, size)
}

/// A pilot that nobody approved yet, before anything was measured.
fn pilot() -> DistillView {
    let mut view = DistillView { batches: Vec::new(), kept: 0, receipt: None, key: String::new(), ..distill() };
    if let Some(plan) = &mut view.plan {
        let estimate = &mut plan.estimate;
        let mut forecast = estimate.before.take().expect("an assumed forecast");
        estimate.whole = Some(Forecast { expected: usd("12"), p95: usd("20.4"), ..forecast.clone() });
        (forecast.expected, forecast.p95) = (usd("0.0042"), usd("0.00714"));
        estimate.forecast = forecast;
        estimate.worst = usd("0.031");
        (plan.kind, plan.approved, plan.suggested, plan.spent) = ("pilot".into(), None, usd("0.01"), usd("0"));
    }
    view
}

fn with(distill: DistillView) -> Snapshot {
    Snapshot { distill: Arc::new(distill), ..fixture() }
}

#[test]
fn the_cost_page_after_a_pilot_is_as_it_was() {
    insta::assert_snapshot!(styled(&fixture(), Phase::Distill, &page(0), (80, 36)));
}

#[test]
fn the_cost_page_of_an_unapproved_pilot_is_as_it_was() {
    insta::assert_snapshot!(styled(&with(pilot()), Phase::Distill, &page(0), (80, 24)));
}

#[test]
fn the_batches_page_is_as_it_was() {
    insta::assert_snapshot!(styled(&with(batches()), Phase::Distill, &page(1), (80, 24)));
}

#[test]
fn the_cost_page_warns_of_a_ceiling_below_what_is_expected_and_of_one_that_is_reached() {
    let mut view = distill();
    if let Some(plan) = &mut view.plan {
        (plan.approved, plan.spent) = (Some(usd("1")), usd("1"));
    }
    let drawn = screen(&with(view), Phase::Distill, &page(0), (80, 24));
    assert!(drawn.contains("1.00 $  ! approved, below what is expected"), "{drawn}");
    assert!(drawn.contains("! the ceiling is reached"), "{drawn}");
}

/// One that counts, one that does not, one that nobody knows, one that has ended.
fn batches() -> DistillView {
    let first = distill().batches.remove(0);
    let silent = BatchView { id: 8, answered: 0, expires: Some(UnixMillis(NOW.0 + 7_300_000)), ..first.clone() };
    let note = "no clear answer\u{1b}[2J\u{202e}\nto the create".into();
    let unknown = BatchView { id: 9, state: "unknown".into(), note, watched: None, expires: None, answered: 0, ..first.clone() };
    let ended = Some(UnixMillis(NOW.0 - 5_000));
    let ended = BatchView { id: 6, state: "imported".into(), answered: 40, ended, ..first.clone() };
    DistillView { batches: vec![unknown, silent, first, ended], ..distill() }
}

#[test]
fn the_batches_page_says_how_each_batch_stands_at_the_provider() {
    let snapshot = with(batches());
    let at = |selected, size| screen(&snapshot, Phase::Distill, &TabState { selected, ..page(1) }, size);
    for size in [(80, 24), (120, 40)] {
        let drawn = at(0, size);
        for text in
            ["3 open, oldest 3 min; 2 end within 23 h", "1 unknown: may exist at the provider", "no progress told", "in 2 h"]
        {
            assert!(drawn.contains(text), "lacks {text:?}:\n{drawn}");
        }
        assert!(drawn.contains("heard never; no expiry told"), "{drawn}");
        assert!(at(1, size).contains("heard 20 s ago; expires in 2 h"), "{}", at(1, size));
        assert!(at(3, size).contains("ended 5 s ago"), "{}", at(3, size));
    }
    let whole = screen(&snapshot, Phase::Distill, &TabState { detail: true, ..page(1) }, (80, 24));
    assert!(whole.contains("It may exist at the provider; it is looked for before anything else is sent."), "{whole}");
}

#[test]
fn without_open_batches_the_page_says_so() {
    let mut view = distill();
    view.batches[0].ended = Some(NOW);
    assert!(screen(&with(view), Phase::Distill, &page(1), (80, 24)).contains("none open, 1 ended"));
}

/// Names, remarks and reasons that try to write elsewhere on the screen.
fn hostile() -> DistillView {
    let mut view = distill();
    view.key = "\u{1b}]0;key\u{7}".into();
    if let Some(plan) = &mut view.plan {
        plan.model = "\u{1b}[2J\u{202e}owned-model".into();
        plan.scope = "every\u{8}\npair".into();
        plan.estimate.remarks = vec!["\u{1b}[31mold price".into()];
        plan.estimate.price.source = "a\u{200b}\u{1b}c test".into();
    }
    view
}

fn reject(reader: &str, kind: &'static str, reason: &str) -> RejectRow {
    let pair = PairKey { article: ArticleId::new("a1").expect("id"), profile: ProfileId::new(reader).expect("id") };
    RejectRow { plan: Digest::of("plan"), pair, attempt: 2, kind, reason: reason.into() }
}

/// Two answers that could not be used; the first one's text is there.
fn rejected(tab: &TabState, view: DistillView) -> Stage {
    let rows = vec![
        reject("kuwait_cpeg", "no score", "no\u{9b}2Jscore\r\n"),
        reject("texas_nurse", "cut", "cut by the token limit"),
    ];
    let first = Query::Reject(rows[0].clone());
    let rejects = RejectsView { total: 2, kinds: vec![("no score", 1), ("cut", 1)], rows };
    let all = Query::Rejects { plan: Digest::of("plan"), filter: tab.filter.clone() };
    let raw = "I cannot say\u{1b}[31m, \u{202e}thanks\u{200b} 日本語 شكرا".to_owned();
    Stage::of(&with(view), tab)
        .answered(&all, Answer::Rejects(Arc::new(rejects)))
        .answered(&first, Answer::Reject(Arc::new(raw)))
}

#[test]
fn every_page_at_three_sizes() {
    for size in SIZES {
        for (name, number) in [("cost", 0), ("batches", 1), ("rejects", 2), ("samples", 3)] {
            let view = DistillView { batches: batches().batches, ..distill() };
            let drawn = rejected(&page(number), view).styled(Phase::Distill, size);
            insta::assert_snapshot!(format!("distill_{name}_{}x{}", size.0, size.1), drawn);
        }
    }
}

#[test]
fn a_reject_is_counted_by_its_reason_and_read_as_it_came_with_its_attempt() {
    let drawn = rejected(&page(2), distill()).text(Phase::Distill, (120, 40));
    for text in ["no score", "#2 a1 × kuwait_cpeg", "attempt 2, plan", "I cannot say"] {
        assert!(drawn.contains(text), "lacks {text:?}:\n{drawn}");
    }
    let unread = rejected(&TabState { selected: 1, ..page(2) }, distill()).text(Phase::Distill, (120, 40));
    assert!(unread.contains("reading…") && !unread.contains("I cannot say"), "{unread}");
}

#[test]
fn before_there_is_a_plan_no_rejects_are_asked_for() {
    let stage = Stage::of(&Snapshot::default(), &page(2));
    assert!((super::TAB.wants)(&stage.look()).is_empty());
    assert!(stage.text(Phase::Distill, (80, 24)).contains("approve the cost preview"));
}

#[test]
fn a_plan_that_was_made_besides_is_shown_before_the_phases_own() {
    let mut aside: PlanView = distill().plan.expect("a plan");
    (aside.digest, aside.model) = (Digest::of("second"), "other-model".into());
    let drawn = screen(&Snapshot { planned: Some(Arc::new(aside)), ..fixture() }, Phase::Distill, &page(0), (80, 24));
    assert!(drawn.contains("planned last") && drawn.contains("other-model") && !drawn.contains("gpt-6-luna · key"), "{drawn}");
}

#[test]
fn control_characters_in_names_notes_and_remarks_are_harmless() {
    let view = DistillView { batches: batches().batches, ..hostile() };
    let reject = TabState { detail: true, ..page(2) };
    for (tab, text) in [(page(0), "owned-model"), (page(1), "no clear answer"), (page(2), "no2Jscore"), (reject, "no2Jscore")] {
        let drawn = rejected(&tab, view.clone()).text(Phase::Distill, (80, 24));
        assert!(drawn.contains(text), "lacks {text:?}:\n{drawn}");
        assert!(!drawn.chars().any(|c| (c.is_control() && c != '\n') || ['\u{202e}', '\u{200b}'].contains(&c)), "{drawn}");
    }
}
