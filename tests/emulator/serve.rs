//! The emulator, started by hand: `cargo run --example batch-emulator -- --port 8787 --dir DIR --seconds 30 --seed 1`.
//! The first line it prints is its base URL; then what to put into `stratos.toml`. It runs until it is ended.

#[path = "mod.rs"]
mod emulator;

use std::path::PathBuf;

use clap::Parser;

/// A provider to try the console against.
#[derive(Parser)]
struct Arguments {
    /// Port on 127.0.0.1; 0 takes any free one.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// Where its state is kept; a new folder in the temporary one if left out.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A batch ends that many seconds after it was made.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// A batch ends after that many looks instead.
    #[arg(long)]
    looks: Option<u32>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The only key it takes; any if left out.
    #[arg(long)]
    key: Option<String>,
}

fn main() {
    let arguments = Arguments::parse();
    let dir = arguments.dir.unwrap_or_else(|| std::env::temp_dir().join(format!("batch-emulator-{}", std::process::id())));
    let finish = arguments.looks.map_or(emulator::Finish::AfterSeconds(arguments.seconds), emulator::Finish::AfterLooks);
    let options = emulator::Options {
        port: arguments.port,
        key: arguments.key,
        finish,
        ..emulator::Options::new(arguments.seed, dir.clone())
    };
    let emulator = emulator::Emulator::start(options);
    let base = emulator.base_url();
    println!("{base}");
    println!();
    println!("# State in {}. For stratos.toml, one of:", dir.display());
    let models =
        [("anthropic", "claude-haiku-4-5"), ("openai", "gpt-5-mini"), ("gemini", "gemini-2.5-flash"), ("compatible", "llama3.2")];
    for (provider, model) in models {
        let path = if provider == "compatible" { "/v1" } else { "" };
        println!("\n[teacher]\nprovider = \"{provider}\"\nmodel = \"{model}\"\nbase_url = \"{base}{path}\"");
    }
    println!("\n# Any key will do unless --key was given.");
    println!("# Controls under {base}/_emulator/: GET billed, batches, seen; POST fault, clear_faults, advance, options.");
    loop {
        std::thread::park();
    }
}
