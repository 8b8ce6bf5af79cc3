//! A million predictions on a grid of 0.1: the whole report of `stratos metrics FILE`, read from the file, with 1,000 draws of
//! the bootstrap. Prints seconds and the process's peak memory.
//!
//! `cargo bench --bench metrics [-- N [READERS]]`. The file is made by a child process, so that the peak is the report's own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use stratos::domain::Recipe;
use stratos::evaluate::{Intervals, metrics_of_file};

const RECIPE: &str = include_str!("../data/recipes/stratos-v19.toml");

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |i: usize, default: usize| arguments.get(i).map_or(default, |a| a.parse().expect("a count"));
    match arguments.first().map(String::as_str) {
        Some("prepare") => prepare(Path::new(&arguments[1]), number(2, 0), number(3, 0)),
        _ => run(number(0, 1_000_000), number(1, 20)),
    }
}

/// Rows as a scorer writes them: mostly noise, some failures, predictions that follow the truth loosely.
fn prepare(path: &Path, n: usize, readers: usize) {
    let mut out = BufWriter::new(File::create(path).expect("creates"));
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |n: u64| {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    };
    for i in 0..n {
        let truth = if below(4) == 0 { below(101) } else { below(26) };
        let predicted = (truth + below(31)).saturating_sub(15).min(100);
        let said = if below(50) == 0 { "null".to_owned() } else { format!("{}.{}", predicted / 10, predicted % 10) };
        let (article, reader) = (i / readers, i % readers);
        let (whole, tenth) = (truth / 10, truth % 10);
        writeln!(
            out,
            r#"{{"article_id":"article-{article:07}","profile_id":"reader-{reader:02}","truth":{whole}.{tenth},"predicted":{said}}}"#
        )
        .expect("writes");
    }
}

fn run(n: usize, readers: usize) {
    let dir = tempfile::tempdir().expect("temp dir");
    let file = dir.path().join("predictions.jsonl");
    let me = std::env::current_exe().expect("known");
    let made = std::process::Command::new(me).arg("prepare").arg(&file).args([n.to_string(), readers.to_string()]).status();
    assert!(made.expect("runs").success(), "the material was not made");
    let megabytes = std::fs::metadata(&file).expect("there").len() as f64 / 1e6;
    let recipe = Recipe::from_toml(RECIPE).expect("sound");
    let begun = Instant::now();
    let report = metrics_of_file(&file, &recipe.bands, &recipe.scale).expect("reads");
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(report.metrics.n, n);
    let within = |intervals: &Intervals| intervals.get("mae").copied().unwrap_or_default();
    println!(
        "{n} predictions of {} articles ({megabytes:.0} MB): {seconds:.1} s for all figures and {} intervals, peak memory {} MB, {} threads",
        n.div_ceil(readers),
        report.intervals.len(),
        peak(),
        rayon_threads()
    );
    println!("MAE {:.4} {:?}", report.metrics.mae.unwrap_or(f64::NAN), within(&report.intervals));
}

fn rayon_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Peak resident memory in MB; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}
