//! Graphics cards, as the system's own tools tell of them: `nvidia-smi` where it is installed, the kernel's files for AMD.
//!
//! Owns the asking, on a thread of its own and only as often as somebody looks: the tool takes a while, and may hang with a
//! card that does. Computes nothing on a card.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::domain::one_line;

/// Least time between two questions.
const EVERY: Duration = Duration::from_secs(3);
const MIB: u64 = 1 << 20;
const FIELDS: &str = "name,memory.used,memory.total,utilization.gpu,temperature.gpu,power.draw,power.limit";

/// One card. `None`: it does not say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuView {
    pub name: String,
    /// Bytes.
    pub used: Option<u64>,
    pub total: Option<u64>,
    /// Percent of the time in which it computed.
    pub busy: Option<u8>,
    /// °C
    pub temperature: Option<f32>,
    /// Watt, drawn and allowed.
    pub power: Option<f32>,
    pub power_limit: Option<f32>,
}

impl GpuView {
    /// Bytes in use and in all, where both are known.
    pub fn memory(&self) -> Option<(u64, u64)> {
        self.used.zip(self.total)
    }
}

type Told = Arc<Mutex<(Vec<GpuView>, String)>>;

/// The newest that is known, and the thread that asks.
pub(super) struct Cards {
    ask: Option<SyncSender<()>>,
    told: Told,
    asked: Option<Instant>,
}

impl Cards {
    pub fn start() -> Self {
        let told = Told::default();
        let (ask, asked) = sync_channel(1);
        let on_thread = told.clone();
        let started = std::thread::Builder::new().name("gpu".into()).spawn(move || answer(&asked, &on_thread));
        Self { ask: started.is_ok().then_some(ask), told, asked: None }
    }

    /// What was known a moment ago; asks again where that is long ago. Waits for nothing.
    pub fn look(&mut self) -> (Vec<GpuView>, String) {
        if self.asked.is_none_or(|at| at.elapsed() >= EVERY) {
            self.asked = Some(Instant::now());
            // Full: the question before is still open.
            let _ = self.ask.as_ref().map(|ask| ask.try_send(()));
        }
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn answer(asked: &Receiver<()>, told: &Told) {
    let set = |news| *told.lock().unwrap_or_else(PoisonError::into_inner) = news;
    while asked.recv().is_ok() {
        match look() {
            Ok(cards) => set((cards, String::new())),
            Err(why) => set((Vec::new(), why)),
        }
    }
}

fn look() -> Result<Vec<GpuView>, String> {
    let nvidia = match smi() {
        Some(Ok(cards)) if !cards.is_empty() => return Ok(cards),
        Some(Err(why)) => Some(why),
        _ => None,
    };
    let cards = amd(Path::new("/sys/class/drm"));
    if cards.is_empty() { Err(nvidia.unwrap_or_else(|| "no GPU seen".into())) } else { Ok(cards) }
}

/// `None`: the program does not exist.
fn smi() -> Option<Result<Vec<GpuView>, String>> {
    let mut command = Command::new("nvidia-smi");
    command.args([&format!("--query-gpu={FIELDS}"), "--format=csv,noheader,nounits"]).stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => Some(Ok(read_smi(&String::from_utf8_lossy(&output.stdout)))),
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let said = one_line(&String::from_utf8_lossy(&text), 120);
            Some(Err(format!("nvidia-smi: {said}")))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => Some(Err(format!("nvidia-smi: {e}"))),
    }
}

/// Its lines, one card each; what it does not know it writes in brackets.
fn read_smi(text: &str) -> Vec<GpuView> {
    let card = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        // A name may hold a comma; the numbers stand at the end.
        let (name, numbers) = fields.split_at_checked(fields.len().checked_sub(6)?)?;
        let number = |i: usize| numbers[i].parse::<f32>().ok().filter(|v: &f32| v.is_finite() && *v >= 0.0);
        let bytes = |i: usize| number(i).map(|mib| (f64::from(mib) * MIB as f64) as u64);
        let name = one_line(&name.join(", "), 40);
        let busy = number(2).map(|v| v.clamp(0.0, 100.0) as u8);
        (!name.is_empty()).then(|| GpuView {
            name,
            used: bytes(0),
            total: bytes(1),
            busy,
            temperature: number(3),
            power: number(4),
            power_limit: number(5),
        })
    };
    text.lines().filter_map(card).collect()
}

