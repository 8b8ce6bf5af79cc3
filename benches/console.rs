//! The console at the size it must stay fluid at: 200,000 articles, a loss curve of 1,000,000 points, 20,000 traces.
//!
//! `cargo bench --bench console`. Prints, for each screen, the time of an update and of a frame at 200×60 (p50, p99, most),
//! the time the library takes, the memory of a process that holds a console's part alone, and, on the real binary in a
//! terminal, how long a key takes to the screen while a training takes every core, and what an idle console costs.
//! The workspace is made once below `target/tmp` and kept: `cargo bench --bench console -- --fresh` makes it anew.

#[path = "console/measure.rs"]
mod measure;
#[path = "console/prepare.rs"]
mod prepare;
#[path = "console/terminal.rs"]
mod terminal;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["hold", dir] => measure::hold(Path::new(dir)),
        rest => {
            let dir = prepare::workspace(rest.contains(&"--fresh"));
            measure::frames(&dir);
            measure::memory(&dir);
            terminal::key_to_screen(&dir);
            terminal::idle(&dir);
        }
    }
}
