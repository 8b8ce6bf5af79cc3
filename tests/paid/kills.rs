//! kill -9 at any point of a distillation: no paid answer is lost, nothing is sent twice.
//!
//! By default a few kills, each when the provider has heard a drawn number of calls; `STRATOS_KILLS=500 cargo test --test
//! paid -- --ignored kills` kills at random moments and prints its figures.

use std::collections::HashMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::binary::{command, emulator, plan, stratos, workspace};
use super::common::{Workspace, text};
use super::emulator::{AnswerMix, Emulator};

const MIX: AnswerMix =
    AnswerMix { truncated: 0.03, refused: 0.02, malformed: 0.03, forbidden: 0.02, errored: 0.03, expired: 0.02 };

fn approved(emulator: &Emulator, max_batch: usize) -> Workspace {
    let workspace = workspace(emulator, max_batch);
    let config = std::fs::read_to_string(workspace.path().join("stratos.toml")).expect("reads");
    workspace.file("stratos.toml", format!("{config}pilot = \"never\"\n"));
    approve(&workspace);
    workspace
}

fn approve(workspace: &Workspace) {
    let plan = plan(workspace);
    let output = stratos(workspace, &["distill", "approve", &plan, "--ceiling", "5"]);
    assert!(output.status.success(), "{}", text(&output));
}

fn start(workspace: &Workspace) -> Child {
    command(workspace, &["distill", "run", "--json"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
}

/// The books after a workspace's distillation came to its end: (billed answers, batches).
fn audit(emulator: &Emulator, workspace: &Workspace) -> (usize, usize) {
    let ledger = stratos::workspace::Ledger::open(&workspace.path().join(".stratos/ledger.sqlite")).expect("opens");
    let bills = emulator.billed();
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    for bill in &bills {
        *by_id.entry(&bill.custom_id).or_default() += 1;
    }
    assert!(by_id.values().all(|n| *n == 1), "an attempt was billed twice");
    let usage: u64 = ledger.plans().expect("reads").iter().map(|p| ledger.usage(&p.digest).expect("reads").requests).sum();
    assert_eq!(usage as usize, bills.len(), "a paid answer is not in the ledger");
    assert!(ledger.open_submissions().expect("reads").is_empty());
    let made = ledger.submissions().expect("reads").iter().filter(|s| s.remote.is_some()).count();
    assert_eq!(made, emulator.batches().len(), "a batch that the ledger does not know");
    (bills.len(), made)
}

/// Runs to the end, approving again where a kill made that necessary.
fn finish(workspace: &Workspace) {
    for _ in 0..10 {
        let output = stratos(workspace, &["distill", "run"]);
        match output.status.code() {
            Some(0) => return,
            Some(2) => approve(workspace),
            _ => panic!("{}", text(&output)),
        }
    }
    panic!("it does not end");
}

#[test]
fn killed_at_drawn_calls_it_loses_nothing_and_sends_nothing_twice() {
    let dir = tempfile::tempdir().expect("temp dir");
    let emulator = emulator(dir.path(), |o| o.answers = MIX);
    let workspace = approved(&emulator, 12);
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for _ in 0..8 {
        let calls = emulator.requests_seen().len() + 1 + (random.next_u32() % 14) as usize;
        let mut child = start(&workspace);
        while emulator.requests_seen().len() < calls && child.try_wait().expect("waits").is_none() {
            std::thread::yield_now();
        }
        // SIGKILL: no handler runs, nothing is flushed.
        let _ = child.kill();
        child.wait().expect("ends");
    }
    finish(&workspace);
    audit(&emulator, &workspace);
}

#[test]
#[ignore = "a storm of minutes; its figures stand in docs/results.md"]
fn a_storm_of_kills() {
    let wanted: usize = std::env::var("STRATOS_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    let mut random = ChaCha8Rng::seed_from_u64(19);
    let (mut kills, mut runs, mut answers, mut batches) = (0, 0, 0, 0);
    while kills < wanted {
        let dir = tempfile::tempdir().expect("temp dir");
        let emulator = emulator(dir.path(), |o| {
            o.answers = MIX;
            o.seed = runs;
        });
        let workspace = approved(&emulator, 6);
        loop {
            let mut child = start(&workspace);
            let until = Instant::now() + Duration::from_micros(u64::from(random.next_u32() % 400_000));
            let ended = loop {
                if let Some(status) = child.try_wait().expect("waits") {
                    break Some(status);
                }
                if Instant::now() >= until {
                    break None;
                }
                std::thread::yield_now();
            };
            match ended {
                Some(status) if status.success() => break,
                Some(status) if status.code() == Some(2) => approve(&workspace),
                Some(status) => panic!("ended with {status}: {}", text(&stratos(&workspace, &["distill", "run"]))),
                None => {
                    let _ = child.kill();
                    child.wait().expect("ends");
                    kills += 1;
                }
            }
        }
        let (billed, made) = audit(&emulator, &workspace);
        runs += 1;
        answers += billed;
        batches += made;
        eprintln!(
            "{kills} kills, {runs} distillations, {answers} paid answers in the ledger, {batches} batches, 0 lost, 0 twice"
        );
    }
}
