//! `stratos bench`: how fast and how small the engine is on this machine, with a peer beside it in the same run. Owns the
//! measured work and the peer's command; prints figures and judges none.

pub mod peer;
pub mod train;

/// Most memory this process ever held, in MB, where the system says so.
pub fn peak_mb() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kb| kb / 1024.0)
}

/// The middle one.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
