//! The registry is whole, every row of it is kept by something, and the documented failures that can be made again cheaply
//! are made again and caught.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use common::{Workspace, text};
use serde_json::{Value, json};
use stratos::dataset::checks::{d1, d10, d13, d16};
use stratos::dataset::figures::{Counts, d2, d5, d15, d17, d18};
use stratos::dataset::{Draws, Example, OrderRow, SamplerReport, d3, order};
use stratos::distill::quality::{Premises, Scored, d6, d7, d8, d11, d12, examine_rows};
use stratos::domain::recipe::OrderStrategy;
use stratos::domain::{Article, ArticleId, Digest, Finding, PairKey, Profile, ProfileId, ProfileRow, Recipe, Renderer};
use stratos::guards::{Guard, Severity, Standing, registry};
use stratos::train::proofs::{t3, t4, t17, t19};

/// Checked rows whose failure is made again in another file, by the name of the test.
const MADE_AGAIN: &[(&str, &str, &str)] = &[
    ("M1", "tests/paid/faults.rs", "a_pilot_measures_before_the_rest_is_approved_and_both_figures_are_shown"),
    ("M2", "src/teacher/prices.rs", "an_unknown_model_blocks_with_the_row_to_add"),
    ("M3", "tests/paid/faults.rs", "a_lost_reply_makes_one_batch_and_it_is_adopted"),
    ("M4", "tests/paid/properties.rs", "whatever_happens_every_id_ends_once_and_nothing_is_billed_twice"),
    ("M6", "tests/paid/faults.rs", "a_refusal_is_never_asked_again_and_a_cut_answer_once_with_more_room"),
    ("M9", "tests/paid/faults.rs", "every_fault_in_turn_ends_with_balanced_books"),
    ("M10", "tests/paid/faults.rs", "every_fault_in_turn_ends_with_balanced_books"),
    ("T1", "src/train/proofs/tests.rs", "loss_on_prompts_or_a_missing_end_is_seen_t1"),
    ("T2", "src/train/dryrun.rs", "a_rate_that_ruins_it_fails_while_no_answer_can_be_read"),
    ("T5", "src/train/trainer.rs", "a_rate_that_explodes_is_stopped_at_the_last_good_checkpoint"),
    ("T6", "src/train/proofs/tests.rs", "a_loss_that_is_shown_eight_times_or_a_thirty_fifth_is_seen_t6"),
    ("T7", "src/train/proofs/tests.rs", "a_weight_counts_at_micro_batch_one_and_a_no_op_is_seen_t7"),
    ("T9", "src/train/proofs/tests.rs", "rows_that_are_too_long_are_listed_and_a_length_is_advised_t9"),
    ("T10", "tests/training.rs", "a_base_is_proved_rehearsed_and_trained_here_and_elsewhere"),
    ("T11", "src/train/proofs/tests.rs", "a_template_that_serves_otherwise_than_it_trains_is_seen_t11"),
    ("T12", "src/train/proofs/tests.rs", "layers_without_adapters_and_frozen_ones_are_seen_t12"),
    ("T13", "src/train/trainer.rs", "a_tensor_without_gradient_is_named"),
    ("T15", "src/train/forecast_tests.rs", "a_run_that_cannot_fit_is_refused_with_what_would_fit"),
    ("T16", "src/train/proofs/tests.rs", "a_skill_that_the_base_has_already_is_seen_t16"),
    ("T18", "src/train/proofs/tests.rs", "effective_settings_are_written_and_read_back_t18"),
    ("T20", "src/train/neighbours.rs", "models_that_hold_the_gpus_memory_are_named"),
    ("S1", "tests/deploy.rs", "what_would_answer_otherwise_than_it_was_trained_is_caught_by_its_guard"),
    ("S2", "tests/deploy.rs", "what_would_answer_otherwise_than_it_was_trained_is_caught_by_its_guard"),
    ("S3", "tests/modelfile.rs", "each_way_to_break_one_is_named_with_its_guard"),
    ("S4", "tests/scores.rs", "a_think_recipe_is_asked_at_half_a_degree_at_least"),
    ("S5", "tests/deploy.rs", "what_would_answer_otherwise_than_it_was_trained_is_caught_by_its_guard"),
    ("S6", "tests/deploy.rs", "what_would_answer_otherwise_than_it_was_trained_is_caught_by_its_guard"),
    ("S7", "tests/deploy.rs", "what_would_answer_otherwise_than_it_was_trained_is_caught_by_its_guard"),
    ("S8", "tests/modelfile.rs", "each_way_to_break_one_is_named_with_its_guard"),
    ("S9", "tests/scores.rs", "the_same_is_asked_once_and_what_is_fresh_anew"),
    ("S10", "tests/deploy.rs", "what_would_answer_otherwise_than_it_was_trained_is_caught_by_its_guard"),
    ("S11", "src/engine/deploying/gate.rs", "an_adapter_that_is_merged_anew_for_every_pass_is_said"),
    ("E1", "src/evaluate/metrics.rs", "a_constant_looks_right_by_direction_and_worthless_by_skill_and_contrast"),
    ("E4", "src/evaluate/bootstrap.rs", "one_article_has_no_interval"),
    ("E5", "src/evaluate/metrics.rs", "a_failure_never_improves_an_error_or_a_share"),
];

