//! Docs that are made from the source are as the source says. `UPDATE_DOCS=1 cargo test --test docs` writes them.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The file has this text; or is given it, where that is asked for.
fn stands(file: &Path, text: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("creates");
        fs::write(file, text).expect("writes");
        return;
    }
    let found = fs::read_to_string(file).unwrap_or_default();
    assert!(found == text, "{} is out of date; run: UPDATE_DOCS=1 cargo test --test docs", file.display());
}

#[test]
fn the_page_of_keys_is_the_action_table() {
    stands(&root().join("docs/keys.md"), &stratos::tui::docs::keys_page());
}

/// Snapshot files below a folder.
fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(snapshots(&path));
        } else if path.extension().is_some_and(|e| e == "snap") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The text of a styled snapshot: after insta's header, before the styles.
fn screen(snapshot: &str) -> &str {
    let body = snapshot.splitn(3, "---\n").nth(2).unwrap_or_default();
    body.split("--- styles").next().unwrap_or_default().trim_end()
}

#[test]
fn the_page_of_screens_is_what_the_snapshot_tests_draw() {
    let mut page = String::from(
        "# Screens\n\nEvery tab at 120×40, as the snapshot tests draw it from fixtures (`UPDATE_DOCS=1 cargo test --test docs` \
         writes this page). The snapshots beside the tabs have the styles too, and 80×24 and 200×60.\n",
    );
    let mut tabs = 0;
    for file in snapshots(&root().join("src/tui/tabs")) {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let Some(title) = name.rsplit("__").next().and_then(|last| last.strip_suffix("_120x40")) else { continue };
        let text = fs::read_to_string(&file).expect("readable");
        page.extend(["\n## ", &title.replace('_', " "), "\n\n```text\n", screen(&text), "\n```\n"]);
        tabs += 1;
    }
    assert!(tabs >= 1, "no snapshot at 120x40 was found");
    stands(&root().join("docs/screens.md"), &page);
}
