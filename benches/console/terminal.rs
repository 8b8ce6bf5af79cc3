//! The real binary in a terminal: from a key to the screen while a training takes every core, and an idle console.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

const BINARY: &str = env!("CARGO_BIN_EXE_stratos");
const PATIENCE: Duration = Duration::from_secs(60);

struct Open {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    bytes: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    _master: Box<dyn MasterPty + Send>,
}

impl Open {
    fn on(dir: &Path) -> Self {
        let size = PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pty");
        let mut command = CommandBuilder::new(BINARY);
        command.args(["--workspace", &dir.to_string_lossy()]);
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).expect("starts");
        let mut reader = pair.master.try_clone_reader().expect("reads");
        let keys = pair.master.take_writer().expect("writes");
        let (tell, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(read) = reader.read(&mut buffer) {
                if read == 0 || tell.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        let rows = std::num::NonZero::new(40).expect("not zero");
        let cols = std::num::NonZero::new(120).expect("not zero");
        Self { child, keys, bytes, screen: vt100::Parser::new(rows, cols, 0), _master: pair.master }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("typed");
    }

    fn wait(&mut self, shows: impl Fn(&str) -> bool) -> Duration {
        let start = Instant::now();
        while !shows(&self.screen.screen().contents()) {
            let bytes = self.bytes.recv_timeout(PATIENCE).expect("the screen changes");
            self.screen.process(&bytes);
        }
        start.elapsed()
    }

    /// CPU seconds of the process so far.
    fn cpu(&self) -> f64 {
        let pid = self.child.process_id().expect("a process");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / 100.0
    }

    fn resident(&self) -> String {
        let pid = self.child.process_id().expect("a process");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().find(|l| l.starts_with("VmRSS")).unwrap_or("VmRSS unknown").to_owned()
    }
}

/// Threads that compute as a training does, for as long as this lives.
struct Load(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Load {
    fn on_every_core() -> Self {
        let on = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        for _ in 0..cores {
            let on = on.clone();
            std::thread::spawn(move || {
                let mut x = 1.0_f64;
                while on.load(std::sync::atomic::Ordering::Relaxed) {
                    for _ in 0..10_000 {
                        x = std::hint::black_box(x.mul_add(1.000_000_1, 0.1));
                    }
                }
            });
        }
        Self(on)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(false, std::sync::atomic::Ordering::Relaxed);
    }
}

pub fn key_to_screen(dir: &Path) {
    let mut console = Open::on(dir);
    console.wait(|s| s.contains("StratOS"));
    console.press("2");
    console.wait(|s| s.contains("Articles 1/2"));
    let load = Load::on_every_core();
    let mut times: Vec<Duration> = Vec::new();
    for n in 2..=200 {
        let wanted = format!("Articles {n}/2");
        console.press("j");
        times.push(console.wait(|s| s.contains(&wanted)));
    }
    drop(load);
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("key to screen, every core busy: p50 {:.1} p99 {:.1} most {:.1} ms (n {})", at(0.5), at(0.99), at(1.0), times.len());
    println!("console in a terminal with 200,000 articles: {}", console.resident());
    console.press("q");
    let _ = console.child.wait();
}

pub fn idle(dir: &Path) {
    const SECONDS: u64 = 10;
    let mut console = Open::on(dir);
    console.wait(|s| s.contains("StratOS"));
    console.press("2");
    console.wait(|s| s.contains("Articles 1/2"));
    // What is read in the background at the start is no idling.
    let mut before = console.cpu();
    for _ in 0..PATIENCE.as_secs() {
        std::thread::sleep(Duration::from_secs(1));
        let settled = console.cpu() - before < 0.01;
        before = console.cpu();
        if settled {
            break;
        }
    }
    std::thread::sleep(Duration::from_secs(SECONDS));
    let share = (console.cpu() - before) / SECONDS as f64 * 100.0;
    println!("idle console: {share:.2} % of one core over {SECONDS} s");
    console.press("q");
    let _ = console.child.wait();
}
