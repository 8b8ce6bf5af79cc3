//! The sealed hold-out in the real binary: made once, before training; kept from every dataset; copies found; looks counted.

mod common;
mod labelled;

use std::fs;
use std::path::PathBuf;

use common::{READERS, Workspace, json_lines};
use labelled::{
    articles, built, choose, examples, import, json_of, judgements, lines, real, refused, score_row, told, workspace,
};
use serde_json::{Value, json};

/// A workspace with every judgement of one annotator and part of another's.
fn labelled() -> Workspace {
    let workspace = workspace();
    import(&workspace, "first.jsonl", &judgements(&workspace, "first", 0.0));
    import(&workspace, "second.jsonl", &judgements(&workspace, "second", 0.4)[..60]);
    workspace
}

fn seal_file(workspace: &Workspace) -> PathBuf {
    let mut all: Vec<PathBuf> =
        fs::read_dir(workspace.path().join(".stratos/seals")).expect("seals").flatten().map(|e| e.path()).collect();
    all.sort();
    all.pop().expect("a seal")
}

fn sealed_articles(workspace: &Workspace) -> Vec<Value> {
    let seal: Value = serde_json::from_slice(&fs::read(seal_file(workspace)).expect("reads")).expect("JSON");
    let clusters = seal["clusters"].as_array().expect("clusters");
    clusters.iter().flat_map(|c| c["articles"].as_array().expect("articles").clone()).collect()
}

#[test]
fn sealed_rows_are_in_no_dataset_and_every_look_at_them_is_counted() {
    let workspace = labelled();
    let said = told(&workspace, &["dataset", "seal", "--share", "0.2", "--profiles", "1"]);
    assert!(said.contains("and 1 readers as"), "{said}");
    let view = json_of(&workspace, &["dataset", "seal", "--show", "--json"]);
    let readers = view["readers"].as_array().expect("readers").clone();
    let inside: Vec<String> = sealed_articles(&workspace).iter().map(|a| a["id"].as_str().expect("an id").to_owned()).collect();
    assert!((4..=8).contains(&inside.len()) && readers.len() == 1, "{view}");
    assert!(view["tampered"].is_null() && view["openings"] == json!([]), "{view}");

    let said = built(&workspace);
    let rows = examples(&workspace);
    assert!(!rows.is_empty());
    for row in &rows {
        let (article, profile) = (row["pair"]["article"].as_str().expect("an id"), &row["pair"]["profile"]);
        assert!(!inside.iter().any(|id| id == article) && !readers.contains(profile), "{row}");
    }
    let held = 28 + 3 * inside.len();
    assert_eq!(rows.len(), 112 - held);
    let d4 = said.iter().find(|e| e["event"] == "finding" && e["finding"]["guard"] == "D4").expect("D4 speaks");
    assert!(d4["finding"]["saw"].as_str().is_some_and(|s| s.contains("opened 0 times")), "{d4}");
    let report = told(&workspace, &["dataset", "stats"]);
    assert!(report.contains("judgements held out by the seal: sealed article"), "{report}");
    assert!(told(&workspace, &["status"]).contains("1 readers; opened 0 times"));

    // The rows are given once a reason is, with what others said of them.
    let file = workspace.path().join("opened.jsonl");
    assert!(refused(&workspace, &["dataset", "seal", "--open", " ", "--to", &file.to_string_lossy()]).contains("reason"));
    for number in 1..=2 {
        let said = told(&workspace, &["dataset", "seal", "--open", "baselines elsewhere", "--to", &file.to_string_lossy()]);
        assert!(said.contains(&format!("opening {number} of seal")), "{said}");
    }
    let opened: Vec<Value> =
        fs::read_to_string(&file).expect("rows").lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(opened.len(), held);
    assert!(opened.iter().all(|r| r["source"] == "first" || r["source"] == "second"));
    assert!(opened.iter().any(|r| !r["opinions"].as_array().expect("a list").is_empty()));
    assert_eq!(opened.iter().filter(|r| r["held"] == "both").count(), inside.len());
    let shown = told(&workspace, &["dataset", "seal", "--show"]);
    assert!(shown.contains("opened 2 times") && shown.contains("opening 2 by"), "{shown}");
}

