//! The stub of Ollama, started by hand: `cargo run --example ollama-stub -- --port 11434`. The first line it prints is its
//! address. It runs until it is ended.

#[path = "mod.rs"]
mod ollama_stub;

use clap::Parser;

#[derive(Parser)]
struct Arguments {
    /// Port on 127.0.0.1; 0 takes any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

fn main() {
    let stub = ollama_stub::Stub::on(Arguments::parse().port, ollama_stub::Fault::None);
    println!("{}", stub.url);
    loop {
        std::thread::park();
    }
}
