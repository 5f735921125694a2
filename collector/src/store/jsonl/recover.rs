//! Recovery of a file after a kill, a power cut or damage. Only what stands behind the last event is taken off, and only
//! the beginning of a line that was not written to its end is thrown away: everything else is kept, here or beside it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use datastream_protocol::position::Position;

use super::scan::{Scan, Tail, scan};
use crate::store::lines::sync_folder;
use crate::store::place::Placed;

/// The content of a file.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Its bytes.
    pub len: u64,
    /// Position of a stream that has seen the last event; none if there is none.
    pub position: Option<Position>,
    /// Position of a stream that has seen all events that were read.
    pub reached: Option<Position>,
    /// Lines that are no events.
    pub damaged: u64,
}

/// The part of a file that a process has written for certain.
#[derive(Clone, Debug)]
pub(super) struct Synced {
    /// The file.
    pub file: Placed,
    /// Number of its bytes.
    pub len: u64,
}

/// Opens a file for appending, after taking off what is behind its last event, and not more than what was written for
/// certain if that is known. Everything that is left is on the disk.
pub(super) fn mend(path: &Path, synced: Option<&Synced>) -> io::Result<(File, Recovered)> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    if let Some(synced) = synced.filter(|s| s.file.is(path, &file)) {
        cut_unsynced(&file, path, synced.len)?;
    }
    let len = file.metadata()?.len();
    let mut scan = scan(&mut file, len)?;
    report(path, &scan);
    let name = path.display();
    match &scan.tail {
        Tail::None => {}
        Tail::LineBreak => {
            tracing::warn!(file = %name, "the line break of the last event was not written; it is now");
            file.write_all(b"\n")?;
            scan.whole = len + 1;
        }
        Tail::Torn => {
            let bytes = len - scan.whole;
            tracing::warn!(file = %name, bytes, "cut off a line that was not written to its end; its event will be fetched again");
            file.set_len(scan.whole)?;
        }
        Tail::Damaged => {
            let bytes = len - scan.whole;
            let aside = set_aside(&mut file, path, scan.whole)?;
            tracing::error!(
                file = %name, bytes, moved_to = %aside.display(),
                "what is behind the last event is damaged: moved away; events that were there will be fetched again"
            );
            file.set_len(scan.whole)?;
        }
    }
    file.sync_all()?;
    Ok((file, found(scan)))
}

/// Reads a finished file.
pub(super) fn look(path: &Path) -> io::Result<Recovered> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let scan = scan(&mut file, len)?;
    report(path, &scan);
    Ok(found(scan))
}

fn found(scan: Scan) -> Recovered {
    Recovered {
        len: scan.whole,
        position: scan.position,
        reached: scan.reached,
        damaged: scan.damaged,
    }
}

/// Cuts off what is not synced: what this process wrote last may be read back and still be gone after a power cut.
fn cut_unsynced(file: &File, path: &Path, synced: u64) -> io::Result<()> {
    let len = file.metadata()?.len();
    if len > synced {
        file.set_len(synced)?;
    }
    if len < synced {
        tracing::error!(
            file = %path.display(), bytes = len, stored = synced,
            "the file was cut: it has fewer bytes than were stored in it"
        );
    }
    Ok(())
}

fn report(path: &Path, scan: &Scan) {
    let file = path.display();
    if scan.damaged > 0 {
        let lines: Vec<_> = scan.named.iter().map(u64::to_string).collect();
        let more = match scan.damaged - lines.len() as u64 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let lines = lines.join(", ");
        tracing::error!(
            "{file}: line {lines}{more}: no event; left as it is, and so is everything behind it"
        );
    }
    if scan.repeated > 0 {
        let repeated = scan.repeated;
        tracing::error!("{file}: {repeated} lines are there twice; left as they are");
    }
}

/// Copies the end of a file beside it.
fn set_aside(file: &mut File, path: &Path, from: u64) -> io::Result<PathBuf> {
    let aside = damaged_name(path);
    file.seek(SeekFrom::Start(from))?;
    let mut copy = OpenOptions::new().create(true).append(true).open(&aside)?;
    io::copy(&mut file.take(u64::MAX), &mut copy)?;
    copy.sync_all()?;
    path.parent().map_or(Ok(()), sync_folder)?;
    Ok(aside)
}

/// The name under which the damaged part of a file is kept.
pub(super) fn damaged_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".damaged");
    name.into()
}
