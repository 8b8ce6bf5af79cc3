//! Exports: what other programs read, and what an export never touches.

mod common;

use std::fs;
use std::path::Path;

use common::{Workspace, text};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, RowAccessor};
use serde_json::Value;

fn built() -> Workspace {
    let workspace = Workspace::of("stratos-v2");
    let run = workspace.stratos(&["run", "--yes", "--to", "dataset"]);
    assert!(run.status.success(), "{}", text(&run));
    workspace
}

fn export(workspace: &Workspace, format: &str, out: &Path) -> std::process::Output {
    workspace.stratos(&["dataset", "export", "--format", format, "--out", &out.to_string_lossy()])
}

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

/// (id, [system, user, assistant], score, repeats) of every row, as the workspace's own file has them.
type Plain = (String, Vec<String>, f64, i64);

fn own(workspace: &Workspace, file: &str) -> Vec<Plain> {
    let plain = |row: &Value| {
        let messages = row["messages"].as_array().expect("messages");
        let texts = messages.iter().map(|m| m["content"].as_str().expect("text").to_owned()).collect();
        let id = row["id"].as_str().expect("an id").to_owned();
        (id, texts, row["score"].as_f64().expect("a score"), row["repeats"].as_i64().expect("repeats"))
    };
    rows(&workspace.path().join("data").join(file)).iter().map(plain).collect()
}

fn about(row: &Value, texts: Vec<String>) -> Plain {
    let id = row["id"].as_str().expect("an id").to_owned();
    (id, texts, row["score"].as_f64().expect("a score"), row["repeats"].as_i64().expect("repeats"))
}

fn contents(list: &Value, key: &str) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|m| m[key].as_str().expect("text").to_owned()).collect()
}

#[test]
fn every_format_holds_the_rows_of_the_dataset_and_nothing_else() {
    let workspace = built();
    let sides = [("train", "training_v2.jsonl"), ("eval", "eval_v2.jsonl")];
    for format in ["messages", "prompt-completion", "sharegpt"] {
        let out = workspace.path().join(format);
        let exported = export(&workspace, format, &out);
        assert!(exported.status.success(), "{}", text(&exported));
        for (side, file) in sides {
            let read = rows(&out.join(format!("{side}.jsonl")));
            let plain = |row: &Value| match format {
                "messages" => {
                    let roles = contents(&row["messages"], "role");
                    assert_eq!(roles, ["system", "user", "assistant"]);
                    about(row, contents(&row["messages"], "content"))
                }
                "prompt-completion" => {
                    assert_eq!(contents(&row["prompt"], "role"), ["system", "user"]);
                    assert_eq!(contents(&row["completion"], "role"), ["assistant"]);
                    let both = [contents(&row["prompt"], "content"), contents(&row["completion"], "content")];
                    about(row, both.concat())
                }
                _ => {
                    assert_eq!(contents(&row["conversations"], "from"), ["system", "human", "gpt"]);
                    about(row, contents(&row["conversations"], "value"))
                }
            };
            assert_eq!(read.iter().map(plain).collect::<Vec<_>>(), own(&workspace, file), "{format} {side}");
        }
    }
    let out = workspace.path().join("columns");
    assert!(export(&workspace, "parquet", &out).status.success());
    for (side, file) in sides {
        assert_eq!(columns(&out.join(format!("{side}.parquet"))), own(&workspace, file), "parquet {side}");
    }
}

/// The rows of a Parquet file, read by the crate's record reader.
fn columns(path: &Path) -> Vec<Plain> {
    let reader = SerializedFileReader::new(fs::File::open(path).expect("a file")).expect("Parquet");
    let read = |row: parquet::errors::Result<parquet::record::Row>| {
        let row = row.expect("a row");
        let named = |name: &str| row.get_column_iter().position(|(n, _)| n == name).expect("a column");
        let messages = row.get_list(named("messages")).expect("a list");
        let text = |message: &Field| match message {
            Field::Group(group) => group.get_string(1).expect("a text").clone(),
            other => panic!("a message is {other:?}"),
        };
        let texts = messages.elements().iter().map(text).collect();
        let id = row.get_string(named("id")).expect("an id").clone();
        let repeats = row.get_int(named("repeats")).expect("repeats");
        (id, texts, row.get_double(named("score")).expect("a score"), i64::from(repeats))
    };
    reader.get_row_iter(None).expect("rows").map(read).collect()
}

