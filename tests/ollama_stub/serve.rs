//! The stub of Ollama, started by hand: `cargo run --example ollama-stub -- --port 11434`. The first line it prints is its
//! address. It runs until it is ended.

#[path = "mod.rs"]
mod ollama_stub;

use clap::Parser;
use ollama_stub::{Fault, Stub};

#[derive(Parser)]
struct Arguments {
    /// Port on 127.0.0.1; 0 takes any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where a prompt has these words, the answer repeats itself until it is stopped.
    #[arg(long, value_name = "WORDS")]
    loops: Option<String>,
}

fn main() {
    let arguments = Arguments::parse();
    let fault = arguments.loops.map_or(Fault::None, |words| Fault::Loops(words.leak()));
    let stub = Stub::on(arguments.port, fault);
    println!("{}", stub.url);
    loop {
        std::thread::park();
    }
}
