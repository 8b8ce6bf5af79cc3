//! Import of 100,000 responses: parse, examine, store. Prints responses per second and the process's peak memory.
//!
//! `cargo bench --bench import [-- N]`. The ledger and the result file are made by a child process, so that the peak is the
//! import's own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use stratos::distill::import_file;
use stratos::domain::{Digest, Form, PairKey, Recipe, UnixMillis};
use stratos::teacher::{Settings, Teacher, build};
use stratos::workspace::{Ledger, NewRequest, PlanRow, RawStore, SubmissionState};

const RECIPE: &str = include_str!("../data/recipes/stratos-v19.toml");

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.as_slice() {
        [mode, dir, n] if mode == "prepare" => prepare(Path::new(dir), n.parse().expect("a count")),
        [n] => run(n.parse().expect("a count")),
        _ => run(100_000),
    }
}

fn teacher() -> Box<dyn Teacher> {
    build(Settings { provider: "anthropic".into(), model: "claude-haiku-4-5".into(), ..Settings::default() }).expect("known")
}

/// The think block of a middling answer, with words of its own.
fn answer(i: usize) -> String {
    let filler = "the reader follows this field closely and the notice names a date that can be acted upon ".repeat(5);
    format!(
        "<think>\nPROFILE: reader {i}, who works nearby and reads for the job\nRECOGNISE: an official notice number {i}\nSIGNALS: ENTITY \
         WEAK (named once); PLACE STRONG (own city); {filler}\nSTRONGEST: the place\nMATCH: squarely inside what the reader follows\n</think>\nSCORE: \
         {}.{} | REASON: Notice {i} is squarely inside what this reader follows.",
        i % 4 + 5,
        i % 9 + 1
    )
}

fn prepare(dir: &Path, n: usize) {
    let mut ledger = Ledger::open(&dir.join("ledger.sqlite")).expect("opens");
    let digest = Digest::of("plan");
    let plan = PlanRow {
        digest: digest.clone(),
        input: Digest::of("input"),
        kind: "traces".into(),
        provider: "anthropic".into(),
        model: "claude-haiku-4-5".into(),
        family: Digest::of("family"),
        form: Form::Text,
        scope: "{}".into(),
        price: "null".into(),
        created: UnixMillis(1),
        estimate: "null".into(),
        void: None,
    };
    let requests: Vec<NewRequest> = (0..n)
        .map(|i| {
            let key = Digest::of(i.to_string());
            NewRequest {
                custom_id: format!("{}-1", &key.as_str()[..40]),
                cache_key: key,
                pair: PairKey {
                    article: format!("a{}", i / 10).parse().expect("id"),
                    profile: format!("p{}", i % 10).parse().expect("id"),
                },
                attempt: 1,
                rung: "first".into(),
                why: String::new(),
                max_output: 700,
                body: Digest::of("body"),
                prompt_estimate: 1_000,
                prompt_most: 4_000,
            }
        })
        .collect();
    ledger.put_plan(&plan, &requests).expect("stored");
    let ids: Vec<String> = requests.iter().map(|r| r.custom_id.clone()).collect();
    let submission = ledger.begin_submission(&digest, 1, &ids, &digest, UnixMillis(2)).expect("begun");
    ledger.set_submission(submission.id, SubmissionState::Submitted, Some("msgbatch_1"), None, UnixMillis(3)).expect("set");
    let mut out = BufWriter::new(File::create(dir.join("results.jsonl")).expect("creates"));
    // Results come in another order than the requests; 7919 is prime to every count here.
    for i in (0..n).map(|i| i * 7919 % n) {
        let message = serde_json::json!({
            "id": format!("msg_{i}"), "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
            "content": [{"type": "text", "text": answer(i)}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 950, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 210},
        });
        let line = serde_json::json!({"custom_id": ids[i], "result": {"type": "succeeded", "message": message}});
        writeln!(out, "{line}").expect("writes");
    }
}

fn run(n: usize) {
    let dir = tempfile::tempdir().expect("temp dir");
    let me = std::env::current_exe().expect("known");
    let made = std::process::Command::new(me).arg("prepare").arg(dir.path()).arg(n.to_string()).status().expect("runs");
    assert!(made.success(), "the material was not made");
    std::fs::create_dir_all(dir.path().join("raw")).expect("creates");
    let file = dir.path().join("results.jsonl");
    let bytes = std::fs::metadata(&file).expect("there").len();
    let recipe = Recipe::from_toml(RECIPE).expect("sound");
    let (teacher, raw) = (teacher(), RawStore::new(dir.path().join("raw")));
    let mut ledger = Ledger::open(&dir.path().join("ledger.sqlite")).expect("opens");
    let begun = Instant::now();
    let summary = import_file(&mut ledger, &raw, &recipe, teacher.as_ref(), &file, false, UnixMillis(9)).expect("imports");
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(summary.kept, n, "{:?}", summary.remarks);
    let again = Instant::now();
    let second = import_file(&mut ledger, &raw, &recipe, teacher.as_ref(), &file, false, UnixMillis(9)).expect("imports again");
    println!(
        "import of {n} responses ({:.0} MB): {:.0} a second, peak memory {} MB",
        bytes as f64 / 1e6,
        n as f64 / seconds,
        peak()
    );
    println!("the same file again: {} remarks, {:.1} s", second.remarks.len(), again.elapsed().as_secs_f64());
}

/// Peak resident memory in MB; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}
