//! Bad input gets an error that names file, line and remedy; nothing recorded is lost.

mod common;

use std::fs;

use common::{Workspace, json_lines, text};

const GOOD: &str = r#"{"id":"good-1","title":"A first article","summary":"s"}"#;

/// Imports `bytes` as articles and returns what was said; asserts that it failed and that nothing was stored.
fn refused(bytes: &[u8]) -> String {
    let workspace = Workspace::small();
    let file = workspace.file("articles.jsonl", bytes);
    let output = workspace.stratos(&["articles", "import", &file.to_string_lossy()]);
    assert!(!output.status.success(), "accepted: {}", text(&output));
    let stored = workspace.stratos(&["articles", "list", "--json"]);
    assert_eq!(json_lines(&stored)[0].as_array().map(Vec::len), Some(0), "{}", text(&stored));
    text(&output)
}

#[test]
fn each_kind_of_bad_line_is_refused_with_file_line_and_remedy() {
    let long = format!("{GOOD}\n{{\"id\":\"b\",\"title\":\"{}\"}}", "x".repeat(10 << 20));
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("broken JSON", format!("{GOOD}\n{{\"id\": \"b\", ").into_bytes(), "line 2"),
        ("missing field", format!("{GOOD}\n{{\"id\": \"b\"}}").into_bytes(), "no 'title'"),
        ("ten megabytes", long.into_bytes(), "longer than 4 MiB"),
        ("invalid UTF-8", [GOOD.as_bytes(), b"\n{\"id\":\"\xff\"}"].concat(), "not UTF-8"),
        ("duplicate ids", format!("{GOOD}\n{}", GOOD.replace("first", "second")).into_bytes(), "already used on line 1"),
        ("a bad id", format!("{GOOD}\n{{\"id\":\"a b\",\"title\":\"t\"}}").into_bytes(), "white space"),
    ];
    for (name, bytes, word) in cases {
        let said = refused(&bytes);
        assert!(
            said.contains("articles.jsonl, line 2") && said.contains(word) && said.contains("import again"),
            "{name}: {said}"
        );
    }
}

#[test]
fn an_empty_file_and_a_missing_one_are_named() {
    assert!(refused(b"\n\n").contains("holds no records"));
    let workspace = Workspace::small();
    let said = text(&workspace.stratos(&["articles", "import", "/nowhere/articles.jsonl"]));
    assert!(said.contains("/nowhere/articles.jsonl") && said.contains("Check the path"), "{said}");
}

#[test]
fn escape_sequences_in_a_title_do_not_reach_the_terminal() {
    let workspace = Workspace::small();
    let row = "{\"id\":\"evil\",\"title\":\"\\u001b]0;owned\\u0007\\u001b[2Jcleared\\u202e\",\"summary\":\"s\"}";
    let file = workspace.file("evil.jsonl", row);
    assert!(workspace.stratos(&["articles", "import", &file.to_string_lossy()]).status.success());
    let listed = workspace.stratos(&["articles", "list"]).stdout;
    assert!(!listed.contains(&0x1b) && !listed.contains(&0x07), "{}", String::from_utf8_lossy(&listed));
    assert!(String::from_utf8_lossy(&listed).contains("[2Jcleared"));
}

#[test]
fn an_import_twice_changes_nothing_the_second_time() {
    let workspace = Workspace::small();
    let file = workspace.file("articles.jsonl", GOOD);
    let import = || text(&workspace.stratos(&["articles", "import", &file.to_string_lossy()]));
    assert!(import().contains("1 added"));
    assert!(import().contains("0 added, 0 updated, 1 unchanged"));
}

#[test]
fn an_unknown_profile_is_named_with_where_to_look() {
    let workspace = Workspace::small();
    let said = text(&workspace.stratos(&["score", "--profile", "nobody", "--title", "t"]));
    assert!(said.contains("no profile 'nobody'") && said.contains("stratos profiles list"), "{said}");
}

#[test]
fn a_profile_with_a_missing_field_is_named_by_its_line() {
    let workspace = Workspace::small();
    let file =
        workspace.file("p.jsonl", "{\"id\":\"a\",\"role\":\"nurse\",\"location\":\"Oslo\"}\n{\"id\":\"b\",\"role\":\"nurse\"}");
    let said = text(&workspace.stratos(&["profiles", "import", &file.to_string_lossy()]));
    assert!(said.contains("p.jsonl, line 2") && said.contains("no 'location'"), "{said}");
}

#[test]
fn a_folder_that_is_no_workspace_says_how_to_become_one() {
    let dir = tempfile::tempdir().expect("temp dir");
    let output = std::process::Command::new(common::BINARY).arg("-w").arg(dir.path()).arg("status").output().expect("runs");
    assert!(text(&output).contains("stratos init"), "{}", text(&output));
}

#[test]
fn a_workspace_whose_state_cannot_be_written_says_what_to_do() {
    let workspace = Workspace::small();
    // A file where the folder should be: no user, not even root, can write into it.
    fs::write(workspace.path().join(".stratos"), "in the way").expect("writes");
    let output = workspace.stratos(&["run", "--yes"]);
    assert!(!output.status.success());
    assert!(text(&output).contains(".stratos"), "{}", text(&output));
}

#[test]
fn a_recipe_with_a_hole_is_refused_before_anything_runs() {
    let workspace = Workspace::small();
    let path = workspace.path().join("data/recipes/stratos-v19.toml");
    let recipe = fs::read_to_string(&path).expect("reads").replacen("from = 7.0", "from = 5.5", 1);
    fs::write(&path, recipe).expect("writes");
    let said = text(&workspace.stratos(&["status"]));
    assert!(said.contains("stratos-v19.toml") && said.contains("strictly ascending"), "{said}");
}

#[test]
fn without_yes_a_run_stops_at_approval_and_says_how_to_approve() {
    let workspace = Workspace::small();
    let output = workspace.stratos(&["run"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let command = said.lines().find(|l| l.contains("stratos distill approve")).expect("says how");
    let plan = command.split_whitespace().skip_while(|w| *w != "approve").nth(1).expect("names the plan").to_owned();
    let wrong = workspace.stratos(&["distill", "approve", "0123456789", "--ceiling", "0"]);
    assert!(text(&wrong).contains("names no plan"), "{}", text(&wrong));
    assert!(workspace.stratos(&["distill", "approve", &plan, "--ceiling", "0"]).status.success());

    let output = workspace.stratos(&["run"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("statistics of dataset") && said.contains("stratos dataset acknowledge"), "{said}");
}

#[test]
fn a_second_engine_in_one_workspace_is_refused() {
    let workspace = Workspace::small();
    fs::create_dir_all(workspace.path().join(".stratos")).expect("creates");
    let lock = fs::File::create(workspace.path().join(".stratos/engine.lock")).expect("creates");
    lock.lock().expect("locks");
    let said = text(&workspace.stratos(&["run", "--yes"]));
    assert!(said.contains("another StratOS engine"), "{said}");
}

#[test]
fn orders_to_an_engine_that_is_not_there_say_so() {
    let workspace = Workspace::small();
    for order in ["pause", "resume", "checkpoint"] {
        let told = workspace.stratos(&["engine", order]);
        assert!(!told.status.success() && text(&told).contains("no engine works"), "{order}: {}", text(&told));
    }
}
