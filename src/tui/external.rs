//! The operator's own editor on a piece of text.
//!
//! Owns the temporary file and the choice of the program; the terminal is given away and taken back by the caller.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::time::{SystemTime, UNIX_EPOCH};

/// The text as the editor left it, or in a sentence why there is none.
pub fn edit(text: &str) -> Result<String, String> {
    let file = Temporary::with(text).map_err(|e| format!("cannot write a temporary file: {e}"))?;
    let program = ["VISUAL", "EDITOR"].iter().find_map(|name| env::var(name).ok().filter(|value| !value.trim().is_empty()));
    let program = program.unwrap_or_else(|| "vi".into());
    let mut words = program.split_whitespace();
    let name = words.next().unwrap_or("vi");
    let status = Command::new(name).args(words).arg(&file.path).status();
    match status {
        Err(e) => Err(format!("cannot start the editor '{program}': {e}. Set EDITOR to one that is installed")),
        Ok(status) if !status.success() => Err(format!("the editor '{program}' ended with {status}; nothing was changed")),
        Ok(_) => fs::read_to_string(&file.path).map_err(|e| format!("cannot read what the editor wrote: {e}")),
    }
}

/// A file that only its owner reads and that goes when this does.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn with(text: &str) -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let path = env::temp_dir().join(format!("stratos-{}-{now}.toml", id()));
        let mut file = open_new(&path)?;
        let temporary = Self { path };
        file.write_all(text.as_bytes())?;
        Ok(temporary)
    }
}

/// Never a file that is there already: somebody may have put a link in its place.
fn open_new(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Best effort: what is left is a private file in the system's own folder for such files.
        let _ = fs::remove_file(&self.path);
    }
}
