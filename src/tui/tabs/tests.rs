//! Tests of what the first four tabs do alike: findings on top, why a tab is locked, no panic at any size.

use super::TabState;
use super::fixture::{fixture, page, screen};
use crate::domain::{Phase, PhaseState};
use crate::engine::{PhaseView, Snapshot};

#[test]
fn profiles_and_costs_say_their_piece_at_both_common_sizes() {
    let scrolled = TabState { scroll: 99.into(), ..page(0) };
    let expected: [(Phase, TabState, &[&str]); 4] = [
        (Phase::Profiles, page(0), &["› ●! texas_nurse", "night nurse", "description"]),
        (
            Phase::Distill,
            page(0),
            &["gpt-6-luna · key: environment", "1,234,567 in", "2.00 $  ✓ approved", "before the pilot", "verified 80"],
        ),
        (Phase::Distill, scrolled, &["0.00123 $", "0.40 $ more", "30 of 40", "4 kept", "36 % of the prompts", "up to 0.01 $"]),
        (Phase::Distill, page(3), &["a1 × texas_nurse", "system: judge this"]),
    ];
    for (phase, tab, texts) in expected {
        for size in [(80, 24), (120, 40)] {
            let drawn = screen(&fixture(), phase, &tab, size);
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
            for number in 0..11 {
                for size in [(1, 1), (2, 2), (3, 3), (5, 1), (1, 9), (13, 7), (40, 4), (99, 12), (100, 2)] {
                    for detail in [false, true] {
                        let tab =
                            TabState { page: number, detail, selected: 9999, scroll: u16::MAX.into(), ..TabState::default() };
                        screen(&snapshot, phase, &tab, size);
                        screen(&snapshot, phase, &TabState { filter: "zz source: profile:".into(), ..tab }, size);
                    }
                }
            }
        }
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
    for (phase, pages) in [(Phase::Profiles, 1), (Phase::Distill, 4), (Phase::Dataset, 8)] {
        for number in 0..pages {
            let drawn = screen(&snapshot, phase, &page(number), (80, 24));
            assert!(drawn.contains("is locked: import articles first"), "{phase} {number}:\n{drawn}");
        }
    }
}