/// Checked rows whose failure is made again somewhere in a file, which speaks of the guard.
const SPOKEN_OF: &[(&str, &str)] = &[
    ("D4", "tests/seal.rs"),
    ("D9", "src/evaluate/calibration.rs"),
    ("D19", "tests/evaluations.rs"),
    ("E2", "tests/evaluation_guards.rs"),
    ("E3", "tests/evaluation_guards.rs"),
    ("E6", "tests/evaluation_guards.rs"),
    ("E7", "tests/evaluations.rs"),
    ("E8", "tests/evaluations.rs"),
    ("S12", "tests/evaluation_guards.rs"),
];

#[test]
fn every_documented_failure_is_in_the_registry() {
    let letters = [("D", 1..=19), ("M", 1..=11), ("T", 1..=20), ("S", 1..=12), ("E", 1..=10)];
    let documented: BTreeSet<String> = letters.into_iter().flat_map(|(l, n)| n.map(move |n| format!("{l}{n}"))).collect();
    let registered: BTreeSet<String> = registry().map(|g| g.id.to_owned()).collect();
    assert_eq!(documented, registered);
    for g in registry() {
        for words in [g.prevents, g.happened, g.remedy] {
            assert!(words.len() > 15 && !words.contains("  "), "{}: {words}", g.id);
        }
        assert!(g.happened.ends_with('.') && g.remedy.ends_with('.') && !g.prevents.ends_with('.'), "{}", g.id);
    }
}

#[test]
fn every_row_is_checked_or_built_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let here = failures();
    for g in registry() {
        match g.standing {
            Standing::Checked if here.contains_key(g.id) => {}
            Standing::Checked if SPOKEN_OF.iter().any(|(id, _)| *id == g.id) => {
                let files = SPOKEN_OF.iter().filter(|(id, _)| *id == g.id);
                for source in files.map(|(_, file)| fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}")))
                {
                    assert!(source.contains(g.id), "{} is not made again where it was to be", g.id);
                }
            }
            Standing::Checked => {
                let (_, file, test) = MADE_AGAIN.iter().find(|(id, ..)| *id == g.id).unwrap_or_else(|| panic!("{}", g.id));
                let source = fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
                assert!(source.contains(&format!("fn {test}(")), "{}: {file} has no test {test}", g.id);
            }
            Standing::Built(how) => {
                let named: Vec<&str> = how.split('`').skip(1).step_by(2).collect();
                assert!(g.id == "E9" || !named.is_empty(), "{}: where is it made so?", g.id);
                for file in named {
                    assert!(root.join("src").join(file).exists() || root.join(file).exists(), "{}: {file}", g.id);
                }
            }
        }
    }
}

fn ids(article: &str, reader: &str) -> PairKey {
    PairKey { article: ArticleId::new(article).expect("id"), profile: ProfileId::new(reader).expect("id") }
}

fn recipe() -> Recipe {
    Recipe::from_toml(include_str!("../data/recipes/stratos-v2.toml")).expect("sound")
}

fn readers() -> Vec<Profile> {
    let rows: Vec<ProfileRow> = serde_json::from_str(include_str!("../data/profiles_v19.json")).expect("rows");
    rows.into_iter().map(|row| row.into_profile().expect("sound")).collect()
}

