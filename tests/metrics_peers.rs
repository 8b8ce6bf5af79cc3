//! Our metrics against numpy and scipy: `.ci/peers/metrics_check.py --write` makes the fixture.

use std::path::Path;

use serde_json::Value;
use stratos::domain::{Bands, Recipe};
use stratos::evaluate::metrics_of_file;

/// Paths at which `ours` is further than 1e-9 from `theirs`; keys that only we have are fine.
fn differences(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(_)) => {
            for (key, value) in theirs {
                differences(&format!("{path}.{key}"), value, &ours[key], found);
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            for (i, (a, b)) in theirs.iter().zip(ours).enumerate() {
                differences(&format!("{path}[{i}]"), a, b, found);
            }
        }
        _ => {
            let near = theirs.as_f64().zip(ours.as_f64()).is_some_and(|(a, b)| (a - b).abs() <= 1e-9);
            if !near && theirs != ours {
                found.push(format!("{path}: numpy says {theirs}, we say {ours}"));
            }
        }
    }
}

#[test]
fn every_metric_equals_what_numpy_and_scipy_compute() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics");
    let bands = Bands::from_edges(&[0.0, 2.0, 5.5, 7.0, 9.0]).expect("ascending");
    let recipe = Recipe::from_toml(include_str!("../data/recipes/stratos-v19.toml")).expect("sound");
    let report = metrics_of_file(&fixtures.join("rows.jsonl"), &bands, &recipe.scale).expect("reads");
    let ours = serde_json::to_value(&report).expect("plain data");
    let text = std::fs::read_to_string(fixtures.join("expected.json")).expect("fixture");
    let theirs: Value = serde_json::from_str(&text).expect("JSON");
    let mut found = Vec::new();
    differences("", &theirs, &ours, &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(report.metrics.n, 300);
    assert!(report.metrics.parse_failures > 10);
}
