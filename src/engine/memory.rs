//! The machine's gauges: memory, processors, graphics cards, temperature, and the last minutes of each.
//!
//! Owns when and what is read; reads only when asked, so that an idle engine costs nothing. Cards are `gpu`'s.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sysinfo::{Components, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::gpu::Cards;
pub use super::gpu::GpuView;

/// Readings of the history: five minutes, one every two seconds.
pub const HISTORY: usize = 150;
/// Reads (one a second) that make one point of the history.
const READS_A_POINT: u64 = 2;
/// Reads between looks at the temperature: it changes slowly, and some sensors are slow to answer.
const READS_A_TEMPERATURE: u64 = 5;

/// What the machine does now, and what it did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryView {
    /// Bytes in use on the machine, and in all (of its container, where that is less).
    pub used: u64,
    pub total: u64,
    /// Bytes this process holds, and the most that was seen since the job began.
    pub process: u64,
    pub peak: u64,
    /// Bytes that a trainer elsewhere holds, its helpers included.
    pub child: Option<u64>,
    /// Share of all cores this process uses, 0 to 1.
    pub cpu: f32,
    /// Share of all cores in use by anybody, 0 to 1.
    pub machine_cpu: f32,
    /// °C of the hottest part of the processor; `None` where the system does not say.
    pub temperature: Option<f32>,
    pub gpus: Vec<GpuView>,
    /// Why there is no card to show; empty where there is one or nobody looked yet.
    pub no_gpu: String,
    pub history: MachineHistory,
}

/// Percent of what there is, oldest first, one point every two seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineHistory {
    pub ram: VecDeque<u8>,
    /// Of all RAM, this process and a trainer elsewhere.
    pub process: VecDeque<u8>,
    pub cpu: VecDeque<u8>,
    /// °C
    pub temperature: VecDeque<u8>,
    /// Of the first card.
    pub vram: VecDeque<u8>,
    pub gpu: VecDeque<u8>,
}

/// Whole percent of `total`; 0 where there is nothing.
pub fn percent(part: u64, total: u64) -> u8 {
    if total == 0 { 0 } else { (part as f64 / total as f64 * 100.0).round().clamp(0.0, 255.0) as u8 }
}

impl MachineHistory {
    fn add(&mut self, m: &MemoryView) {
        let track = |track: &mut VecDeque<u8>, value: u8| {
            if track.len() == HISTORY {
                track.pop_front();
            }
            track.push_back(value);
        };
        track(&mut self.ram, percent(m.used, m.total));
        track(&mut self.process, percent(m.process + m.child.unwrap_or(0), m.total));
        track(&mut self.cpu, (m.machine_cpu * 100.0).round().clamp(0.0, 100.0) as u8);
        if let Some(celsius) = m.temperature {
            track(&mut self.temperature, celsius.round().clamp(0.0, 255.0) as u8);
        }
        if let Some(card) = m.gpus.first() {
            track(&mut self.vram, card.memory().map_or(0, |(used, total)| percent(used, total)));
            track(&mut self.gpu, card.busy.unwrap_or(0));
        }
    }
}

/// Reads this process's share of the machine.
pub(super) struct Gauge {
    system: System,
    components: Option<Components>,
    cards: Option<Cards>,
    cores: f32,
    reads: u64,
}

impl Gauge {
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { system: System::new(), components: None, cards: None, cores: cores as f32, reads: 0 }
    }

    /// Brings a view up to date; `children`: a trainer elsewhere runs below this process.
    pub fn read(&mut self, view: &mut MemoryView, children: bool) {
        self.system.refresh_memory();
        self.system.refresh_cpu_usage();
        let Ok(pid) = sysinfo::get_current_pid() else { return };
        let what = ProcessRefreshKind::nothing().with_memory().with_cpu();
        let which = [pid];
        let which = if children { ProcessesToUpdate::All } else { ProcessesToUpdate::Some(&which) };
        self.system.refresh_processes_specifics(which, children, what);
        (view.used, view.total) = (self.system.used_memory(), self.system.total_memory());
        let fence = self.system.cgroup_limits().filter(|c| c.total_memory > 0 && c.total_memory < view.total);
        if let Some(fence) = fence {
            (view.used, view.total) = (fence.total_memory.saturating_sub(fence.free_memory), fence.total_memory);
        }
        let process = self.system.process(pid);
        view.process = process.map_or(0, sysinfo::Process::memory);
        view.peak = view.peak.max(view.process);
        view.cpu = process.map_or(0.0, |p| p.cpu_usage() / 100.0 / self.cores);
        view.machine_cpu = (self.system.global_cpu_usage() / 100.0).clamp(0.0, 1.0);
        view.child = children.then(|| self.below(pid));
        if self.reads.is_multiple_of(READS_A_TEMPERATURE) {
            view.temperature = self.hottest();
        }
        (view.gpus, view.no_gpu) = self.cards.get_or_insert_with(Cards::start).look();
        if self.reads.is_multiple_of(READS_A_POINT) {
            let mut history = std::mem::take(&mut view.history);
            history.add(view);
            view.history = history;
        }
        self.reads += 1;
    }

    /// Bytes of every process that descends from this one.
    fn below(&self, root: Pid) -> u64 {
        // Threads share the memory of their process.
        let processes = self.system.processes().values().filter(|p| p.thread_kind().is_none());
        let all: Vec<_> = processes.map(|p| (p.pid().as_u32(), p.parent().map(Pid::as_u32), p.memory())).collect();
        descendants(root.as_u32(), &all)
    }

    fn hottest(&mut self) -> Option<f32> {
        let components = self.components.get_or_insert_with(Components::new_with_refreshed_list);
        components.refresh(false);
        let named = |c: &sysinfo::Component| {
            let label = c.label().to_lowercase();
            ["cpu", "core", "package", "tctl", "tdie", "soc"].iter().any(|word| label.contains(word))
        };
        let read = |c: &sysinfo::Component| c.temperature().filter(|t| t.is_finite() && *t > 0.0 && *t < 200.0);
        components.iter().filter(|c| named(c)).filter_map(read).reduce(f32::max)
    }
}

/// Sum over (process, parent, bytes) of all that descend from `root`, itself left out.
fn descendants(root: u32, all: &[(u32, Option<u32>, u64)]) -> u64 {
    let mut family = vec![root];
    let mut sum = 0;
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        for (pid, up, bytes) in all {
            if *up == Some(parent) && !family.contains(pid) {
                family.push(*pid);
                sum += bytes;
            }
        }
        at += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_and_their_children_are_counted_once() {
        let all = [(1, None, 100), (2, Some(1), 10), (3, Some(2), 5), (4, Some(9), 7), (9, None, 1), (2, Some(3), 10)];
        assert_eq!(descendants(1, &all), 15);
        assert_eq!(descendants(9, &all), 7);
        assert_eq!(descendants(77, &all), 0);
    }

    #[test]
    fn this_process_is_seen_and_the_history_stays_short() {
        let (mut gauge, mut view) = (Gauge::new(), MemoryView::default());
        gauge.read(&mut view, false);
        assert!(view.process > 0 && view.total >= view.used && view.peak >= view.process && view.child.is_none(), "{view:?}");
        assert_eq!((view.history.ram.len(), view.history.cpu.len()), (1, 1));
        let mut history = MachineHistory::default();
        for _ in 0..1000 {
            history.add(&view);
        }
        assert_eq!(history.ram.len(), HISTORY);
    }

    #[test]
    fn a_share_is_a_whole_percent() {
        assert_eq!((percent(1, 4), percent(3, 0), percent(9, 3)), (25, 0, 255));
    }
}
