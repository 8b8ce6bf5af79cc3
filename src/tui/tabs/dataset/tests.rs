//! Tests of the Dataset tab: every page at three sizes, hostile text, empty states, 20,000 examples.

use std::sync::Arc;

use ratatui::style::Modifier;
use serde_json::json;

use super::*;
use crate::domain::recipe::OrderStrategy;
use crate::domain::{ArticleId, Digest, ProfileId};
use crate::engine::{
    ContrastivePair, DatasetView, Example, ExampleRow, ExampleView, FindingView, Found, LabelSourceView, MaskView, QuarantineView,
    Quarantined, SamplerReport, SealView, Snapshot,
};
use crate::guards::Finding;
use crate::tui::tabs::TabState;
use crate::tui::tabs::fixture::{fixture, page};
use crate::tui::testing::{NOW, SIZES, Stage};

const HERE: Phase = Phase::Dataset;
/// What writes elsewhere on the screen, or confuses its columns.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}日本\u{200b}";

fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("a fixture")
}

fn stats() -> crate::engine::DatasetStats {
    let quantiles = json!({"p50": 410, "p95": 620, "p99": 700, "max": 1290});
    let bin = |from: usize, rows: usize| json!({"from": from, "to": from + 250, "rows": rows});
    let reader = |name: &str, bands: [usize; 3]| {
        json!({"profile": name, "train": 40, "epoch": 60, "eval": 5, "mean_score": 3.25, "bands": bands})
    };
    read(json!({
        "recipe": "stratos-v2", "seed": 19,
        "totals": {"rows": 100, "articles": 50, "clusters": 48, "profiles": 2, "train": 90, "eval": 10, "train_clusters": 43,
            "eval_clusters": 5, "epoch": 120},
        "by_profile": [reader("texas_nurse", [30, 10, 5]), reader(&format!("k{HOSTILE}uwait"), [45, 0, 0])],
        "by_band": [
            {"band": "low", "train": 70, "epoch": 70, "eval": 7}, {"band": "moderate", "train": 15, "epoch": 30, "eval": 2},
            {"band": format!("hi{HOSTILE}gh"), "train": 5, "epoch": 20, "eval": 1}],
        "mix": [
            {"bands": ["moderate", "high"], "wanted": 0.4, "raw": 0.222, "achieved": 0.4167, "rows": 90, "rows_after": 120,
                "unmet_reason": null},
            {"bands": ["high"], "wanted": 0.3, "raw": 0.0556, "achieved": 0.1667, "rows": 90, "rows_after": 120,
                "unmet_reason": "rows repeat at most 4 times"}],
        "max_repeat": 4, "worst_stratum_gap": 0.5, "think": [], "flagged": 1, "rejected": {}, "quarantined": {}, "joins": {},
        "contrastive_delta": 3.0, "contrastive_pairs": 77, "contrastive_examples": [], "unscreened_share": 1.0, "by_teacher": {},
        "modal_score": [1.5, 20],
        "tokens": {"rows": 100, "total": quantiles, "prompt": quantiles, "completion": quantiles,
            "bins": [bin(300, 60), bin(550, 36), bin(800, 3), bin(1050, 1)], "recommended_max": 770, "limit": 1024,
            "over_long": [["a9|texas_nurse", 1290]]}
    }))
}

fn row(n: usize) -> ExampleRow {
    let (band, score) = [("low", 1.5), ("moderate", 5.0), ("high", 8.5)][n % 3];
    let reader = ["texas_nurse", "kuwait_cpeg"][n % 2];
    let id = if n == 1 { format!("a1{HOSTILE}|{reader}") } else { format!("a{n}|{reader}") };
    let (band, reader) = (band.to_owned(), reader.to_owned());
    ExampleRow { id, held_out: n.is_multiple_of(10), score, band, reader, tokens: 400 + n, repeats: 1 + n as u32 % 3 }
}

fn index_of(rows: usize) -> DatasetIndex {
    let profile = |id| ProfileId::new(id).expect("id");
    let pair = |article: &str, high: f64| ContrastivePair {
        article: ArticleId::new(article).expect("id"),
        high: (profile("texas_nurse"), high),
        low: (profile("kuwait_cpeg"), 0.5),
    };
    DatasetIndex {
        digest: Digest::of("data"),
        stats: stats(),
        rows: (0..rows).map(row).collect(),
        read: vec![0.58, 0.25, 0.17],
        strategy: OrderStrategy::Curriculum,
        order: (0..rows as u32).filter(|n| n % 10 != 0).take(60).collect(),
        epoch: 120,
        pairs: vec![pair("a0", 9.5), pair("a2", 7.0)],
    }
}

