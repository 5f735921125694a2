//! Files that somebody else puts into a folder.

use std::fs::{File, FileType, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Reads a regular file of at most `most` bytes. Links are followed.
///
/// Anything else under that name is an error at once: a FIFO would block whoever opens it for as long as nobody writes, and
/// a device may have no end.
///
/// # Errors
/// Not a regular file, a larger one, or one that cannot be read.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Before it is opened: opening alone has effects on some devices.
    check(path.metadata()?.file_type())?;
    // And what was opened: it may have been replaced meanwhile, and then opening must not wait.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    check(metadata.file_type())?;
    read_up_to(&file, most, metadata.len())
}

/// The largest file with a token.
const MAX_TOKEN: u64 = 16 << 10;

/// Reads a file with a token, such as the kubelet writes, without the space around it.
///
/// # Errors
/// The file cannot be read, or holds no token.
pub fn read_token(path: &Path) -> io::Result<String> {
    let invalid = |reason| io::Error::new(io::ErrorKind::InvalidData, reason);
    let text = String::from_utf8(read_regular(path, MAX_TOKEN)?);
    let text = text.map_err(|_| invalid("it is not UTF-8"))?;
    let token = text.trim();
    if token.is_empty() || token.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(invalid("it holds no token"));
    }
    Ok(token.to_owned())
}

/// Makes sure that there is a regular file at this path, or nothing yet, before it is opened to be written. Links are followed.
///
/// # Errors
/// Something else is there.
pub fn check_regular(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(found) => check(found.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes the lock on an open file, which is held for as long as the file is open; a process that is killed loses it. Returns
/// whether it could be taken: it cannot while another process holds it.
///
/// # Errors
/// The file cannot be locked at all.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn read_up_to(file: &File, most: u64, expected: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(expected.min(most) as usize);
    // What it says of its length and what it has may differ.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!(
            "it is larger than the {most} bytes that are allowed"
        )));
    }
    Ok(bytes)
}

fn check(kind: FileType) -> io::Result<()> {
    let name = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::other(format!("it is {name}, not a file")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    #[test]
    fn regular_files_are_read_and_others_are_rejected_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "12345").unwrap();
        symlink(path("file"), path("link")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(read_regular(&path(name), 5).unwrap(), b"12345");
        }
        std::fs::create_dir(path("dir")).unwrap();
        symlink("/dev/zero", path("zero")).unwrap();
        symlink("loop", path("loop")).unwrap();
        let made = Command::new("mkfifo").arg(path("fifo")).status().unwrap();
        assert!(made.success());
        let _socket = UnixListener::bind(path("socket")).unwrap();
        for (name, reason) in [
            ("dir", "a folder"),
            ("zero", "a device"),
            ("loop", "symbolic links"),
            ("fifo", "a FIFO"),
            ("socket", "a socket"),
            ("missing", "No such file"),
        ] {
            let error = read_regular(&path(name), 5).unwrap_err();
            assert!(error.to_string().contains(reason), "{name}: {error}");
        }
        assert!(check_regular(&path("file")).is_ok() && check_regular(&path("missing")).is_ok());
        for name in ["dir", "zero", "fifo", "socket"] {
            assert!(check_regular(&path(name)).is_err(), "{name}");
        }
        let error = read_regular(&path("file"), 4).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it is larger than the 4 bytes that are allowed"
        );
    }
}