fn articles() -> Vec<Article> {
    serde_json::from_str(include_str!("../data/polarizing_articles_v19.json")).expect("articles")
}

/// A judgement of one annotator.
fn scored(i: usize, score: f64, reason: &str) -> Scored {
    let pair = ids(&format!("a{}", i / 4), &format!("p{}", i % 4));
    Scored { pair, score, reason: reason.into(), annotator: "x".into(), batch: 0 }
}

fn judgements(score: impl Fn(usize) -> f64, reason: impl Fn(usize) -> String) -> Vec<Scored> {
    (0..400).map(|i| scored(i, score(i), &reason(i))).collect()
}

fn own_words(i: usize) -> String {
    let (things, places) =
        (["pumps", "grants", "probes", "chips", "wards", "rotors", "bonds"], ["Basra", "Lagos", "Leeds", "Ulm", "Pune"]);
    format!("It reports {} in {} for team {} of the plant.", things[i % 7], places[i % 5], char::from(b'a' + (i % 26) as u8))
}

fn spread(i: usize) -> f64 {
    ((i * 37) % 97) as f64 / 10.0
}

/// Examples with these scores, all to train on.
fn examples(scores: &[f64]) -> Vec<Example> {
    let one = |(i, score): (usize, &f64)| {
        serde_json::from_value(json!({
            "id": format!("a{i}|p"), "pair": ids(&format!("a{i}"), "p"), "split": "train", "messages": [], "score": score,
            "band": "Noise", "tier": "", "words": 0, "flagged": false, "teacher": "t", "model": "m", "repeats": 1,
        }))
        .expect("an example")
    };
    scores.iter().enumerate().map(one).collect()
}

fn collapse(scores: &[f64]) -> Finding {
    let recipe = recipe();
    d2(&recipe.train.run, &recipe.bands, &examples(scores))
}

type Made = fn() -> Finding;

/// Guard → the failure made again, and the same without the failure.
fn failures() -> BTreeMap<&'static str, (Made, Made)> {
    let mut all: BTreeMap<&'static str, (Made, Made)> = BTreeMap::new();
    all.insert("D1", (|| d1(&counts(&[90, 80]), 4, 20), || d1(&counts(&[30, 30, 30, 30]), 4, 20)));
    all.insert("D2", (|| collapse(&[0.5; 100]), || collapse(&(0..100).map(spread).collect::<Vec<_>>())));
    all.insert("D3", (|| d3(one_article(""), one_article("")), || d3(one_article(""), another_article())));
    all.insert("D5", (|| d5(19, 20), || d5(19, 19)));
    all.insert(
        "D6",
        (|| d6(&judgements(spread, |_| "Not relevant to this reader.".into())), || d6(&judgements(spread, own_words))),
    );
    all.insert("D7", (|| d7(&judgements(|i| [0.0, 8.0][i % 2], own_words), &[]), || d7(&judgements(spread, own_words), &[])));
    all.insert("D8", (|| d8_of(|_| 11.5), || d8_of(spread)));
    all.insert("D10", (|| d10(3, 0, 400), || d10(0, 0, 400)));
    all.insert(
        "D11",
        (|| d11(&judgements(spread, |_| "Adjusted from 5.0 because of…".into())), || d11(&judgements(spread, own_words))),
    );
    all.insert("D12", (|| foreign("Die Stadtwerke haben am Dienstag mit dem Bau der neuen Anlage für die Versorgung begonnen und werden sie nach der Prüfung öffnen."), || foreign("The city has begun to build the new plant for the supply of the north and will open it after the tests.")));
    all.insert("D13", (|| d13([("x", "Tracks: E, q, u, a, t, e")]), || d13([("x", "Tracks: Equate, SLB, KOC, KNPC")])));
    all.insert("D15", (|| d15(&[ids("a", "x"), ids("a", "x")]), || d15(&[ids("a", "x"), ids("a", "y")])));
    all.insert("D16", (|| prompts(true), || prompts(false)));
    all.insert(
        "D17",
        (
            || d17(Counts { given: 10, rows: 9, set_aside: 1, pairs: 1200, reported: 1000 }),
            || d17(Counts { given: 10, rows: 9, set_aside: 1, pairs: 1200, reported: 1200 }),
        ),
    );
    all.insert("D18", (|| d18(0.0, recipe().data.min_random_share), || d18(0.25, recipe().data.min_random_share)));
    all.insert("T3", (|| t3(1 << 30, Some(1 << 20)), || t3(1 << 20, Some(1 << 34))));
    all.insert(
        "T4",
        (
            || t4(Some(&json!({"a": 1, "b": 2, "c": 3})), &json!({"a": 2, "b": 3, "c": 4})),
            || t4(Some(&json!({"a": 1, "b": 2})), &json!({"a": 2, "b": 2})),
        ),
    );
    all.insert("T8", (|| sampled(OrderStrategy::Shuffle), || sampled(OrderStrategy::Weighted)));
    all.insert("T17", (|| t17(Some("0123456789ab"), &Digest::of("another")), || t17(None, &Digest::of("any"))));
    all.insert("T19", (|| base(true), || base(false)));
    all
}

