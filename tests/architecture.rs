//! The fence that one crate's compiler does not give: imports point one way, output and colour stay where they belong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules a module may import, besides itself. The order of the lines is the order of the data flow.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("domain", &[][..]),
        ("net", &["domain"]),
        ("workspace", &["domain"]),
        ("teacher", &["domain", "net"]),
        ("student", &["domain", "net"]),
        ("guards", &["domain"]),
        ("distill", &["domain", "workspace", "teacher"]),
        ("dataset", &["domain", "workspace", "student", "guards", "distill"]),
        ("train", &["domain", "net", "workspace", "student", "guards", "dataset"]),
        ("evaluate", &["domain", "workspace", "student", "guards", "dataset", "train"]),
        ("scorer", &["domain", "net", "workspace", "student", "evaluate"]),
        ("audit", &["domain", "workspace", "guards", "distill", "evaluate"]),
        ("deploy", &["domain", "net", "workspace", "student", "guards", "train", "evaluate"]),
        (
            // Feeds are fetched by the engine's own job: no other module wants them.
            "engine",
            &[
                "domain",
                "net",
                "workspace",
                "teacher",
                "student",
                "guards",
                "distill",
                "dataset",
                "train",
                "evaluate",
                "scorer",
                "audit",
                "deploy",
            ],
        ),
        ("tui", &["domain", "engine", "guards"]),
        ("headless", &["domain", "engine", "guards", "workspace"]),
        ("serve", &["domain", "engine", "workspace"]),
        ("bench", &["domain", "student", "train"]),
        (
            "cli",
            &[
                "domain",
                "bench",
                "dataset",
                "deploy",
                "engine",
                "guards",
                "workspace",
                "student",
                "train",
                "evaluate",
                "headless",
                "tui",
                "serve",
            ],
        ),
    ])
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("src is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// A source file without its `#[cfg(test)]` tail and without comments: what ships. Files of tests alone are left out.
struct Source {
    path: String,
    module: String,
    code: String,
}

fn shipped() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let is_test = |path: &PathBuf| {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        name.contains("tests") || name == "testing.rs" || name == "fixture.rs"
    };
    let read = |path: PathBuf| {
        let relative = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("readable");
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let module = relative.split(['/', '.']).next().unwrap_or_default().to_owned();
        Source { module, code: code.join("\n"), path: relative }
    };
    sources(&root).into_iter().filter(|path| !is_test(path)).map(read).collect()
}

/// Names after `crate::` in a text.
fn imports(code: &str) -> Vec<String> {
    code.split("crate::").skip(1).map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

#[test]
fn imports_point_one_way() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for source in shipped() {
        let Some(may) = allowed.get(source.module.as_str()) else { continue };
        for import in imports(&source.code) {
            let known = allowed.contains_key(import.as_str());
            if known && import != source.module && !may.contains(&import.as_str()) {
                wrong.push(format!("{} imports {import}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows the wrong way:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_place_in_the_flow() {
    let allowed = allowed();
    for source in shipped() {
        let placed = allowed.contains_key(source.module.as_str()) || ["main", "lib"].contains(&source.module.as_str());
        assert!(placed, "{} belongs to no module of the flow; give it a line in this test", source.path);
    }
}

#[test]
fn only_front_ends_write_to_the_terminal() {
    for source in shipped().iter().filter(|s| !["main", "cli", "headless"].contains(&s.module.as_str())) {
        for word in ["println!", "eprintln!", "print!(", "dbg!"] {
            assert!(!source.code.contains(word), "{} uses {word}", source.path);
        }
    }
}

#[test]
fn colours_live_in_the_theme_alone() {
    for source in shipped().iter().filter(|s| s.path != "tui/theme.rs") {
        assert!(!source.code.contains("Color::"), "{} names a colour; add a role to tui/theme.rs", source.path);
    }
}

#[test]
fn keys_live_in_the_action_table_alone() {
    // Text inputs take every key; they are listed here with the action table.
    let table = ["tui/actions.rs", "tui/keys.rs", "tui/keymap.rs", "tui/overlays/input.rs"];
    // A tab's own lines of the table.
    let own = |path: &str| path.starts_with("tui/tabs/") && path.ends_with("/actions.rs");
    for source in shipped().iter().filter(|s| !table.contains(&s.path.as_str()) && !own(&s.path)) {
        for word in ["KeyCode::", "Chord::"] {
            assert!(!source.code.contains(word), "{} matches a key; add an action to the table", source.path);
        }
    }
}

#[test]
fn the_pure_parts_do_no_input_or_output() {
    let pure = |s: &&Source| s.module == "domain" || s.path.starts_with("tui/tabs") || s.path == "tui/app.rs";
    for source in shipped().iter().filter(pure) {
        for word in ["std::fs", "std::net", "tokio::", ".await", "std::process", "rusqlite"] {
            assert!(!source.code.contains(word), "{} uses {word}", source.path);
        }
    }
}

#[test]
fn no_code_branches_on_a_recipes_name() {
    for source in
        shipped().iter().filter(|s| s.path != "workspace/config.rs" && s.path != "workspace/embedded.rs" && s.module != "cli")
    {
        assert!(!source.code.contains("\"stratos-v"), "{} names a recipe", source.path);
    }
}
