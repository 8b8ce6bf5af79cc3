//! Memory and processor gauges, from the system, only when asked.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

use super::snapshot::MemoryView;

/// Reads this process's share of the machine.
pub(super) struct Gauge {
    system: System,
    cores: f32,
}

impl Gauge {
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { system: System::new(), cores: cores as f32 }
    }

    pub fn read(&mut self) -> MemoryView {
        self.system.refresh_memory();
        let Ok(pid) = sysinfo::get_current_pid() else { return MemoryView::default() };
        let what = ProcessRefreshKind::nothing().with_memory().with_cpu();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
        let process = self.system.process(pid);
        MemoryView {
            used: self.system.used_memory(),
            total: self.system.total_memory(),
            process: process.map_or(0, sysinfo::Process::memory),
            cpu: process.map_or(0.0, |p| p.cpu_usage() / 100.0 / self.cores),
        }
    }
}