fn counts(rows: &[usize]) -> BTreeMap<ProfileId, usize> {
    rows.iter().enumerate().map(|(i, n)| (ProfileId::new(format!("p{i}")).expect("id"), *n)).collect()
}

fn one_article(change: &str) -> Vec<&'static Article> {
    let mut article = articles().remove(0);
    article.title.push_str(change);
    vec![Box::leak(Box::new(article))]
}

fn another_article() -> Vec<&'static Article> {
    vec![Box::leak(Box::new(articles().remove(40)))]
}

fn d8_of(score: fn(usize) -> f64) -> Finding {
    d8(&judgements(score, own_words), &[], &recipe().scale)
}

/// Rows scored relevant about articles with this text, where the recipe wants English.
fn foreign(text: &'static str) -> Finding {
    let mut recipe = recipe();
    recipe.data.languages = vec!["en".into()];
    let article = |_: &ArticleId| Some(text.to_owned());
    let premises = Premises { scale: &recipe.scale, languages: &recipe.data.languages, article: &article };
    let found = examine_rows(&judgements(|_| 8.5, own_words), &[], &premises);
    let alone = d12(&judgements(|_| 8.5, own_words), &recipe.data.languages, recipe.scale.relevant_from, &article);
    assert_eq!(found.iter().find(|f| f.guard == "D12"), alone.as_ref());
    found.into_iter().find(|f| f.guard == "D12").expect("the recipe names a language")
}

/// System prompts of the shipped readers; with a fresh graduate whose file calls them experienced.
fn prompts(wrong: bool) -> Finding {
    let mut readers = readers();
    if wrong {
        let graduate = readers.iter_mut().find(|p| p.id.as_str() == "kuwait_cpeg").expect("shipped");
        graduate.context = "Experienced engineer who runs a team.".into();
    }
    let renderer = Renderer::new(&recipe()).expect("renders");
    let prompts: Vec<String> = readers.iter().map(|p| renderer.system(p).expect("renders")).collect();
    d16(&readers, &prompts)
}

/// T8 on rows whose sampler was honoured, or ignored by a shuffle.
fn sampled(drawn: OrderStrategy) -> Finding {
    let recipe = recipe();
    let row = |i: usize| OrderRow::new(if i.is_multiple_of(10) { 9.0 } else { 0.5 }, 1, &recipe.train.run, &recipe.bands);
    let rows: Vec<OrderRow> = (0..1000).map(row).collect();
    let ids: Vec<String> = (0..1000).map(|i| format!("r{i}")).collect();
    let orders = [order(&rows, drawn, 5.0, 19, 0)];
    let epoch = Draws { strategy: OrderStrategy::Weighted, rows: &rows, ids: &ids, bands: &recipe.bands, orders: &orders };
    let report = SamplerReport::of(&epoch, 19);
    if report.pass { Finding::pass("T8", report.words()) } else { Finding::fail("T8", report.words(), "start anew") }
}

fn base(fine_tuned: bool) -> Finding {
    let dir = tempfile::tempdir().expect("temp dir");
    if fine_tuned {
        fs::write(dir.path().join("trainer_state.json"), "{}").expect("writes");
    }
    t19(dir.path(), false)
}

#[test]
fn each_failure_made_again_is_caught_and_its_absence_is_not() {
    for (id, (failure, sound)) in failures() {
        let (failure, sound) = (failure(), sound());
        assert_eq!((failure.guard.as_str(), sound.guard.as_str()), (id, id));
        assert!(failure.failed(), "{id} saw nothing: {}", failure.saw);
        assert!(!failure.saw.is_empty() && !failure.remedy.is_empty(), "{id}");
        assert!(!sound.failed(), "{id} cries wolf: {}", sound.saw);
    }
}