fn example(id: &str, answer: &str) -> Answer {
    let (article, profile) = id.split_once('|').expect("an id");
    let example: Example = read(json!({
        "id": id, "pair": {"article": article, "profile": profile}, "split": "train",
        "messages": [{"role": "system", "content": "You judge for a night nurse."},
            {"role": "user", "content": format!("Title: Hospital {HOSTILE}opens ward")},
            {"role": "assistant", "content": answer}],
        "score": 8.5, "band": "high", "tier": "short", "words": 12, "flagged": true, "teacher": "rehearsal", "model": "prism-1",
        "prompt_digest": null, "trace_digest": null, "annotator": "rehearsal/prism-1", "repeats": 2
    }));
    Answer::Example(Arc::new(ExampleView { example, tokens: 400, origin: format!("rehearsal {HOSTILE}prism-1") }))
}

fn sampler() -> SamplerReport {
    let band = |band: &str, raw: f64| json!({"band": band, "rows": 30, "weight": 1.0, "raw": raw, "expected": 0.4, "sampled": 0.41});
    read(json!({"strategy": "curriculum", "epochs": 3, "draws": 360, "never_read": 0, "bands": [band("low", 0.8), band("high", 0.2)],
        "to_expected": 0.01, "to_raw": 0.4, "noise_p99": 0.05, "simulations": 0, "pass": true, "first": ["a1|texas_nurse"]}))
}

fn quarantine() -> QuarantineView {
    let left_out = |reason: &str| Quarantined {
        article: format!("a7{HOSTILE}"),
        profile: "texas_nurse".into(),
        score: None,
        reason: reason.into(),
        annotator: format!("gemma{HOSTILE}"),
        file: Some(read(json!({"file": "v19_part2.jsonl", "sha256": Digest::of("file"), "line": 812}))),
    };
    let reasons = vec![("unfinished reason".to_owned(), 2), (format!("x{HOSTILE}"), 1)];
    QuarantineView { total: 3, reasons, rows: vec![left_out("unfinished reason"), left_out(&format!("x{HOSTILE}"))] }
}

fn state() -> Snapshot {
    let labels: LabelSourceView = read(json!({"name": format!("v19{HOSTILE}.jsonl"), "sha256": Digest::of("l"), "kind": "scores",
        "annotators": [format!("gem{HOSTILE}ma")], "trust": "medium", "rows": 100, "kept": 80, "orphans": 5, "quarantined": 15,
        "reasons": [["quarantined", "unfinished reason", 15]], "findings": [], "suspicious": true}));
    let seal: SealView = read(json!({"digest": Digest::of("seal"), "previous": null, "file": "1.json", "clusters": 10,
        "articles": 12, "readers": ["kuwait_cpeg"], "share": 0.2, "seed": 19, "at": NOW.0 - 7_200_000, "why": format!("it{HOSTILE}"),
        "rows": 40, "tampered": null, "openings": [[1, format!("ann{HOSTILE}"), "the release", 40]]}));
    let finding = |finding: Finding, stops| FindingView {
        phase: HERE,
        finding,
        stops,
        overridden: None,
        subject: Digest::of("data"),
    };
    let findings = vec![
        finding(Finding::pass("D2", format!("41 %{HOSTILE} of what is read has one of two scores")), true),
        finding(Finding::pass("D15", "100 rows, each the only one"), true),
        finding(Finding::fail("D18", "0 % were judged unscreened", "have random pairs judged"), false),
    ];
    let base = fixture();
    let dataset = DatasetView { labels: vec![labels], seal: Some(seal), ..(*base.dataset).clone() };
    Snapshot { dataset: Arc::new(dataset), findings: Arc::new(findings), ..base }
}