/// AMD's cards, from the files of the kernel's driver.
fn amd(drm: &Path) -> Vec<GpuView> {
    let entries = std::fs::read_dir(drm).into_iter().flatten().flatten();
    let mut folders: Vec<_> =
        entries.map(|e| e.path().join("device")).filter(|d| d.join("mem_info_vram_total").exists()).collect();
    folders.sort();
    let read = |path: &Path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    // card0 and renderD128 are one device.
    let mut seen = Vec::new();
    let mut cards = Vec::new();
    for folder in folders {
        let place = std::fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
        if seen.contains(&place) {
            continue;
        }
        seen.push(place);
        let sensors = std::fs::read_dir(folder.join("hwmon")).into_iter().flatten().flatten().map(|e| e.path()).next();
        let sensor = |name: &str, scale: f32| Some(read(&sensors.as_ref()?.join(name))? as f32 / scale);
        let name = std::fs::read_to_string(folder.join("product_name")).ok().map(|n| one_line(&n, 40)).filter(|n| !n.is_empty());
        cards.push(GpuView {
            name: name.unwrap_or_else(|| "AMD GPU".into()),
            used: read(&folder.join("mem_info_vram_used")),
            total: read(&folder.join("mem_info_vram_total")),
            busy: read(&folder.join("gpu_busy_percent")).map(|v| v.min(100) as u8),
            temperature: sensor("temp1_input", 1e3),
            power: sensor("power1_average", 1e6).or_else(|| sensor("power1_input", 1e6)),
            power_limit: sensor("power1_cap", 1e6),
        });
    }
    cards
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_nvidia_smi_are_read_and_what_it_does_not_know_stays_unknown() {
        let text = "NVIDIA H100 80GB HBM3, 1234, 81559, 37, 41, 118.52, 700.00\n\
                    Odd, Name, [N/A], 8192, [Not Supported], 50, [N/A], [N/A]\n\nno card\n";
        let cards = read_smi(text);
        assert_eq!(cards.len(), 2);
        assert_eq!(cards[0].memory(), Some((1234 * MIB, 81559 * MIB)));
        assert_eq!((cards[0].busy, cards[0].temperature, cards[0].power), (Some(37), Some(41.0), Some(118.52)));
        assert_eq!((cards[1].name.as_str(), cards[1].memory(), cards[1].busy), ("Odd, Name", None, None));
        assert_eq!((cards[1].total, cards[1].power_limit), (Some(8192 * MIB), None));
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert!(!read_smi("\u{1b}[2Jcard, 1, 2, 3, 4, 5, 6")[0].name.contains('\u{1b}'));
    }

    #[test]
    fn the_kernels_files_of_a_card_are_read_once() {
        let root = tempfile::tempdir().expect("folder");
        let device = root.path().join("card0/device");
        std::fs::create_dir_all(device.join("hwmon/hwmon3")).expect("creates");
        for (name, text) in [
            ("mem_info_vram_total", "25753026560\n"),
            ("mem_info_vram_used", "1048576\n"),
            ("gpu_busy_percent", "93\n"),
            ("hwmon/hwmon3/temp1_input", "61000\n"),
            ("hwmon/hwmon3/power1_average", "212000000\n"),
        ] {
            std::fs::write(device.join(name), text).expect("writes");
        }
        std::fs::create_dir_all(root.path().join("card1/device")).expect("creates");
        let cards = amd(root.path());
        assert_eq!(cards.len(), 1);
        assert_eq!((cards[0].memory(), cards[0].busy), (Some((1 << 20, 25_753_026_560)), Some(93)));
        assert_eq!((cards[0].temperature, cards[0].power, cards[0].power_limit), (Some(61.0), Some(212.0), None));
    }

    #[test]
    fn no_card_is_said_in_words() {
        assert!(amd(Path::new("/nowhere")).is_empty());
    }
}
