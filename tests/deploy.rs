//! Releases through the binary: what is made, what its gate catches, what goes live, and the way back.

mod common;
mod ollama_stub;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use common::{BINARY, Workspace, json_lines, text};
use ollama_stub::{Fault, Stub};
use serde_json::Value;
use stratos::deploy::{Manifest, digest_of};
use stratos::domain::Digest;
use stratos::student::Student;

/// A workspace with one release that is live, made once. Its toy student is sure of the words around a score.
fn released() -> &'static Path {
    static MADE: OnceLock<Workspace> = OnceLock::new();
    MADE.get_or_init(|| {
        let workspace = Workspace::small();
        let recipe = workspace.path().join("data/recipes/stratos-v19.toml");
        let learns_fast = [
            ("epochs", "4"),
            ("learning_rate", "6e-3"),
            ("prompt_dropout", "0"),
            ("hidden_dropout", "0"),
            ("max_new_tokens", "96"),
        ];
        let line = |line: &str| {
            let key = line.split('=').next().unwrap_or_default().trim();
            learns_fast
                .iter()
                .find(|(name, _)| *name == key)
                .map_or_else(|| line.to_owned(), |(name, value)| format!("{name} = {value}"))
        };
        let (head, tail) = fs::read_to_string(&recipe)
            .expect("reads")
            .split_once("[seedling]")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("a seedling");
        let tail: Vec<String> = tail.lines().map(line).collect();
        fs::write(&recipe, format!("{head}[seedling]{}", tail.join("\n"))).expect("writes");
        let run = workspace.stratos(&["run", "--yes", "--json"]);
        // A toy's answers are seldom whole: that stops it, until it is overridden with a reason.
        assert!(!run.status.success() && text(&run).contains("guard S1: only"), "{}", text(&run));
        assert_eq!(releases(workspace.path()).iter().filter(|r| r["live"] == true).count(), 0, "it did not pass");
        overridden(workspace.path());
        let deployed = workspace.stratos(&["deploy", "--json"]);
        assert!(deployed.status.success(), "{}", text(&deployed));
        workspace
    })
    .path()
}

/// A copy of it to break.
struct Copy(tempfile::TempDir);

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(released(), folder.path());
        Self(folder)
    }

    fn stratos(&self, arguments: &[&str]) -> Output {
        stratos(self.0.path(), arguments)
    }

    fn release(&self) -> PathBuf {
        let row = releases(self.0.path()).into_iter().find(|r| r["live"] == true).expect("one is live");
        self.0.path().join(row["path"].as_str().expect("a path"))
    }

    fn edit(&self, file: &str, edit: impl Fn(&str) -> String) {
        let path = if file == "stratos.toml" || file.starts_with("data/") {
            self.0.path().join(file)
        } else {
            self.release().join(file)
        };
        let before = fs::read_to_string(&path).expect("reads");
        let after = edit(&before);
        assert_ne!(before, after, "{file} was to change");
        fs::write(path, after).expect("writes");
    }

    fn manifest(&self, change: impl Fn(&mut Manifest)) {
        let mut manifest = Manifest::read(&self.release()).expect("a manifest");
        change(&mut manifest);
        manifest.write(&self.release()).expect("writes");
    }

    /// Changes bytes of the GGUF, and the manifest's digest of it too: as if it had been exported so.
    fn forge(&self, change: impl Fn(&mut Vec<u8>)) {
        let path = self.release().join("gguf/model-q8_0.gguf");
        let mut bytes = fs::read(&path).expect("reads");
        change(&mut bytes);
        fs::write(&path, bytes).expect("writes");
        let (_, digest) = digest_of(&path).expect("reads");
        self.manifest(|m| m.pieces[0].digest = digest.clone());
    }
}

/// The toy's answers are accepted as they are.
fn overridden(workspace: &Path) {
    let told = stratos(workspace, &["guards", "override", "S1", "--phase", "deploy", "--reason", "a toy"]);
    assert!(told.status.success(), "{}", text(&told));
}