fn stage_of(tab: &TabState, rows: usize) -> Stage {
    let mask = |tokens: &[(&str, bool)]| MaskView {
        example: format!("a0{HOSTILE}"),
        tokens: tokens.iter().map(|(text, on)| ((*text).to_owned(), *on)).collect(),
    };
    let tokens = [("<|user|>", false), (" judge this\u{1b}[31m\n", false), ("SCORE", true), (": 8.5", true), ("<|end|>", true)];
    let mut stage = Stage::of(&state(), tab)
        .answered(&Query::Dataset, Answer::Dataset(Arc::new(index_of(rows))))
        .answered(&Query::Example("a0|texas_nurse".into()), example("a0|texas_nurse", "SCORE: 9.5 | REASON: A ward needs nurses."))
        .answered(&Query::Example("a0|kuwait_cpeg".into()), example("a0|kuwait_cpeg", "SCORE: 0.5 | REASON: Not his trade."))
        .answered(&Query::Mask("a0|texas_nurse".into()), Answer::Mask(Arc::new(mask(&tokens))))
        .answered(&Query::Quarantine(tab.filter.clone()), Answer::Quarantine(Arc::new(quarantine())))
        .answered(&Query::Sampler, Answer::Sampler(Arc::new(sampler())));
    stage.own.dataset.masked = Some("a0|texas_nurse".into());
    stage
}

fn stage(tab: &TabState) -> Stage {
    stage_of(tab, 500)
}

#[test]
fn every_page_at_three_sizes() {
    for size in SIZES {
        for (number, name) in PAGES.iter().enumerate() {
            let drawn = stage(&page(number)).styled(HERE, size);
            insta::assert_snapshot!(format!("dataset_{name}_{}x{}", size.0, size.1), drawn);
        }
    }
}

#[test]
fn every_page_says_its_piece_at_both_common_sizes() {
    let expected: [(usize, &[&str]); 10] = [
        (0, &["report line 0", "not acknowledged", "more ↓"]),
        (BALANCE, &["an epoch", "held out", "█", "texas_nurse", "! high", "30.0 %", "at most 4 times"]),
        (PAIRS, &["9.0  9.5", "77 pairs in all", "A ward needs nurses", "Not his trade"]),
        (TOKENS, &["p99", "1,290", "limit 1,024", "✓ 0 of 100"]),
        (EXAMPLES, &["› held", "a0|texas_nurse", "Examples 1/500", "read ×2 an epoch"]),
        (MASK, &["3 of 5 tokens are trained", "⟦SCORE: 8.5<|end|>⟧", "read, not trained"]),
        (ORDER, &["clear cases first: 3 bands", "Sampler ✓"]),
        (QUARANTINE, &["unfinished reason", "Left out 1/2", "→ The answer was cut"]),
        (LABELS, &["Sealed hold-out", "kuwait_cpeg", "suspicious", "80  █", "opening      1 by ann"]),
        (GUARDS, &["!  D18", "✓  D2", "✓  D15", "→ have random pairs judged", "prevents"]),
    ];
    for (number, texts) in expected {
        for size in [(80, 24), (120, 40)] {
            let drawn = if number == LABELS || number == TOKENS || number == BALANCE {
                // Longer than a screen of 24 rows.
                let end = stage(&TabState { scroll: 99.into(), ..page(number) }).text(HERE, size);
                format!("{}\n{end}", stage(&page(number)).text(HERE, size))
            } else {
                stage(&page(number)).text(HERE, size)
            };
            for text in texts {
                assert!(drawn.contains(text), "page {number} at {size:?} lacks {text:?}:\n{drawn}");
            }
        }
    }
}

#[test]
fn what_would_be_cut_is_counted_and_lies_beyond_the_limit() {
    let mut index = index_of(20);
    index.rows[3].tokens = 1290;
    let stage = Stage::of(&state(), &page(TOKENS)).answered(&Query::Dataset, Answer::Dataset(Arc::new(index)));
    let drawn = stage.text(HERE, (80, 40));
    assert!(drawn.contains("✗ 1 of 100 would be cut at the limit of 1,024"), "{drawn}");
    let at = |text: &str| drawn.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("lacks {text:?}:\n{drawn}"));
    assert!(at("550–799") < at("── limit 1,024") && at("── limit 1,024") < at("1,050–1,299"), "{drawn}");
    let sign = |text: &str| drawn.lines().nth(at(text)).and_then(|line| line.chars().find(|c| ['✗', '!'].contains(c)));
    assert_eq!([sign("550–799"), sign("800–1,049"), sign("1,050–1,299")], [None, Some('!'), Some('✗')], "{drawn}");
}

