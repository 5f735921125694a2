//! What a process that was killed left behind: finds the last event that is whole, and cuts off what is behind it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use datastream_gateway::position::Position;
use memchr::memchr;

use crate::collect::event::position_of_line;

/// More than one batch: only the last batch can be damaged, because the ones before were on the disk first.
const WINDOW: u64 = 32 << 20;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Recovered {
    /// The bytes that are whole lines.
    pub len: u64,
    /// Where a stream stands that has seen the last of them; none if there is none.
    pub position: Option<Position>,
}

/// Opens a file for appending, after cutting off what is not whole, and not more than what was written for certain if
/// that is known. Everything that is left is on the disk.
pub(super) fn mend(path: &Path, synced: Option<u64>) -> io::Result<(File, Recovered)> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    if let Some(synced) = synced.filter(|s| file.metadata().is_ok_and(|m| m.len() > *s)) {
        file.set_len(synced)?;
    }
    let len = file.metadata()?.len();
    let recovered = examine(&mut file, len)?;
    if recovered.len < len {
        let bytes = len - recovered.len;
        tracing::warn!(file = %path.display(), bytes, "cut off what was not written to its end; it will be fetched again");
        file.set_len(recovered.len)?;
    }
    file.sync_all()?;
    Ok((file, recovered))
}

/// What a finished file holds.
pub(super) fn look(path: &Path) -> io::Result<Recovered> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    examine(&mut file, len)
}

fn examine(file: &mut File, len: u64) -> io::Result<Recovered> {
    let start = len.saturating_sub(WINDOW);
    file.seek(SeekFrom::Start(start))?;
    let mut window = Vec::with_capacity((len - start) as usize);
    file.take(len - start).read_to_end(&mut window)?;
    // A window that begins in the middle of a line begins with the next one.
    let mut whole = match (start, memchr(b'\n', &window)) {
        (0, _) => 0,
        (_, Some(end)) => end + 1,
        (_, None) => return Err(io::Error::other("no line ends in the last 32 MiB")),
    };
    let mut position = None;
    while let Some(length) = memchr(b'\n', &window[whole..]) {
        let line = std::str::from_utf8(&window[whole..whole + length]).ok();
        let Some(last) = line.and_then(position_of_line) else {
            break;
        };
        position = Some(last);
        whole += length + 1;
    }
    if position.is_none() && start > 0 {
        return Err(io::Error::other("the last 32 MiB hold no event"));
    }
    Ok(Recovered {
        len: start + whole as u64,
        position,
    })
}
