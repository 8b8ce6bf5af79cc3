//! Files of labels in the real binary: read by their content, matched, judged row by row, merged with provenance.

mod common;
mod labelled;

use std::fs;

use common::{READERS, Workspace, text};
use labelled::{
    articles, built, choose, examples, import, json_of, judgements, left_out, lines, real, refused, score_row, source, told,
    workspace,
};
use serde_json::{Value, json};

#[test]
fn the_same_file_twice_changes_nothing_and_orphans_join_when_their_article_comes() {
    let workspace = workspace();
    let mut rows = judgements(&workspace, "first", 0.0);
    rows.push(score_row("later", READERS[0], 7.5, "first"));
    rows.push(score_row("later", "nobody", 7.5, "first"));
    let said = import(&workspace, "first.jsonl", &rows);
    assert!(said.contains("2 labels name 1 articles that are not known: later (2)"), "{said}");
    let first = source(&workspace, "first.jsonl");
    assert_eq!((first["rows"].as_u64(), first["orphans"].as_u64()), (Some(114), Some(2)), "{first}");

    let again = import(&workspace, "first.jsonl", &rows);
    assert!(again.contains("0 labels imported, 1 files were known already"), "{again}");
    assert_eq!(json_of(&workspace, &["dataset", "sources", "--json"]).as_array().map(Vec::len), Some(1));

    let article =
        workspace.file("later.jsonl", lines(&[json!({"id": "later", "title": "A title nobody knew", "summary": "Its text."})]));
    told(&workspace, &["articles", "import", &article.to_string_lossy()]);
    built(&workspace);
    let joined = source(&workspace, "first.jsonl");
    assert_eq!(left_out(&joined, "unknown article"), 0, "{joined}");
    assert_eq!(left_out(&joined, "unknown reader"), 1, "{joined}");
    assert!(examples(&workspace).iter().any(|e| e["id"] == format!("later|{}", READERS[0])));
}

#[test]
fn rows_that_cannot_be_taught_from_are_left_out_with_their_reason() {
    let workspace = workspace();
    let mut rows = judgements(&workspace, "first", 0.0);
    let id = rows[0]["article_id"].clone();
    let bad = [
        ("score", json!(5.0), "forbidden score"),
        ("score", json!(10.5), "outside the scale"),
        ("score", json!("high"), "the score is not a number"),
        ("reason", json!("It is about a company that hires in the"), "unfinished reason"),
        ("reason", json!(""), "no reason"),
        ("reason", json!("Adjusted from 5.0 to avoid the middle."), "reason of another score"),
        ("think", json!("PROFILE: x\nVERDICT: noise, filter out"), "think block contradicts the score"),
    ];
    for (i, (key, value, _)) in bad.iter().enumerate() {
        let mut row = rows[i].clone();
        row["score"] = json!(7.5);
        row[*key] = value.clone();
        rows[i] = row;
    }
    import(&workspace, "first.jsonl", &rows);
    let first = source(&workspace, "first.jsonl");
    for (_, _, reason) in &bad {
        assert_eq!(left_out(&first, reason), 1, "{reason}: {first}");
    }
    built(&workspace);
    let list = told(&workspace, &["dataset", "quarantine"]);
    assert!(list.contains("7 left out:") && list.contains("first.jsonl:1"), "{list}");
    let listed: Vec<Value> = common::json_lines(&workspace.stratos(&["dataset", "quarantine", "--json"]));
    assert!(listed.iter().any(|q| q["article"] == id && q["file"]["line"] == 1 && q["annotator"] == "first"), "{listed:?}");
    let report = told(&workspace, &["dataset", "stats"]);
    assert!(report.contains("forbidden score 1") && report.contains("112 imported labels from 1 files: 105 kept"), "{report}");
}