/// A new release, which the toy's answers stop at first.
fn deployed(workspace: &Path) {
    assert!(text(&stratos(workspace, &["deploy", "--again"])).contains("guard S1"));
    overridden(workspace);
    let deployed = stratos(workspace, &["deploy", "--again"]);
    assert!(deployed.status.success(), "{}", text(&deployed));
}

fn stratos(workspace: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).arg("-w").arg(workspace).args(arguments).output().expect("the binary runs")
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            fs::create_dir_all(&target).expect("creates");
            copy(&path, &target);
        } else if kind.is_file() {
            fs::copy(&path, &target).expect("copies");
        }
    }
}

fn releases(workspace: &Path) -> Vec<Value> {
    json_lines(&stratos(workspace, &["deploy", "list", "--json"]))
}

fn live(workspace: &Path) -> String {
    let row = releases(workspace).into_iter().find(|r| r["live"] == true).expect("one is live");
    row["name"].as_str().expect("a name").to_owned()
}

#[test]
fn a_release_holds_its_student_its_forms_its_modelfile_and_what_its_gate_saw() {
    let copy = Copy::new();
    let release = copy.release();
    for file in ["trained/config.json", "gguf/model-q8_0.gguf", "Modelfile", "manifest.json"] {
        assert!(release.join(file).is_file(), "{file}");
    }
    let table: Value = json_lines(&copy.stratos(&["deploy", "list", "stratos-v19-001", "--json"])).remove(0);
    let lines = table["lines"].as_array().expect("lines");
    let stage = |n: usize| (lines[n]["standing"].as_str().expect("a standing"), lines[n]["n"].as_u64().expect("a count"));
    assert_eq!((stage(0).0, stage(1).0, stage(2).0), ("reference", "passed", "not_asked"), "{table:#}");
    assert!(stage(1).1 > 5 && lines[1]["next"][1].as_u64().expect("places") > 50, "it was confident somewhere: {table:#}");
    let told = text(&copy.stratos(&["deploy", "list"]));
    assert!(told.contains("● live  stratos-v19-001-") && told.contains("1 runtimes answer as trained"), "{told}");
    let score = copy.stratos(&["score", "--profile", "texas_nurse", "--title", "A nurse in Houston", "--json"]);
    assert!(text(&score).contains("texas_nurse"), "{}", text(&score));
}

#[test]
fn what_would_answer_otherwise_than_it_was_trained_is_caught_by_its_guard() {
    type Break = fn(&Copy);
    let cases: [(&str, &str, Break); 9] = [
        ("S6", "was exported", |c| {
            let path = c.release().join("gguf/model-q8_0.gguf");
            let mut bytes = fs::read(&path).expect("reads");
            *bytes.last_mut().expect("bytes") ^= 1;
            fs::write(path, bytes).expect("writes");
        }),
        ("S6", "was exported", |c| {
            let (from, to) = (c.release().join("trained"), c.0.path().join("other"));
            let arguments =
                ["deploy", "export", "--form", "f16", "--from", &from.to_string_lossy(), "--to", &to.to_string_lossy()];
            assert!(c.stratos(&arguments).status.success());
            fs::copy(to.join("gguf/model-f16.gguf"), c.release().join("gguf/model-q8_0.gguf")).expect("copies");
        }),
        ("T11", "prompts are read as other tokens", |c| c.forge(|bytes| other_template(bytes))),
        ("S7", "q8_0", |c| {
            c.forge(|bytes| {
                let n = bytes.len();
                bytes[n - 30_000..].fill(0);
            });
        }),
        ("S2", "Modelfile", |c| c.edit("Modelfile", |text| text.replacen("user\n{{ .Content }}", "user\n\n{{ .Content }}", 1))),
        ("S1", "Modelfile", |c| c.edit("Modelfile", |text| format!("{text}\nSYSTEM /no_think\n"))),
        ("S5", "prompts", |c| {
            c.edit("data/recipes/stratos-v19.toml", |text| text.replacen("You are a relevance scorer", "You score relevance", 1));
        }),
        ("S10", "digest of the base", |c| c.manifest(|m| m.base = Some(m.model.clone()))),
        ("S7", "gave nothing to compare with", |c| fs::remove_file(c.release().join("trained/tokenizer.json")).expect("removes")),
    ];
    for (guard, words, harm) in cases {
        let copy = Copy::new();
        harm(&copy);
        let told = copy.stratos(&["deploy", "gate"]);
        let said = text(&told);
        assert!(!told.status.success() && said.contains(guard) && said.contains(words), "{guard}: {said}");
    }
}