#[test]
fn a_guard_that_stops_is_marked_so_where_the_documented_failure_is() {
    let stops = [
        "D1", "D3", "D4", "D9", "D13", "D16", "M10", "T1", "T2", "T3", "T5", "T10", "T11", "T12", "T13", "T17", "S1", "S2", "S5",
        "S7", "S10",
    ];
    let stop = |g: &Guard| g.severity == Severity::Stop;
    for id in stops {
        assert!(registry().any(|g| g.id == id && stop(g)), "{id}");
    }
}

#[test]
fn the_doctor_prints_like_a_compiler_and_fails_where_a_stop_guard_does() {
    let workspace = Workspace::of("stratos-v2");
    let fresh = workspace.stratos(&["doctor"]);
    assert!(fresh.status.success() && text(&fresh).contains("doctor: 0 errors"), "{}", text(&fresh));
    let run = workspace.stratos(&["run", "--yes", "--to", "dataset"]);
    assert!(run.status.success(), "{}", text(&run));
    let healthy = workspace.stratos(&["doctor", "-v"]);
    let words = text(&healthy);
    assert!(healthy.status.success(), "{words}");
    for part in ["ok[D3]: the same article on both sides", "ok[D18]", "ok[T8]", "  --> dataset "] {
        assert!(words.contains(part), "{part}\n{words}");
    }

    // A held-out row moves to the training side behind the program's back.
    let stored = dataset_file(workspace.path());
    let mut dataset: Value = serde_json::from_slice(&fs::read(&stored).expect("reads")).expect("json");
    let rows = dataset["examples"].as_array_mut().expect("examples");
    let held: Vec<usize> = (0..rows.len()).filter(|i| rows[*i]["split"] == "eval").collect();
    rows[held[0]]["split"] = json!("train");
    let article = rows[held[0]]["pair"]["article"].as_str().expect("an id").to_owned();
    assert!(held[1..].iter().any(|i| rows[*i]["pair"]["article"] == article.as_str()), "its article is still held out");
    fs::write(&stored, dataset.to_string()).expect("writes");
    let config = workspace.path().join("stratos.toml");
    let toml = fs::read_to_string(&config).expect("reads").replace("seed = 19", "seed = 20");
    fs::write(&config, toml).expect("writes");

    let ill = workspace.stratos(&["doctor"]);
    let words = text(&ill);
    assert_eq!(ill.status.code(), Some(1), "{words}");
    for part in ["error[D3]: the same article on both sides of the split", "   = help: ", "warning[D5]: ", "doctor: 1 error, "] {
        assert!(words.contains(part), "{part}\n{words}");
    }
    let told: Value = serde_json::from_slice(&workspace.stratos(&["doctor", "--json"]).stdout).expect("json");
    let first = &told["diagnoses"][0];
    assert_eq!(
        (first["guard"].as_str(), first["state"].as_str(), first["fresh"].as_bool()),
        (Some("D3"), Some("error"), Some(true))
    );
}

fn dataset_file(root: &Path) -> std::path::PathBuf {
    let folders = fs::read_dir(root.join(".stratos/datasets")).expect("lists");
    folders.flatten().map(|d| d.path().join("dataset.json")).find(|p| p.is_file()).expect("a dataset")
}

#[test]
fn a_guard_is_explained_without_a_workspace() {
    let dir = tempfile::tempdir().expect("temp dir");
    let ask = |id: &str| {
        let mut command = std::process::Command::new(common::BINARY);
        command.arg("--workspace").arg(dir.path()).args(["doctor", "--explain", id]);
        command.output().expect("runs")
    };
    let words = text(&ask("d3")).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["D3: prevents the same article", "MAE 0.393 was memory", "when the dataset is built", "stops what it guards"] {
        assert!(words.contains(part), "{words}");
    }
    assert!(text(&ask("S1")).contains("before a release goes live"));
    assert!(text(&ask("M7")).contains("cannot happen any more"));
    let unknown = ask("Z9");
    assert!(!unknown.status.success() && text(&unknown).contains("there is no guard 'Z9'"));
}
