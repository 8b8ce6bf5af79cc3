//! Where the engine's socket lies: in `.stratos/` of its workspace, or elsewhere by the workspace's digest where that path is
//! too long for a socket.
//!
//! Owns paths and who may touch them; a socket is for the user who started the engine and for nobody else.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::RemoteError;
use crate::domain::Digest;
use crate::workspace::Workspace;

/// A socket's address holds 108 bytes on Linux and 104 on macOS, its end included; a little is left for the name that it
/// has before it is ready.
const LONGEST: usize = 98;

const NAME: &str = "engine.sock";

/// The workspace's folder by its one true name, so that every way to it finds the same engine.
pub fn root(workspace: &Workspace) -> PathBuf {
    fs::canonicalize(workspace.root()).unwrap_or_else(|_| workspace.root().to_owned())
}

/// The socket of this workspace's engine, whether there is one or not.
pub fn socket(workspace: &Workspace) -> Result<PathBuf, RemoteError> {
    let root = root(workspace);
    let near = root.join(".stratos").join(NAME);
    if near.as_os_str().len() <= LONGEST {
        // Also makes `.stratos`.
        workspace.state_dir("")?;
        return Ok(near);
    }
    let name = format!("stratos-{}.sock", Digest::of(root.as_os_str().as_encoded_bytes()).short());
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let given = given.filter(|dir| dir.is_absolute() && dir.as_os_str().len() + name.len() < LONGEST && own(dir).is_ok());
    let folder = match given {
        Some(folder) => folder,
        None => private(&std::env::temp_dir(), rustix::process::geteuid().as_raw())?,
    };
    Ok(folder.join(name))
}

/// A folder in `temp` that only this user can enter.
fn private(temp: &Path, user: u32) -> Result<PathBuf, RemoteError> {
    // A temporary folder with a long path of its own would not help.
    let temp = if temp.as_os_str().len() < 40 { temp } else { Path::new("/tmp") };
    let folder = temp.join(format!("stratos-{user}"));
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => Ok(folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => own(&folder).map(|()| folder.clone()),
        Err(error) => Err(RemoteError::socket("make a folder for", &folder, error)),
    }
}

/// Nobody else may have made it, and nobody else may write to it: whoever owns the socket's folder is the engine.
fn own(folder: &Path) -> Result<(), RemoteError> {
    let found = fs::symlink_metadata(folder).map_err(|e| RemoteError::socket("look at the folder of", folder, e))?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.permissions().mode() & 0o022 == 0;
    if ours { Ok(()) } else { Err(RemoteError::Unsafe { folder: folder.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Config;

    #[test]
    fn a_short_workspace_keeps_its_socket_and_a_deep_one_has_it_elsewhere() {
        let dir = tempfile::tempdir().expect("temp dir");
        Workspace::init(dir.path(), &Config::default()).expect("workspace");
        let near = socket(&Workspace::open(dir.path()).expect("opens")).expect("a place");
        assert!(near.ends_with(".stratos/engine.sock"), "{}", near.display());

        let deep = dir.path().join("d".repeat(120));
        Workspace::init(&deep, &Config::default()).expect("workspace");
        let elsewhere = socket(&Workspace::open(&deep).expect("opens")).expect("a place");
        assert!(elsewhere.as_os_str().len() <= LONGEST && !elsewhere.starts_with(&deep), "{}", elsewhere.display());
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_trusted() {
        let dir = tempfile::tempdir().expect("temp dir");
        let folder = private(dir.path(), 1).expect("made");
        assert_eq!(fs::metadata(&folder).expect("there").permissions().mode() & 0o777, 0o700);
        assert_eq!(private(dir.path(), 1).expect("still ours"), folder);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("opened up");
        assert!(matches!(private(dir.path(), 1), Err(RemoteError::Unsafe { .. })));
        let link = dir.path().join("stratos-2");
        std::os::unix::fs::symlink(dir.path(), &link).expect("linked");
        assert!(matches!(private(dir.path(), 2), Err(RemoteError::Unsafe { .. })));
    }
}
