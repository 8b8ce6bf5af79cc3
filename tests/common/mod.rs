//! A small workspace for tests of the real binary: four readers, two dozen articles, a toy student.

#![allow(dead_code, reason = "each test binary uses its own part of this support")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub const BINARY: &str = env!("CARGO_BIN_EXE_stratos");

const RECIPES: [(&str, &str); 2] = [
    ("stratos-v19", include_str!("../../data/recipes/stratos-v19.toml")),
    ("stratos-v2", include_str!("../../data/recipes/stratos-v2.toml")),
];
const PROFILES: &str = include_str!("../../data/profiles_v19.json");
const ARTICLES: &str = include_str!("../../data/polarizing_articles_v19.json");

pub const READERS: [&str; 4] = ["kuwait_cpeg", "texas_nurse", "seoul_gamer_investor", "portland_retired_space"];

/// Articles for each reader.
const PER_READER: usize = 7;

pub struct Workspace {
    dir: tempfile::TempDir,
}

impl Workspace {
    /// A workspace with a toy student that trains in seconds.
    pub fn small() -> Self {
        Self::of("stratos-v19")
    }

    /// The same with another shipped recipe.
    pub fn of(recipe: &str) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let workspace = Self { dir };
        let made = workspace.stratos(&["init", &workspace.path().to_string_lossy(), "--recipe", recipe]);
        assert!(made.status.success(), "{}", text(&made));
        let data = workspace.path().join("data");
        fs::create_dir_all(data.join("recipes")).expect("creates");
        fs::write(data.join(format!("recipes/{recipe}.toml")), toy_recipe(recipe)).expect("writes");
        fs::write(data.join("profiles_v19.json"), some_profiles()).expect("writes");
        fs::write(data.join("polarizing_articles_v19.json"), some_articles()).expect("writes");
        workspace
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).expect("writes");
        path
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("--workspace").arg(self.path()).args(arguments);
        command
    }

    pub fn stratos(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }
}

/// Standard output and error together, for messages.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The JSON lines a command printed.
pub fn json_lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Replaces the value of a key in the recipe's `[seedling]` and `[sampling]` tables.
fn toy_recipe(name: &str) -> String {
    let (_, recipe) = RECIPES.iter().find(|(n, _)| *n == name).expect("shipped");
    let (head, tail) = recipe.split_once("[seedling]").expect("the recipe has a seedling");
    let values = [
        ("vocab_size", "600"),
        ("hidden_size", "32"),
        ("layers", "2"),
        ("heads", "2"),
        ("kv_heads", "1"),
        ("head_dim", "16"),
        ("intermediate_size", "64"),
        ("max_positions", "2048"),
        ("epochs", "1"),
        ("micro_batch", "4"),
        ("effective_batch", "4"),
        ("eval_every", "6"),
        ("checkpoint_every", "4"),
        ("max_new_tokens", "48"),
    ];
    let line = |line: &str| {
        let key = line.split('=').next().unwrap_or_default().trim();
        values.iter().find(|(name, _)| *name == key).map_or_else(|| line.to_owned(), |(name, value)| format!("{name} = {value}"))
    };
    let tail: Vec<String> = tail.lines().map(line).collect();
    format!("{head}[seedling]{}", tail.join("\n"))
}

fn some_profiles() -> String {
    let all: Vec<Value> = serde_json::from_str(PROFILES).expect("shipped JSON");
    let some: Vec<&Value> = all.iter().filter(|p| READERS.iter().any(|id| p["profile_id"] == *id)).collect();
    serde_json::to_string(&some).expect("serialises")
}

fn some_articles() -> String {
    let all: Vec<Value> = serde_json::from_str(ARTICLES).expect("shipped JSON");
    let mut some = Vec::new();
    for reader in READERS {
        let own = all.iter().filter(|a| a["targets"].as_array().is_some_and(|t| t.len() == 1 && t[0] == reader));
        some.extend(own.take(PER_READER));
    }
    serde_json::to_string(&some).expect("serialises")
}