/// The template's first line end becomes a space.
fn other_template(bytes: &mut [u8]) {
    let key = b"tokenizer.chat_template";
    let from = bytes.windows(key.len()).position(|w| w == key).expect("a template");
    let at = bytes[from..].windows(2).position(|w| w == b"\\n" || w[0] == b'\n').expect("a line end");
    if bytes[from + at] == b'\\' {
        bytes[from + at..from + at + 2].copy_from_slice(b"  ");
    } else {
        bytes[from + at] = b' ';
    }
}

#[test]
fn what_the_modelfile_guesses_is_said_and_stops_nothing() {
    let copy = Copy::new();
    copy.edit("Modelfile", |text| text.replacen("PARAMETER temperature 0.6", "PARAMETER temperature 0.1", 1));
    // Another Modelfile is another release to override for.
    assert!(text(&copy.stratos(&["deploy", "gate"])).contains("guard S1"));
    overridden(copy.0.path());
    let told = copy.stratos(&["deploy", "gate"]);
    assert!(told.status.success() && text(&told).contains("S4"), "{}", text(&told));
}

#[test]
fn a_release_that_failed_its_gate_is_not_switched_to_and_is_made_anew() {
    let copy = Copy::new();
    let name = live(copy.0.path());
    copy.forge(|bytes| other_template(bytes));
    assert!(!copy.stratos(&["deploy", "gate"]).status.success());
    let switched = copy.stratos(&["deploy", "switch", &name]);
    assert!(!switched.status.success() && text(&switched).contains("did not pass its gate"), "{}", text(&switched));
    let again = copy.stratos(&["deploy", "--again"]);
    assert!(again.status.success(), "{}", text(&again));
    assert_eq!(live(copy.0.path()), name, "in its own place");
    assert_eq!(releases(copy.0.path())[0]["gate"], true);
}

#[test]
fn releases_are_numbered_rolled_back_in_one_step_and_cleared_but_for_what_is_needed() {
    let copy = Copy::new();
    let root = copy.0.path();
    let first = live(root);
    for forms in ["[\"q8_0\", \"merged\"]", "[\"f16\"]"] {
        let config = root.join("stratos.toml");
        let mut table: toml::Table = fs::read_to_string(&config).expect("reads").parse().expect("toml");
        let deploy = table.entry("deploy").or_insert(toml::Value::Table(toml::Table::new()));
        deploy.as_table_mut().expect("a table").insert("forms".into(), forms.parse::<toml::Value>().expect("a list"));
        fs::write(&config, table.to_string()).expect("writes");
        deployed(root);
    }
    let third = live(root);
    assert!(third.starts_with("stratos-v19-003-"), "{third}");
    let back = copy.stratos(&["deploy", "rollback"]);
    assert!(back.status.success(), "{}", text(&back));
    let second = live(root);
    assert!(second.starts_with("stratos-v19-002-") && copy.release().join("merged/model.safetensors").is_file(), "{second}");
    let preview = text(&copy.stratos(&["deploy", "clear", "--keep", "0"]));
    assert!(preview.contains(&first) && !preview.contains(&third) && preview.contains("--yes"), "{preview}");
    assert_eq!(releases(root).len(), 3, "a preview deletes nothing");
    let cleared = copy.stratos(&["deploy", "clear", "--keep", "0", "--yes"]);
    assert!(cleared.status.success(), "{}", text(&cleared));
    let left: Vec<String> = releases(root).iter().map(|r| r["name"].as_str().expect("a name").to_owned()).collect();
    assert_eq!(left, [third.clone(), second]);
    assert!(!root.join(".stratos/releases").join(&first).exists());
    let unknown = copy.stratos(&["deploy", "switch", "stratos-v19-009"]);
    assert!(!unknown.status.success() && text(&unknown).contains("deploy list"), "{}", text(&unknown));
}

