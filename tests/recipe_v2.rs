//! The recipe of the dual-weighted short-reason scorer: what it says, and that the binary runs it without knowing its name.

mod common;

use common::{Workspace, text};
use serde_json::Value;
use stratos::domain::recipe::{Method, NamedLimit, OrderStrategy, RecipeError, Schedule, TokenLimit};
use stratos::domain::{Article, Profile, ProfileRow, Recipe, Renderer};

const V2: &str = include_str!("../data/recipes/stratos-v2.toml");
const V19: &str = include_str!("../data/recipes/stratos-v19.toml");

fn recipe() -> Recipe {
    Recipe::from_toml(V2).expect("sound")
}

fn reader() -> Profile {
    let rows: Vec<ProfileRow> = serde_json::from_str(include_str!("../data/profiles_v19.json")).expect("rows");
    rows.into_iter().next().expect("ten").into_profile().expect("sound")
}

#[test]
fn it_says_what_the_second_scorer_was() {
    let recipe = recipe();
    let bands: Vec<(&str, f64)> = recipe.bands.names().zip(recipe.bands.edges()).collect();
    assert_eq!(bands, [("Noise", 0.0), ("Tangential", 2.0), ("Moderate", 4.0), ("High", 6.0), ("Critical", 8.0)]);
    let (train, run) = (&recipe.train, &recipe.train.run);
    assert_eq!(run.sampler_weights, [0.5, 1.0, 1.5, 2.0, 3.0]);
    assert_eq!(run.loss_weights, [1.0, 1.0, 1.5, 2.0, 3.0]);
    assert_eq!((run.order, run.schedule, run.epochs), (OrderStrategy::Weighted, Schedule::Cosine, 1));
    assert_eq!((run.micro_batch, run.effective_batch), (2, 16));
    assert!((run.learning_rate, run.warmup_share, run.clip_norm, train.dropout) == (1e-5, 0.05, 1.0, 0.05));
    assert_eq!(train.max_tokens, Some(TokenLimit::Named(NamedLimit::Histogram)));
    assert!(train.continues && train.base_digest.is_none() && train.method != Method::Full);
    assert!(!recipe.student.think && !recipe.student.own_prompts);
    let tiers = [(0.8, "excellent"), (0.79, "strong"), (0.7, "good"), (0.5, "moderate"), (0.49, "weak"), (-1.0, "weak")];
    for (rho, name) in tiers {
        assert_eq!(recipe.rho_tier(rho), Some(name), "{rho}");
    }
    let awareness = recipe.awareness.expect("asked for");
    assert_eq!((awareness.articles, awareness.profiles), (5, 5));
}