#[test]
fn a_seal_is_made_once_and_only_grows() {
    let workspace = labelled();
    assert!(refused(&workspace, &["dataset", "seal", "--add", "v19-001"]).contains("nothing is sealed"));
    assert!(refused(&workspace, &["dataset", "seal", "--share", "0.9"]).contains("0.9"));
    assert!(refused(&workspace, &["dataset", "seal", "--profile", "nobody"]).contains("no reader 'nobody'"));
    told(&workspace, &["dataset", "seal"]);
    let first = json_of(&workspace, &["dataset", "seal", "--show", "--json"]);
    assert!(refused(&workspace, &["dataset", "seal", "--share", "0.3"]).contains("sealed already"));
    let inside = sealed_articles(&workspace);
    let is_inside = |id: &Value| inside.iter().any(|a| a["id"] == *id);
    let all = articles(&workspace);
    let outside = all.iter().map(|a| &a["id"]).find(|id| !is_inside(id)).and_then(Value::as_str).expect("one");
    let sealed = inside[0]["id"].as_str().expect("an id");
    assert!(refused(&workspace, &["dataset", "seal", "--add", sealed]).contains("sealed already"));
    assert!(refused(&workspace, &["dataset", "seal", "--add", "nobody"]).contains("no article 'nobody'"));
    told(&workspace, &["dataset", "seal", "--add", outside]);
    let second = json_of(&workspace, &["dataset", "seal", "--show", "--json"]);
    assert_eq!(second["previous"], first["digest"]);
    assert_eq!(sealed_articles(&workspace).len(), inside.len() + 1);
}

#[test]
fn a_changed_or_lost_seal_stops_the_build_and_can_be_restored() {
    let workspace = labelled();
    told(&workspace, &["dataset", "seal"]);
    let file = seal_file(&workspace);
    assert!(fs::metadata(&file).expect("there").permissions().readonly());
    let whole = fs::read(&file).expect("reads");
    let smaller = String::from_utf8(whole.clone()).expect("text").replacen("\"id\"", "\"id \"", 1);
    for planted in [None, Some(smaller)] {
        fs::remove_file(&file).expect("removed");
        if let Some(text) = planted {
            fs::write(&file, text).expect("writes");
        }
        let said = refused(&workspace, &["dataset", "build"]);
        assert!(said.contains("D4") && said.contains("the sealed hold-out was changed") && said.contains("--restore"), "{said}");
        assert!(refused(&workspace, &["dataset", "seal", "--open", "to see", "--to", "x.jsonl"]).contains("D4"));
        assert!(told(&workspace, &["dataset", "seal", "--show"]).contains("CHANGED"));
        told(&workspace, &["dataset", "seal", "--restore"]);
        assert_eq!(fs::read(&file).expect("reads"), whole);
        built(&workspace);
    }
}

/// An exact copy, a retitled one and a syndicated one of a sealed article, under ids of their own.
fn copies(original: &Value) -> [Value; 3] {
    let text = |key: &str| original[key].as_str().unwrap_or_default().to_owned();
    let (title, summary) = (text("title"), text("summary"));
    [
        json!({"id": "exact", "title": title, "summary": summary, "url": text("url"), "source": text("source")}),
        json!({"id": "retitled", "title": "You will not believe this", "summary": summary, "url": "https://elsewhere.example/a"}),
        json!({"id": "syndicated", "title": title.to_uppercase(), "summary": "Shortened by the agency.", "url": "https://wire.example/b"}),
    ]
}

#[test]
fn each_planted_copy_of_a_sealed_article_is_named_at_import_and_stops_the_build() {
    for planted in 0..3 {
        let workspace = labelled();
        told(&workspace, &["dataset", "seal"]);
        built(&workspace);
        let copy = copies(&sealed_articles(&workspace)[0])[planted].clone();
        let id = copy["id"].as_str().expect("an id").to_owned();
        let file = workspace.file("planted.jsonl", lines(&[copy]));
        told(&workspace, &["articles", "import", &file.to_string_lossy()]);
        let said = import(
            &workspace,
            "leak.jsonl",
            &[score_row(&id, READERS[0], 8.0, "leaker"), score_row(&id, READERS[1], 1.0, "leaker")],
        );
        assert!(
            said.contains("D3") && said.contains(&format!("{id} is ")) && said.contains("2 rows are about 1 copies"),
            "{said}"
        );
        let said = refused(&workspace, &["dataset", "build"]);
        assert!(said.contains("D3") && said.contains(&id) && said.contains("--add-copies"), "{said}");
        let before = examples(&workspace).len();
        told(&workspace, &["dataset", "seal", "--add-copies"]);
        built(&workspace);
        assert!(examples(&workspace).iter().all(|e| e["pair"]["article"] != id.as_str()));
        assert_eq!(examples(&workspace).len(), before);
        assert!(told(&workspace, &["dataset", "seal", "--add-copies"]).contains("no article outside the seal is a copy"));
    }
}