#[test]
fn hostile_text_is_harmless_on_every_page() {
    for number in 0..PAGES.len() {
        for detail in [false, true] {
            for size in [(80, 24), (120, 40)] {
                let drawn = stage(&TabState { detail, ..page(number) }).text(HERE, size);
                let bad = |c: char| (c.is_control() && c != '\n') || ['\u{202e}', '\u{200b}', '\u{1b}', '\u{7}'].contains(&c);
                assert!(!drawn.chars().any(bad), "page {number}:\n{drawn}");
            }
        }
    }
}

#[test]
fn no_size_panics_with_everything_answered() {
    for number in 0..=PAGES.len() {
        for size in [(1, 1), (2, 2), (3, 3), (5, 1), (1, 9), (13, 7), (40, 4), (99, 12), (100, 2), (101, 3)] {
            for detail in [false, true] {
                let tab = TabState { detail, selected: 9999, scroll: u16::MAX.into(), ..page(number) };
                stage(&tab).text(HERE, size);
            }
        }
    }
}

#[test]
fn a_filter_shows_what_the_library_found_and_says_what_it_does_not_know() {
    let tab = TabState { filter: "side:held".into(), ..page(EXAMPLES) };
    let query = Query::FindExamples("side:held".into());
    let found = |rows: Vec<u32>, remark: Option<&str>| {
        Answer::Found(Arc::new(Found { rows, remark: remark.map(str::to_owned) }))
    };
    let some = stage(&tab).answered(&query, found(vec![10, 20], None));
    assert_eq!(some.rows(HERE), 2);
    assert_eq!((TAB.wants)(&some.look()), [Query::Dataset, query.clone(), Query::Example("a10|texas_nurse".into())]);
    let drawn = some.text(HERE, (80, 24));
    assert!(drawn.contains("a10|texas_nurse") && drawn.contains("1/2 of 500"), "{drawn}");
    let none = stage(&tab).answered(&query, found(Vec::new(), Some("there is no band 'x'"))).text(HERE, (80, 24));
    assert!(none.contains("there is no band 'x'"), "{none}");
}

#[test]
fn before_there_is_a_dataset_nothing_is_asked_for_and_labels_and_guards_are_there() {
    let mut snapshot = state();
    Arc::make_mut(&mut snapshot.dataset).digest = None;
    for number in 0..PAGES.len() {
        let stage = Stage::of(&snapshot, &page(number));
        assert!((TAB.wants)(&stage.look()).is_empty());
        let drawn = stage.text(HERE, (80, 24));
        let wanted = match number {
            LABELS => "Sealed hold-out",
            GUARDS => "D18",
            _ => "Dataset",
        };
        assert!(drawn.contains(wanted), "page {number}:\n{drawn}");
    }
}

#[test]
fn without_a_mask_the_page_says_how_to_get_one() {
    let mut stage = stage(&page(MASK));
    stage.own.dataset.masked = None;
    assert!(stage.text(HERE, (80, 24)).contains("press m"));
    stage.own.dataset.masked = Some("gone".into());
    assert!(stage.text(HERE, (80, 24)).contains("Reading…"));
}

#[test]
fn the_selection_and_the_trained_tokens_are_seen_without_colour() {
    let row = stage(&page(EXAMPLES)).buffer(HERE, (120, 24));
    assert!((0..24).any(|y| row[(5, y)].modifier.contains(Modifier::REVERSED)));
    let mask = stage(&page(MASK)).buffer(HERE, (80, 24));
    assert!((0..80).any(|x| (0..24).any(|y| mask[(x, y)].symbol() == "S" && mask[(x, y)].modifier.contains(Modifier::UNDERLINED))));
}

#[test]
fn the_masks_of_the_list_follow_each_other_and_end_at_its_ends() {
    let stage = stage(&page(MASK));
    let next = |id: &str, back| examples::neighbour(&stage.look(), id, back).expect("an example");
    assert_eq!(next("a2|texas_nurse", false), "a3|kuwait_cpeg");
    assert_eq!(next("a2|texas_nurse", true), row(1).id);
    assert_eq!((next(&row(0).id, true), next(&row(499).id, false)), (row(0).id, row(499).id));
}

#[test]
fn of_twenty_thousand_examples_only_the_visible_ones_are_drawn() {
    let tab = TabState { selected: 19_999, ..page(EXAMPLES) };
    let stage = stage_of(&tab, 20_000);
    assert_eq!(stage.rows(HERE), 20_000);
    let drawn = stage.text(HERE, (80, 24));
    assert!(drawn.contains("a19999|kuwait_cpeg") && drawn.contains("Examples 20000/20000"), "{drawn}");
}
