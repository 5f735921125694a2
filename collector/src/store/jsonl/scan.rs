//! Reading lines back: which of them are events, where the last one ends, and what is behind it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};

use datastream_protocol::frame::LARGEST_FRAME;
use datastream_protocol::position::{EventIdentity, Position};
use memchr::{memchr, memchr_iter};

use crate::event::place_of_line;

/// The part of a file that is read: more than one batch has, so that all that a kill or a power cut can damage is in it.
pub(super) const WINDOW: u64 = 32 << 20;
/// A longer line is no event: it would not have come in one frame.
const LONGEST_LINE: usize = LARGEST_FRAME;
/// Lines that are named one by one.
const NAMED: usize = 5;
/// Identities that are remembered to know lines that are there twice.
const REMEMBERED: usize = 1 << 20;

/// The lines of a file, or of its end.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The end of the last line that is an event.
    pub whole: u64,
    /// Position of a stream that has seen that event; none if no line is one.
    pub position: Option<Position>,
    /// Position of a stream that has seen all events that were read.
    pub reached: Option<Position>,
    /// Lines before `whole` that are no events.
    pub damaged: u64,
    /// The numbers of the first of them, counted from one.
    pub named: Vec<u64>,
    /// Events before `whole` that were there already.
    pub repeated: u64,
    /// The content behind `whole`.
    pub tail: Tail,
}

/// The content behind the last line that is an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    #[default]
    None,
    /// Nothing, but the event has no line break.
    LineBreak,
    /// The beginning of an event: a line that was not written to its end.
    Torn,
    /// Anything else.
    Damaged,
}

/// Reads the last lines of a file, or all of them if no event is among the last.
pub(super) fn scan(file: &mut File, len: u64) -> io::Result<Scan> {
    let start = len.saturating_sub(WINDOW);
    let mut scan = lines_from(file, start, len)?;
    if scan.position.is_none() && start > 0 {
        return lines_from(file, 0, len);
    }
    if start > 0 && !scan.named.is_empty() {
        let before = line_breaks(file, start)?;
        scan.named.iter_mut().for_each(|number| *number += before);
    }
    Ok(scan)
}

/// Reads the lines that begin at `start` or behind it.
fn lines_from(file: &mut File, start: u64, len: u64) -> io::Result<Scan> {
    // From one byte before: a line begins at `start` only if there is a line break.
    let begin = start.saturating_sub(1);
    file.seek(SeekFrom::Start(begin))?;
    let mut reader = BufReader::with_capacity(1 << 20, file.take(len - begin));
    let mut line = Vec::new();
    let mut at = begin;
    let mut number = 0;
    if start > 0 {
        at += next_line(&mut reader, &mut line)?;
        number += 1;
    }
    let mut scan = Scan {
        whole: at,
        ..Scan::default()
    };
    let mut seen = HashSet::new();
    let mut pending = Pending::default();
    loop {
        let bytes = next_line(&mut reader, &mut line)?;
        if bytes == 0 {
            break;
        }
        at += bytes;
        number += 1;
        let text = line.strip_suffix(b"\n");
        let Some((identity, position)) = event(text.unwrap_or(&line)) else {
            if text.is_some() {
                pending.add(number);
            } else {
                scan.tail = Tail::of(&line);
            }
            continue;
        };
        scan.whole = at;
        scan.damaged += pending.count;
        scan.named.append(&mut pending.named);
        scan.named.truncate(NAMED);
        pending = Pending::default();
        if text.is_none() {
            scan.tail = Tail::LineBreak;
        }
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        // A block that is there twice does not take the stream back.
        let is_new = seen.insert(identity);
        scan.repeated += u64::from(!is_new);
        scan.reached = Some(match &scan.reached {
            Some(reached) => reached.union(&position),
            None => position.clone(),
        });
        let continues = |last: &Position| position.covers(last);
        if is_new || scan.position.as_ref().is_none_or(continues) {
            scan.position = Some(position);
        }
    }
    if pending.count > 0 {
        scan.tail = Tail::Damaged;
    }
    Ok(scan)
}

/// Lines that are no events, until it is known whether one follows.
#[derive(Default)]
struct Pending {
    count: u64,
    named: Vec<u64>,
}

impl Pending {
    fn add(&mut self, number: u64) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(number);
        }
    }
}

impl Tail {
    /// The kind of a last line that has no line break and is no event.
    fn of(line: &[u8]) -> Self {
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            // Cut in the middle of a character.
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&line[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return Self::Damaged,
        };
        let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text);
        match parsed {
            Err(error) if error.is_eof() && text.starts_with('{') => Self::Torn,
            _ => Self::Damaged,
        }
    }
}

fn event(line: &[u8]) -> Option<(EventIdentity, Position)> {
    if line.len() > LONGEST_LINE {
        return None;
    }
    place_of_line(std::str::from_utf8(line).ok()?)
}

/// Reads a line with its line break, and says how many bytes it has. Of one that is too long, only the beginning is kept.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<u64> {
    line.clear();
    let mut bytes = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(bytes);
        }
        let end = memchr(b'\n', chunk);
        let taken = end.map_or(chunk.len(), |end| end + 1);
        if line.len() <= LONGEST_LINE {
            line.extend_from_slice(&chunk[..taken]);
        } else if end.is_some() {
            line.push(b'\n');
        }
        bytes += taken as u64;
        reader.consume(taken);
        if end.is_some() {
            return Ok(bytes);
        }
    }
}

/// The line breaks in the first bytes of a file.
fn line_breaks(file: &mut File, len: u64) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(1 << 20, file.take(len - 1));
    let mut count = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(count);
        }
        count += memchr_iter(b'\n', chunk).count() as u64;
        let bytes = chunk.len();
        reader.consume(bytes);
    }
}