fn chat(system: &str, title: &str, content: &str, answer: &str) -> Value {
    let user = format!("Score this article:\nCategory: research\nKeywords: \nTitle: {title}\nContent: {content}");
    json!({"messages": [{"role": "system", "content": system}, {"role": "user", "content": user}, {"role": "assistant", "content": answer}]})
}

#[test]
fn chat_rows_without_ids_find_their_article_and_reader_or_bring_them_along() {
    let workspace = workspace();
    import(&workspace, "first.jsonl", &judgements(&workspace, "first", 0.0));
    let known = &articles(&workspace)[0];
    let title = known["title"].as_str().expect("a title").to_uppercase();
    let profiles = told(&workspace, &["profiles", "list", "--json"]);
    let profiles: Vec<Value> = serde_json::from_str(profiles.trim()).expect("JSON");
    let nurse = profiles.iter().map(|p| &p["profile"]).find(|p| p["id"] == "texas_nurse").expect("a reader");
    let (role, place) = (nurse["role"].as_str().expect("a role"), nurse["location"].as_str().expect("a place"));
    let of_nurse = format!(
        "You are a relevance scorer for a {role} in {place}.\nUser context: Follows hospitals.\nReply ONLY with a score."
    );
    let stranger =
        "You are a relevance scorer for a glass blower in Murano, Italy.\nUser context: Blows glass.\nReply ONLY with a score.";
    let good = "<think>\nPROFILE: x\nVERDICT: relevant and useful\n</think>\nSCORE: 7.5 | REASON: It says something about glass";
    let mut rows = vec![
        chat(&of_nurse, &title, "Another text of the same article.", good),
        chat(stranger, "A furnace opens in the lagoon", "It is hot.", good),
        chat(stranger, "A furnace opens in the lagoon", "It is still hot.", good),
        chat(stranger, "Murano glass sells well abroad", "In many places.", good),
    ];
    let dirty = [
        ("<think>a</think><think>b</think>\nSCORE: 1.0 | REASON: x.", "several think blocks"),
        ("<think>a", "the think block is not closed"),
        ("<think>a</think>\nNothing for this reader.", "no score line"),
        ("SCORE: 11.0 | REASON: x.", "outside the scale"),
        ("SCORE: 7.0 | REASON: x.\nSCORE: 8.0 | REASON: y.", "several scores in one answer"),
    ];
    for (i, (answer, _)) in dirty.iter().enumerate() {
        rows.push(chat(stranger, &format!("Dirty row number {i} of them"), "Text.", answer));
    }
    let said = import(&workspace, "chats.jsonl", &rows);
    let chats = source(&workspace, "chats.jsonl");
    assert_eq!(
        (chats["kind"].as_str(), chats["annotators"][0].as_str(), chats["kept"].as_u64()),
        (Some("chat"), Some("chats"), Some(4)),
        "{chats}"
    );
    for (_, reason) in &dirty {
        assert_eq!(left_out(&chats, reason), 1, "{reason}: {chats}");
    }
    assert!(said.contains("1 readers that were not known came with it"), "{said}");
    // What came with labels is judged already: nothing of it takes part in distillation.
    let listed = json_of(&workspace, &["profiles", "list", "--json"]);
    let made: Vec<&Value> = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter(|p| p["profile"]["id"].as_str().is_some_and(|id| id.starts_with("reader-")))
        .collect();
    assert_eq!((made.len(), made[0]["selected"].as_bool()), (1, Some(false)), "{listed}");
    assert_eq!(made[0]["profile"]["role"], "glass blower");

    choose(&workspace, "sources = [\"imported\"]\nannotators = [\"chats\"]");
    let recipe = workspace.path().join("data/recipes/stratos-v19.toml");
    let rules = fs::read_to_string(&recipe).expect("reads").replace("min_rows_per_profile = 3", "min_rows_per_profile = 1");
    fs::write(&recipe, rules).expect("writes");
    built(&workspace);
    let all = examples(&workspace);
    let nurses =
        all.iter().find(|e| e["pair"]["article"] == known["id"] && e["pair"]["profile"] == "texas_nurse").expect("matched");
    assert_eq!((nurses["annotator"].as_str(), nurses["score"].as_f64()), (Some("chats"), Some(7.5)), "{nurses}");
    assert_eq!(
        nurses["messages"][2]["content"], "SCORE: 7.5 | REASON: It says something about glass",
        "taught without its think block"
    );
    assert_eq!(all.iter().filter(|e| e["pair"]["profile"] == made[0]["profile"]["id"]).count(), 2, "one title is one article");
    let list = told(&workspace, &["dataset", "quarantine"]);
    assert!(list.contains("pair judged twice 2"), "{list}");
}

