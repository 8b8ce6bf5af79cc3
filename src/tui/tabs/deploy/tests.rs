use super::*;
use crate::tui::charts::fixture::{busy, expect, nothing, with_finding};
use crate::tui::tabs::TabState;
use crate::tui::testing::{SIZES, Stage};

fn on(page: usize, selected: usize) -> TabState {
    TabState { selected, page, ..TabState::default() }
}

#[test]
fn releases_show_which_one_is_live_where_a_roll_back_goes_and_the_last_score_is_harmless() {
    let words = ["releases (2)", "● live r2", "‹ back r1", "✓ passed", "✗ failed", "r2 · model abc123 · candle", "SCORE: 8.5 | REASON: [5ma tender", "2025-06-15"];
    expect(Phase::Deploy, &busy(), &TabState::default(), &words[..6]);
    let detail = TabState { detail: true, scroll: 400.into(), ..TabState::default() };
    expect(Phase::Deploy, &busy(), &detail, &["q8_0 143.2 MiB"]);
}

#[test]
fn the_table_of_a_release_says_of_each_runtime_whether_it_answers_as_trained_and_why_not() {
    expect(Phase::Deploy, &busy(), &on(PARITY, 0), &["parity of r2", "trained", "= reference", "q8_0", "✓ passed", "not asked", "deploy.llama_server names none"]);
    expect(Phase::Deploy, &busy(), &on(PARITY, 1), &["parity of r1", "✗ failed", "T11 q8_0: 3 of 24 prompts"]);
}

#[test]
fn both_pages_are_as_they_were_at_every_size() {
    for (page, name) in [(0, "deploy_releases"), (PARITY, "deploy_parity")] {
        for size in SIZES {
            let text = Stage::of(&busy(), &on(page, usize::from(page == PARITY))).styled(Phase::Deploy, size);
            insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), text);
        }
    }
}

#[test]
fn a_filter_counts_what_it_shows() {
    let tab = TabState { filter: "r1".into(), ..TabState::default() };
    assert_eq!(Stage::of(&busy(), &tab).rows(TAB.phase), 1);
    assert_eq!(Stage::of(&busy(), &TabState::default()).rows(TAB.phase), 2);
}

#[test]
fn an_empty_tab_says_what_to_do() {
    expect(Phase::Deploy, &nothing(), &TabState::default(), &["Deploy is locked"]);
    expect(Phase::Deploy, &Snapshot::default(), &TabState::default(), &["run this phase to release"]);
}

#[test]
fn a_failed_guard_stands_on_top() {
    let mut snapshot = nothing();
    with_finding(&mut snapshot, Phase::Deploy, Some("a demo"));
    expect(Phase::Deploy, &snapshot, &TabState::default(), &["few-rows", "overridden: a demo"]);
}