#[test]
fn what_an_export_did_not_write_is_never_replaced() {
    let workspace = built();
    let out = workspace.path().join("out");
    fs::create_dir_all(&out).expect("a folder");
    fs::write(out.join("README.md"), "mine").expect("writes");
    let refused = export(&workspace, "messages", &out);
    assert!(!refused.status.success() && text(&refused).contains("README.md was not written by"), "{}", text(&refused));
    assert_eq!(fs::read_dir(&out).expect("lists").count(), 1, "nothing was written");
    assert_eq!(fs::read_to_string(out.join("README.md")).expect("reads"), "mine");

    fs::remove_file(out.join("README.md")).expect("removes");
    fs::write(out.join("notes.txt"), "mine").expect("writes");
    assert!(export(&workspace, "messages", &out).status.success());
    let first = fs::read(out.join("train.jsonl")).expect("reads");
    assert!(export(&workspace, "messages", &out).status.success(), "its own files may be replaced");
    assert_eq!(fs::read(out.join("train.jsonl")).expect("reads"), first, "byte for byte");

    assert!(export(&workspace, "parquet", &out).status.success());
    assert!(!out.join("train.jsonl").exists(), "a file of the form before does not stay to be read");
    assert_eq!(fs::read_to_string(out.join("notes.txt")).expect("reads"), "mine");

    fs::write(out.join("eval.parquet"), "changed").expect("writes");
    let refused = export(&workspace, "parquet", &out);
    assert!(!refused.status.success() && text(&refused).contains("eval.parquet"), "{}", text(&refused));
    assert_eq!(fs::read_to_string(out.join("eval.parquet")).expect("reads"), "changed");

    let path = out.join("stratos-export.json");
    let manifest = fs::read_to_string(&path).expect("reads").replace("train.parquet", "../../train.parquet");
    fs::write(&path, manifest).expect("writes");
    assert!(!export(&workspace, "parquet", &out).status.success(), "a manifest that leaves the folder is not ours");
    let file = workspace.file("a-file", "x");
    assert!(text(&export(&workspace, "messages", &file)).contains("is no folder"));
    assert!(text(&export(&workspace, "csv", &out)).contains("is no format"));
}

#[test]
fn the_card_says_where_rows_come_from_and_proves_the_files() {
    let workspace = built();
    let config = workspace.path().join("stratos.toml");
    let mut toml = fs::read_to_string(&config).expect("reads");
    toml = toml.replace("licence = \"other\"", "licence = \"cc-by-4.0\"");
    assert!(toml.contains("cc-by-4.0"), "{toml}");
    fs::write(&config, toml).expect("writes");
    let out = workspace.path().join("card");
    let exported = workspace.stratos(&["dataset", "export", "--format", "messages", "--out", &out.to_string_lossy(), "--json"]);
    let told: Value = serde_json::from_slice(&exported.stdout).expect("json");
    let card = fs::read_to_string(out.join("README.md")).expect("a card");
    let (front, body) = card.strip_prefix("---\n").and_then(|c| c.split_once("---\n")).expect("front matter");
    for line in ["license: \"cc-by-4.0\"", "  - split: \"train\"", "    path: \"train.jsonl\"", "  - split: \"eval\""] {
        assert!(front.contains(line), "{front}");
    }
    for part in
        ["rehearsal rehearsal-prism-1; pairs chosen: all", "Seed 19", "| D3 | passed |", "| D18 | passed |", "| Critical |"]
    {
        assert!(body.contains(part), "{part}\n{body}");
    }
    for file in told["files"].as_array().expect("files").iter().filter(|f| f["rows"].as_u64() > Some(0)) {
        let bytes = fs::read(out.join(file["name"].as_str().expect("a name"))).expect("reads");
        let digest = stratos::domain::Digest::of(&bytes);
        assert_eq!(file["digest"], digest.as_str());
        assert!(body.contains(digest.as_str()), "{body}");
    }
}

#[test]
fn without_a_dataset_an_export_says_what_to_do_and_makes_no_folder() {
    let workspace = Workspace::of("stratos-v2");
    let out = workspace.path().join("out");
    let refused = export(&workspace, "messages", &out);
    assert!(!refused.status.success() && text(&refused).contains("stratos dataset build"), "{}", text(&refused));
    assert!(!out.exists());
}
