//! A program of the Python stack run beside ours: its last line of output is one JSON object.

use std::process::Command;

use serde_json::Value;

/// Runs `words` and returns what its last line says.
pub fn run(words: &[String]) -> Result<Value, String> {
    let Some((program, arguments)) = words.split_first() else { return Err("the peer's command is empty".into()) };
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|e| format!("cannot start the peer '{program}': {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or_default();
    if !output.status.success() {
        return Err(format!("the peer ended with {}: {}", output.status, crate::domain::one_line(last, 200)));
    }
    serde_json::from_str(last)
        .map_err(|e| format!("the peer's last line is not JSON ({e}): {}", crate::domain::one_line(last, 200)))
}