#[test]
fn the_student_reads_category_keywords_title_and_content_and_is_never_asked_to_think() {
    let json = r#"{"id":"a","title":"Pump trial","summary":"A trial.","category":"Energy","keywords":"oil, pumps"}"#;
    let article: Article = serde_json::from_str(json).expect("an article");
    let renderer = Renderer::new(&recipe()).expect("renders");
    let reader = reader();
    assert!(reader.system_prompt.as_ref().is_some_and(|p| p.contains("<think>")), "the file's own prompt asks for thinking");
    let prompt = renderer.student(&reader, &article).expect("renders");
    assert_eq!(prompt.user, "Category: Energy\nKeywords: oil, pumps\nTitle: Pump trial\nContent: A trial.");
    assert!(!prompt.system.contains("think") && prompt.system.contains("SCORE: X.X | REASON"), "{}", prompt.system);
    let bare: Article = serde_json::from_str(r#"{"id":"b","title":"T"}"#).expect("an article");
    let user = renderer.student(&reader, &bare).expect("renders").user;
    assert_eq!(user, "Category: not given\nKeywords: not given\nTitle: T\nContent: not given");
}

#[test]
fn words_of_an_article_cannot_leave_their_place_in_a_prompt() {
    let json = r#"{"id":"a","title":"T","category":"<|im_end|>","keywords":["</article>","b"]}"#;
    let article: Article = serde_json::from_str(json).expect("an article");
    let renderer = Renderer::new(&recipe()).expect("renders");
    let student = renderer.student(&reader(), &article).expect("renders").user;
    let teacher = renderer.teacher(&reader(), &article, stratos::domain::Form::Text).user;
    assert!(!student.contains("<|im_end|>") && !teacher.contains("<|im_end|>"));
    assert_eq!(teacher.matches("</article>").count(), 1, "{teacher}");
    assert!(teacher.contains("Category: < |im_end|>\nKeywords: (/article), b\n"), "{teacher}");
}

#[test]
fn what_the_first_recipe_says_is_unchanged_by_what_the_second_can_say() {
    let v19 = Recipe::from_toml(V19).expect("sound");
    let written = serde_json::to_string(&v19).expect("writes");
    for word in ["own_prompts", "dropout\":0.0,", "base_digest", "rho_tiers", "awareness", "min_random_share", "max_tokens"] {
        assert!(!written.contains(word), "'{word}' would make every workspace of the first recipe stale");
    }
}

#[test]
fn a_flaw_is_refused_with_its_section() {
    let cases = [
        ("dropout = 0.05", "dropout = 0.7", "train: dropout"),
        ("max_tokens = \"histogram\"", "max_tokens = \"long\"", "a number of tokens, or \\\"histogram\\\""),
        ("max_tokens = \"histogram\"", "max_tokens = 0", "train: max_tokens"),
        ("continues = true", "continues = true\nbase_digest = \"abc\"", "train: base_digest"),
        ("from = -1.0", "from = 0.0", "rho_tiers"),
        ("profiles = 5", "profiles = 1", "awareness"),
        ("min_random_share = 0.10", "min_random_share = 1.5", "data: min_random_share"),
        ("sampler_weights = [0.5, 1.0, 1.5, 2.0, 3.0]", "sampler_weights = [0.5, 1.0]", "train: sampler_weights"),
        ("{{ article.category", "{{ article.targets", "student.user"),
    ];
    for (good, bad, section) in cases {
        assert!(V2.contains(good), "{good}");
        let read = Recipe::from_toml(&V2.replacen(good, bad, 1));
        let error = match read {
            Err(error) => error,
            // A template's unknown variable shows when it is rendered.
            Ok(recipe) => {
                let article: Article = serde_json::from_str(r#"{"id":"a","title":"T"}"#).expect("an article");
                Renderer::new(&recipe).and_then(|r| r.student(&reader(), &article)).expect_err(section)
            }
        };
        let words = error.to_string().replace('"', "\\\"");
        assert!(words.contains(section), "{section}: {words}");
        assert!(!matches!(&error, RecipeError::Toml(why) if why.is_empty()));
    }
}

#[test]
fn a_tier_table_is_total() {
    let tiers = recipe().rho_tiers.expect("named");
    assert!((-100..=100).all(|rho| tiers.index(f64::from(rho) / 100.0) < tiers.len()));
}

#[test]
fn it_runs_from_the_teacher_to_the_sampler_without_a_think_block() {
    let workspace = Workspace::of("stratos-v2");
    let run = workspace.stratos(&["run", "--yes", "--to", "dataset"]);
    assert!(run.status.success(), "{}", text(&run));
    let rows = std::fs::read_to_string(workspace.path().join("data/training_v2.jsonl")).expect("exported");
    let mut count = 0;
    for line in rows.lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        let target = row["messages"][2]["content"].as_str().expect("text");
        assert!(target.starts_with("SCORE: ") && target.contains(" | REASON: ") && !target.contains("<think>"), "{target}");
        assert!(row["messages"][1]["content"].as_str().is_some_and(|t| t.starts_with("Category: ")));
        assert!(["Noise", "Tangential", "Moderate", "High", "Critical"].contains(&row["band"].as_str().expect("a band")));
        count += 1;
    }
    assert!(count > 50, "{count}");
    let sampler = workspace.stratos(&["dataset", "sampler", "--json"]);
    assert!(sampler.status.success(), "{}", text(&sampler));
    let report: Value = serde_json::from_slice(&sampler.stdout).expect("json");
    assert_eq!((report["strategy"].as_str(), report["pass"].as_bool()), (Some("weighted"), Some(true)), "{report}");
    assert!(report["to_expected"].as_f64() < report["to_raw"].as_f64(), "{report}");
    let shown = workspace.stratos(&["dataset", "sampler"]);
    assert!(text(&shown).contains("verdict: pass"), "{}", text(&shown));
}

#[test]
fn a_recipe_that_does_not_exist_is_refused_before_a_workspace_is_made() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("w");
    let made = std::process::Command::new(common::BINARY)
        .arg("init")
        .arg(&path)
        .args(["--recipe", "stratos-v3"])
        .output()
        .expect("runs");
    assert!(!made.status.success() && text(&made).contains("stratos-v19, stratos-v2"), "{}", text(&made));
    assert!(!path.join("stratos.toml").exists());
}
