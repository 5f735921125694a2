//! Sources of the lines: files, one after the other, or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::sync::mpsc;

/// Most bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// Chunks that may wait while Fluvio stores what was read before.
const QUEUE: usize = 16;

/// An input that can be read.
pub(super) struct Input {
    /// Its name in messages.
    pub name: String,
    source: Box<dyn Read + Send>,
}

/// The outcome of one read of an input.
pub(super) enum Chunk {
    /// The next bytes.
    Bytes(Vec<u8>),
    /// End of the input, or the error that ended it.
    End(io::Result<()>),
}

/// Opens all files before the first is read: a wrong name is the likeliest mistake.
///
/// # Errors
/// A file that cannot be opened or is a folder.
pub(super) fn open(files: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    if files.is_empty() {
        return Ok(vec![stdin()]);
    }
    files.iter().map(|file| open_one(file)).collect()
}

fn stdin() -> Input {
    Input {
        name: "standard input".to_owned(),
        source: Box::new(io::stdin()),
    }
}

fn open_one(path: &Path) -> anyhow::Result<Input> {
    if path == Path::new("-") {
        return Ok(stdin());
    }
    let cannot = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    if file.metadata().with_context(cannot)?.is_dir() {
        anyhow::bail!("{}: it is a folder, not a file of JSON lines", cannot());
    }
    Ok(Input {
        name: path.display().to_string(),
        source: Box::new(file),
    })
}

/// Reads the inputs in a thread of its own, each up to its [`Chunk::End`]. A read that never returns, as of a terminal,
/// keeps neither the runtime nor the process: the thread ends with the process.
pub(super) fn read(sources: Vec<Input>) -> (Vec<String>, mpsc::Receiver<Chunk>) {
    let (queue, chunks) = mpsc::channel(QUEUE);
    let (names, sources): (Vec<_>, Vec<_>) =
        sources.into_iter().map(|i| (i.name, i.source)).unzip();
    std::thread::spawn(move || {
        for mut source in sources {
            let end = loop {
                match read_some(&mut source) {
                    Ok(bytes) if bytes.is_empty() => break Ok(()),
                    Ok(bytes) => {
                        if queue.blocking_send(Chunk::Bytes(bytes)).is_err() {
                            return;
                        }
                    }
                    Err(error) => break Err(error),
                }
            };
            if queue.blocking_send(Chunk::End(end)).is_err() {
                return;
            }
        }
    });
    (names, chunks)
}

/// Reads what is there, up to [`CHUNK`]; nothing at the end.
fn read_some(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; CHUNK];
    loop {
        match source.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
            Ok(length) => {
                bytes.truncate(length);
                return Ok(bytes);
            }
        }
    }
}
