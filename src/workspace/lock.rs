//! One engine per workspace: an advisory file lock that the system releases when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::WorkspaceError;

/// Held while an engine works; released on drop or death.
pub struct WorkspaceLock {
    _file: File,
}

impl WorkspaceLock {
    pub fn take(path: &Path) -> Result<Self, WorkspaceError> {
        let io = |e| WorkspaceError::io("lock", path, e);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id())).map_err(io)?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                Err(WorkspaceError::Locked { holder: if holder.is_empty() { "unknown".into() } else { holder } })
            }
            Err(TryLockError::Error(e)) => Err(io(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_engine_is_told_who_holds_the_workspace() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("engine.lock");
        let first = WorkspaceLock::take(&path).expect("free");
        let error = WorkspaceLock::take(&path).err().expect("held").to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        assert!(WorkspaceLock::take(&path).is_ok());
    }
}
