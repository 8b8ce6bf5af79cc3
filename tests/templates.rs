//! Chat templates of the families, rendered as transformers rendered them: byte for byte. The fixtures are the peers'
//! (`.ci/peers`).

use std::fs;
use std::path::Path;

use minijinja::value::{Serde, Value as Variables};
use serde_json::{Value, json};
use stratos::student::ChatTemplate;

/// One fixture: what differs, and how many cases it has.
fn differences(fixture: &Value) -> (Vec<String>, usize) {
    let name = fixture["name"].as_str().expect("name");
    let source = fixture["template"].as_str().expect("template");
    let template = ChatTemplate::with_config(source, fixture["special_tokens"].clone()).expect("sound");
    let cases = fixture["cases"].as_array().expect("cases");
    let wrong = cases.iter().filter_map(|case| {
        let conversation = case["conversation"].as_str().expect("conversation");
        let mut variables = case["variables"].clone();
        variables["messages"] = fixture["conversations"][conversation].clone();
        let rendered = template.render_values(Variables::from(Serde(variables)));
        let same = match (&rendered, case["rendered"].as_str()) {
            (Ok(have), Some(want)) => have == want,
            (Err(_), None) => case["error"] == json!(true),
            _ => false,
        };
        (!same).then(|| format!("{name}, {conversation}, {}: {rendered:?} instead of {}", case["variables"], case["rendered"]))
    });
    (wrong.collect(), cases.len())
}

#[test]
fn every_family_s_template_is_rendered_as_transformers_renders_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/student/templates");
    let (mut wrong, mut cases, mut files) = (Vec::new(), 0, 0);
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|e| e == "json") {
            let text = fs::read_to_string(entry.path()).expect("readable");
            let (more, count) = differences(&serde_json::from_str(&text).expect("JSON"));
            wrong.extend(more);
            cases += count;
            files += 1;
        }
    }
    assert!(files >= 5 && cases >= 100, "{} holds {files} fixtures with {cases} cases", folder.display());
    assert!(wrong.is_empty(), "{} of {cases} differ:\n{}", wrong.len(), wrong.join("\n"));
}