fn with_ollama(copy: &Copy, stub: &Stub) {
    let config = copy.0.path().join("stratos.toml");
    let mut table: toml::Table = fs::read_to_string(&config).expect("reads").parse().expect("toml");
    let deploy = table.entry("deploy").or_insert(toml::Value::Table(toml::Table::new()));
    deploy.as_table_mut().expect("a table").insert("ollama".into(), stub.url.clone().into());
    fs::write(&config, table.to_string()).expect("writes");
}

#[test]
fn a_release_is_made_in_ollama_asked_there_and_served_under_one_name() {
    let copy = Copy::new();
    let student = Student::load(&copy.release().join("trained")).expect("a student");
    let stub = Stub::of(student, Fault::None);
    with_ollama(&copy, &stub);
    let deployed = copy.stratos(&["deploy", "--again"]);
    assert!(deployed.status.success(), "{}", text(&deployed));
    let name = live(copy.0.path());
    let models = stub.models();
    let digest = |model: String| models.iter().find(|(n, _)| *n == model).map(|(_, d)| d.clone());
    let (own, served) = (digest(format!("stratos-v19:{name}")), digest("stratos-v19:latest".into()));
    assert!(own.is_some() && own == served, "{models:?}");
    let table = text(&copy.stratos(&["deploy", "list", &name]));
    let line = table.lines().find(|l| l.starts_with("ollama")).expect("a line");
    assert!(line.contains("passed") && line.contains("ollama 0.15.5"), "{table}");
    // Who asks for the served name asks for the release that passed, by another name.
    let config = copy.0.path().join("stratos.toml");
    let mut settings: toml::Table = fs::read_to_string(&config).expect("reads").parse().expect("toml");
    let scoring = settings.entry("scoring").or_insert(toml::Value::Table(toml::Table::new())).as_table_mut().expect("a table");
    scoring.insert("server".into(), stub.url.clone().into());
    scoring.insert("kind".into(), "ollama".into());
    scoring.insert("model".into(), "stratos-v19".into());
    fs::write(&config, settings.to_string()).expect("writes");
    let scored = text(&copy.stratos(&["score", "--profile", "texas_nurse", "--title", "A nurse in Houston", "--json"]));
    assert!(scored.contains("ollama 0.15.5") && !scored.contains("guard S6"), "{scored}");
}

#[test]
fn an_ollama_that_reads_other_tokens_or_scores_otherwise_is_not_switched_to() {
    for (stub, words) in
        [(None, "guard S7"), (Some(Fault::OtherTokens), "guard T11"), (Some(Fault::OneShort), "drops the last token")]
    {
        let copy = Copy::new();
        let student = Student::load(&copy.release().join("trained")).expect("a student");
        // Without a student of its own it answers 7.5 to everything.
        let stub = match stub {
            Some(fault) => Stub::of(student, fault),
            None => Stub::reading(student.codec),
        };
        with_ollama(&copy, &stub);
        let deployed = copy.stratos(&["deploy", "--again"]);
        assert!(!deployed.status.success() && text(&deployed).contains(words), "{}", text(&deployed));
        assert!(stub.models().iter().all(|(name, _)| !name.ends_with(":latest")), "nothing was switched");
    }
}

#[test]
fn a_digest_names_a_release_in_every_file_of_it() {
    let copy = Copy::new();
    let manifest = Manifest::read(&copy.release()).expect("a manifest");
    let gguf = fs::read(copy.release().join("gguf/model-q8_0.gguf")).expect("reads");
    let has = |digest: &Digest| gguf.windows(64).any(|w| w == digest.as_str().as_bytes());
    assert!(has(&manifest.model) && has(&manifest.dataset) && has(&manifest.prompt_digest) && has(&manifest.recipe_digest));
}