#[test]
fn preference_and_trust_choose_among_annotators_and_the_others_are_second_opinions() {
    let workspace = workspace();
    let (first, second) = (judgements(&workspace, "first", 0.0), judgements(&workspace, "second", 0.4));
    let path = workspace.file("first.jsonl", lines(&first));
    told(&workspace, &["dataset", "import", &path.to_string_lossy(), "--trust", "low"]);
    let path = workspace.file("second.jsonl", lines(&second[..40]));
    told(&workspace, &["dataset", "import", &path.to_string_lossy(), "--trust", "high"]);
    let by = |annotator: &str| examples(&workspace).iter().filter(|e| e["annotator"] == annotator).count();
    built(&workspace);
    assert_eq!((by("second"), by("first")), (40, 72), "more trust goes first");
    choose(&workspace, "sources = [\"imported\"]\nannotators = [\"first\"]");
    built(&workspace);
    assert_eq!((by("second"), by("first")), (0, 112));
    let row = &examples(&workspace)[0];
    assert_eq!((row["file"]["file"].as_str(), row["trust"].as_str()), (Some("first.jsonl"), Some("low")), "{row}");
    let opinions = told(&workspace, &["dataset", "quarantine"]);
    assert!(opinions.contains("pair judged twice 40"), "{opinions}");
    choose(&workspace, "sources = [\"imported\"]\nmin_trust = \"high\"");
    built(&workspace);
    assert_eq!((by("second"), by("first")), (40, 0));
    import(&workspace, "third.jsonl", &second[40..42]);
    choose(&workspace, "sources = [\"imported\"]\nannotators = [\"second\"]\nmin_rows_per_reader = 38");
    // 28 + 10 each, and one more for two of them: all four have enough; one more asked for, and two have not.
    built(&workspace);
    assert_eq!(by("second") + by("first"), 112);
    choose(&workspace, "sources = [\"imported\"]\nmin_rows_per_reader = 39");
    let said = refused(&workspace, &["dataset", "build"]);
    assert!(said.contains("D1") && said.contains("training rows of 2 readers"), "{said}");
    choose(&workspace, "sources = [\"imported\"]\nexclude = [\"second\"]");
    built(&workspace);
    assert_eq!((by("second"), by("first")), (0, 112));
}

#[test]
fn without_a_teacher_nothing_is_planned_and_with_one_both_kinds_meet() {
    let workspace = workspace();
    import(&workspace, "first.jsonl", &judgements(&workspace, "first", 0.0)[..20]);
    let told_of = built(&workspace);
    let distill = told_of.iter().find(|e| e["event"] == "phase_done" && e["phase"] == "distill").expect("the phase ran");
    assert!(distill["headline"].as_str().is_some_and(|h| h.starts_with("nothing to ask")), "{distill}");
    assert_eq!(examples(&workspace).len(), 20);
}