#[test]
fn a_copy_that_comes_inside_a_chat_row_is_found_too() {
    let workspace = labelled();
    told(&workspace, &["dataset", "seal"]);
    let original = &sealed_articles(&workspace)[0];
    let summary = original["summary"].as_str().expect("a text");
    let system = "You are a relevance scorer for a glass blower in Murano, Italy.\nReply ONLY with a score.";
    let user =
        format!("Score this article:\nCategory: x\nKeywords: \nTitle: Nothing like the first title at all\nContent: {summary}");
    let row = json!({"messages": [{"role": "system", "content": system}, {"role": "user", "content": user},
        {"role": "assistant", "content": "SCORE: 7.5 | REASON: It is about glass."}]});
    let said = import(&workspace, "chats.jsonl", &[row]);
    assert!(said.contains("D3") && said.contains("near text"), "{said}");
    assert!(refused(&workspace, &["dataset", "build"]).contains("D3"));
}

#[test]
fn after_training_a_seal_needs_a_written_reason() {
    let workspace = labelled();
    let trained = workspace.stratos(&["run", "--yes", "--to", "train", "--json"]);
    assert!(trained.status.success(), "{:?}", json_lines(&trained).last());
    assert!(refused(&workspace, &["dataset", "seal"]).contains("--reason"));
    told(&workspace, &["dataset", "seal", "--reason", "the first run was a rehearsal"]);
    let shown = told(&workspace, &["dataset", "seal", "--show"]);
    assert!(shown.contains("because: the first run was a rehearsal"), "{shown}");
}

#[test]
fn the_same_seed_makes_the_same_seal_and_the_same_bytes() {
    let make = |seed: &str| {
        let workspace = labelled();
        told(&workspace, &["dataset", "seal", "--profiles", "1", "--seed", seed]);
        built(&workspace);
        let read = |name: &str| fs::read(workspace.path().join("data").join(name)).expect("an export");
        (fs::read(seal_file(&workspace)).expect("a seal"), read("training_v19_cot.jsonl"), read("eval_v19_cot.jsonl"))
    };
    let first = make("19");
    assert_eq!(make("19"), first);
    assert_ne!(make("20").0, first.0);
}

#[test]
fn the_real_files_are_sealed_and_built_with_copies_found_across_files() {
    let names = ["claude_scores.jsonl", "gemini_scores.jsonl", "annotator_b_scores.jsonl", "legacy_traces.jsonl"];
    let (Some(articles), Some(profiles)) = (real("articles.jsonl"), real("profiles.jsonl")) else { return };
    let files: Vec<String> = names.iter().filter_map(|name| real(name)).map(|p| p.to_string_lossy().into_owned()).collect();
    let workspace = workspace();
    choose(
        &workspace,
        "sources = [\"imported\"]\nannotators = [\"claude-batch\", \"gemini-3-flash\"]\nexclude = [\"annotator-b\"]",
    );
    let start = std::time::Instant::now();
    told(&workspace, &["articles", "import", &articles.to_string_lossy()]);
    told(&workspace, &["profiles", "import", &profiles.to_string_lossy()]);
    let mut arguments = vec!["dataset", "import"];
    arguments.extend(files.iter().map(String::as_str));
    told(&workspace, &arguments);
    told(&workspace, &["dataset", "seal", "--share", "0.2", "--profiles", "4"]);
    built(&workspace);
    eprintln!("imported, sealed and built in {:?}", start.elapsed());

    let view = json_of(&workspace, &["dataset", "seal", "--show", "--json"]);
    let seal: Value = serde_json::from_slice(&fs::read(seal_file(&workspace)).expect("reads")).expect("JSON");
    // A cluster of what the file of articles has and what only the chat rows brought.
    let brought = |article: &Value| article["id"].as_str().is_some_and(|id| id.starts_with("row-"));
    let mixed = |cluster: &&Value| {
        let articles = cluster["articles"].as_array().expect("articles");
        articles.iter().any(brought) && !articles.iter().all(brought)
    };
    assert!(seal["clusters"].as_array().expect("clusters").iter().filter(mixed).count() > 0, "copies across files");
    let readers = view["readers"].as_array().expect("readers");
    assert!(readers.len() >= 4);
    let inside = sealed_articles(&workspace);
    let inside: std::collections::HashSet<&str> = inside.iter().filter_map(|a| a["id"].as_str()).collect();
    let rows = examples(&workspace);
    for row in &rows {
        let article = row["pair"]["article"].as_str().expect("an id");
        assert!(!inside.contains(article) && !readers.contains(&row["pair"]["profile"]), "{}", row["id"]);
        let score = row["score"].as_f64().expect("a score");
        assert!(
            (0.0..=10.0).contains(&score) && (score - 5.0).abs() > 0.04 && row["annotator"] != "annotator-b",
            "{}",
            row["id"]
        );
    }
    assert!(rows.len() > 8_000, "{}", rows.len());
    let exports = || {
        ["training_v19_cot.jsonl", "eval_v19_cot.jsonl"]
            .map(|name| fs::read(workspace.path().join("data").join(name)).expect("an export"))
    };
    let first = exports();
    told(&workspace, &["dataset", "build", "--again"]);
    assert_eq!(exports(), first);
}
