//! Our baselines against numpy and scikit-learn: `.ci/peers/baselines_check.py --write` makes the fixture.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde_json::Value;
use stratos::domain::{Article, Bands, Profile, ProfileRow, Recipe};
use stratos::evaluate::{BASELINES, Baselines, Metrics, Row};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/baselines").join(name)
}

fn lines<T: serde::de::DeserializeOwned>(name: &str) -> Vec<T> {
    let text = std::fs::read_to_string(fixture(name)).expect("fixture");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn every_baseline_predicts_what_numpy_and_scikit_learn_compute() {
    let recipe = Recipe::from_toml(include_str!("../data/recipes/stratos-v19.toml")).expect("sound");
    let articles: HashMap<String, Article> =
        lines::<Article>("articles.jsonl").into_iter().map(|a| (a.id.to_string(), a)).collect();
    let profiles: HashMap<String, Profile> = lines::<ProfileRow>("profiles.jsonl")
        .into_iter()
        .map(|row| row.into_profile().expect("typed"))
        .map(|p| (p.id.to_string(), p))
        .collect();
    let rows = |name: &str| {
        let mut all: BTreeMap<(String, String), f64> = BTreeMap::new();
        for row in lines::<Value>(name) {
            let (article, profile) = (row["article_id"].as_str().expect("id"), row["profile_id"].as_str().expect("id"));
            let score = row["score"].as_f64().expect("a score");
            if articles.contains_key(article) && profiles.contains_key(profile) && !recipe.scale.forbids(score) {
                all.entry((article.to_owned(), profile.to_owned())).or_insert(score);
            }
        }
        all
    };
    let (fit, judged) = (rows("fit.jsonl"), rows("judged.jsonl"));
    let train: Vec<(&Profile, &Article, f64)> = fit.iter().map(|((a, p), s)| (&profiles[p], &articles[a], *s)).collect();
    let fitted = Baselines::fit(&train, recipe.scale.range());
    let expected: Value =
        serde_json::from_str(&std::fs::read_to_string(fixture("expected.json")).expect("fixture")).expect("JSON");
    assert_eq!(expected["fitted_on"], train.len());

    let bands = Bands::from_edges(&[0.0, 2.0, 5.5, 7.0, 9.0]).expect("ascending");
    let mut compared = 0;
    for name in BASELINES {
        let theirs = &expected[name.replace(' ', "-").as_str()];
        let pairs = judged.keys().map(|(a, p)| (&profiles[p], &articles[a]));
        let said = fitted.predict_all(name, pairs);
        let mut table = Vec::new();
        for ((((article, profile), truth), ours), peer) in
            judged.iter().zip(&said).zip(theirs["predictions"].as_array().expect("predictions"))
        {
            assert_eq!((peer[0].as_str(), peer[1].as_str()), (Some(article.as_str()), Some(profile.as_str())));
            let wanted = peer[2].as_f64().expect("a number");
            assert!((ours - wanted).abs() < 1e-9, "{name} of {article}|{profile}: {ours}, scikit-learn {wanted}");
            assert!((ours - fitted.predict(name, &profiles[profile], &articles[article])).abs() < 1e-12);
            table.push(Row { article: article.clone(), profile: profile.clone(), truth: *truth, predicted: Some(*ours) });
            compared += 1;
        }
        let metrics = Metrics::compute(&table, &bands, &recipe.scale, Some(fitted.constant()));
        for (key, wanted) in theirs["metrics"].as_object().expect("figures").iter().filter(|(key, _)| *key != "bands") {
            let ours = if key == "n" { Some(metrics.n as f64) } else { metrics.value(key) };
            match (ours, wanted.as_f64()) {
                (Some(a), Some(b)) => assert!((a - b).abs() < 1e-9, "{name} {key}: {a}, numpy {b}"),
                (a, b) => assert_eq!(a, b, "{name} {key}"),
            }
        }
    }
    assert!(compared > 200, "{compared}");
}
