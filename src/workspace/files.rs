//! Reading and writing files so that a crash leaves the old file or the new one, never half of either.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use super::WorkspaceError;

/// Reads a text file; invalid UTF-8 is an error that names the file and the line.
pub fn read_text(path: &Path) -> Result<String, WorkspaceError> {
    let bytes = fs::read(path).map_err(|e| WorkspaceError::io("read", path, e))?;
    String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..good].split(|b| *b == b'\n').count();
        let remedy = "Save the file as UTF-8";
        WorkspaceError::Record { file: path.to_owned(), line, why: "the text is not UTF-8".into(), remedy }
    })
}

/// Writes beside the target, flushes to disk, renames over it, and flushes the folder.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> Result<(), WorkspaceError> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temporary);
        WorkspaceError::io("write", path, e)
    })
}

/// Free bytes on the disk that holds `path`; `None` where the system does not say.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let path = path.canonicalize().ok()?;
    let disks = sysinfo::Disks::new_with_refreshed_list();
    let holding = disks.list().iter().filter(|d| path.starts_with(d.mount_point()));
    holding.max_by_key(|d| d.mount_point().as_os_str().len()).map(sysinfo::Disk::available_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atomic_write_replaces_the_file_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a.txt");
        atomic_write(&path, b"one").expect("writes");
        atomic_write(&path, b"two").expect("writes");
        assert_eq!(fs::read(&path).expect("reads"), b"two");
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1);
    }

    #[test]
    fn a_write_into_a_missing_folder_names_the_path_and_the_remedy() {
        let error = atomic_write(Path::new("/nonexistent/dir/a.txt"), b"x").expect_err("no folder").to_string();
        assert!(error.contains("/nonexistent/dir/a.txt") && error.contains("Check the path"), "{error}");
    }
}