#[test]
fn a_student_that_thinks_is_not_taught_from_labels_without_a_think_block() {
    let workspace = Workspace::small();
    let said = import(&workspace, "first.jsonl", &judgements(&workspace, "first", 0.0));
    assert!(said.contains("112 no think block"), "{said}");
    let output = workspace.stratos(&["run", "--yes", "--to", "dataset", "--json"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(examples(&workspace).iter().all(|e| e["annotator"] == "rehearsal/rehearsal-prism-1"));
}

#[test]
fn our_own_training_files_come_back_with_their_ids_and_the_policy_holds_them() {
    let workspace = workspace();
    import(&workspace, "first.jsonl", &judgements(&workspace, "first", 0.0));
    built(&workspace);
    let exported = workspace.path().join("data/training_v19_cot.jsonl");
    let rows = fs::read_to_string(&exported).expect("an export").lines().count();
    let other = labelled::workspace();
    fs::write(other.path().join("data/polarizing_articles_v19.json"), "[]").expect("writes");
    let recipe = other.path().join("data/recipes/stratos-v19.toml");
    let rules = fs::read_to_string(&recipe).expect("reads");
    fs::write(
        &recipe,
        rules.replace(
            "[[data.targets]]\nbands = [\"Noise\"",
            "[data.import]\nmin_score = 5.5\n\n[[data.targets]]\nbands = [\"Noise\"",
        ),
    )
    .expect("writes");
    told(&other, &["dataset", "import", &exported.to_string_lossy(), "--annotator", "earlier", "--trust", "low"]);
    let earlier = source(&other, "training_v19_cot.jsonl");
    assert_eq!((earlier["kind"].as_str(), earlier["rows"].as_u64()), (Some("training"), Some(rows as u64)), "{earlier}");
    let kept = earlier["kept"].as_u64().expect("a count");
    assert!(kept > 0 && kept + left_out(&earlier, "left out by data.import") == rows as u64, "{earlier}");
}

#[test]
fn a_file_that_holds_no_labels_is_refused_and_stores_nothing() {
    let workspace = workspace();
    for (name, body, word) in [
        ("empty.jsonl", "", "0 of 0 rows"),
        ("odd.jsonl", "{\"text\": \"x\"}\n{\"text\": \"y\"}\n", "cannot be read as labels"),
        ("noise.jsonl", "not json\nnor this\n", "cannot be read as labels"),
    ] {
        let path = workspace.file(name, body);
        let said = refused(&workspace, &["dataset", "import", &path.to_string_lossy()]);
        assert!(said.contains(word), "{name}: {said}");
    }
    let missing = refused(&workspace, &["dataset", "import", "/no/such/file.jsonl"]);
    assert!(missing.contains("/no/such/file.jsonl"), "{missing}");
    assert_eq!(json_of(&workspace, &["dataset", "sources", "--json"]), json!([]));
}

#[test]
fn the_guards_name_the_real_file_that_a_script_wrote() {
    let names = ["annotator_b_scores.jsonl", "claude_scores.jsonl", "gemini_scores.jsonl", "legacy_traces.jsonl"];
    let (Some(articles), Some(profiles)) = (real("articles.jsonl"), real("profiles.jsonl")) else { return };
    let files: Vec<String> = names.iter().filter_map(|name| real(name)).map(|p| p.to_string_lossy().into_owned()).collect();
    let workspace = workspace();
    told(&workspace, &["articles", "import", &articles.to_string_lossy()]);
    told(&workspace, &["profiles", "import", &profiles.to_string_lossy()]);
    let mut arguments = vec!["dataset", "import"];
    arguments.extend(files.iter().map(String::as_str));
    let said = told(&workspace, &arguments);
    let all = json_of(&workspace, &["dataset", "sources", "--json"]);
    let suspicious: Vec<&str> =
        all.as_array().expect("a list").iter().filter(|s| s["suspicious"] == true).filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(suspicious, ["annotator_b_scores.jsonl"], "{said}");
    for (name, forbidden, orphans) in [(names[0], 9, 0), (names[1], 1, 3), (names[2], 4, 65)] {
        let found = source(&workspace, name);
        assert_eq!((left_out(&found, "forbidden score"), left_out(&found, "unknown article")), (forbidden, orphans), "{found}");
    }
}
