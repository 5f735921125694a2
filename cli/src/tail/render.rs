//! Output of `tail`: events, what happens to the streams, and counters.

use std::io::{self, Write};

use datastream_client::{Error, Event, Refusal, Update};
use datastream_service::text::printable;

use super::line::Line;
use super::stream::Report;

/// Format of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// One readable line each.
    #[default]
    Text,
    /// The event's JSON as it came, one per line.
    Json,
}

/// One color per stream, in turn: ANSI, readable on dark and light.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];

/// The counters of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Events received.
    pub events: u64,
    /// Heartbeats answered.
    pub heartbeats: u64,
    /// Times that an open stream was lost.
    pub losses: u64,
    /// Times that the stream could not be opened.
    pub failures: u64,
    /// Frames that made no sense.
    pub junk: u64,
    /// Position of the last event.
    pub last_seq: String,
    /// The stream is open.
    pub open: bool,
    /// The server refused it for good, or what it sends cannot be read.
    pub failed: bool,
}

/// Prints reports to `out`, and what is not an event to `notes`.
pub(super) struct Renderer<O, N> {
    out: O,
    notes: N,
    output: Output,
    colours: bool,
    /// `notes` is a terminal: its last line shows the counters.
    status_line: bool,
    labels: Vec<String>,
    width: usize,
    /// Counters of every stream.
    pub counters: Vec<Counters>,
}

/// Settings of a renderer, but for where to write.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// Format of events.
    pub output: Output,
    /// Colors are used.
    pub colours: bool,
    /// A line with counters is kept at the bottom.
    pub status_line: bool,
    /// Labels of the streams.
    pub labels: Vec<String>,
}

impl<O: Write, N: Write> Renderer<O, N> {
    /// A renderer of streams with these labels.
    pub(super) fn new(out: O, notes: N, style: Style) -> Self {
        let width = style.labels.iter().map(|l| l.chars().count()).max();
        Self {
            out,
            notes,
            output: style.output,
            colours: style.colours,
            status_line: style.status_line,
            width: width.unwrap_or(0),
            counters: vec![Counters::default(); style.labels.len()],
            labels: style.labels,
        }
    }

    /// Counts and prints one report.
    pub(super) fn show(&mut self, stream: usize, report: &Report) -> io::Result<()> {
        let counters = &mut self.counters[stream];
        match report {
            Report::Update(update) => self.update(stream, update),
            Report::Ended => {
                counters.open = false;
                self.note(stream, "ended")
            }
            Report::Failed(Error::Unreadable(reason)) => {
                counters.losses += 1;
                counters.open = false;
                counters.failed = true;
                let way_out = "--since shows what came after a later time";
                self.note(stream, &format!("stopped: {reason}; {way_out}"))
            }
            Report::Failed(error) => {
                counters.open = false;
                counters.failed = true;
                let refusal = error.refusal().map(Refusal::to_string);
                let reason = refusal.unwrap_or_else(|| error.to_string());
                self.note(stream, &format!("refused: {reason}"))
            }
        }
    }

    fn update(&mut self, stream: usize, update: &Update) -> io::Result<()> {
        let counters = &mut self.counters[stream];
        match update {
            Update::Event(event) => {
                counters.events += 1;
                self.event(stream, event)
            }
            Update::Heartbeat => {
                counters.heartbeats += 1;
                Ok(())
            }
            Update::Connected => {
                counters.open = true;
                self.note(stream, "open")
            }
            Update::Skipped(reason) => {
                counters.junk += 1;
                self.note(stream, &format!("skipped {reason}"))
            }
            Update::Reconnecting { failure, delay } => {
                if std::mem::take(&mut counters.open) {
                    counters.losses += 1;
                } else {
                    counters.failures += 1;
                }
                let seconds = delay.as_secs_f32();
                let note = format!("{failure}; trying again in {seconds:.1} s");
                self.note(stream, &note)
            }
            Update::Gap { seq_start } => {
                self.note(stream, &format!("events before {seq_start} have expired"))
            }
            _ => Ok(()),
        }
    }

    fn event(&mut self, stream: usize, event: &Event) -> io::Result<()> {
        let seq = printable(event.seq());
        if self.output == Output::Json {
            writeln!(self.out, "{event}")?;
        } else {
            self.clear_status()?;
            let label = self.label(stream);
            let Line {
                time,
                event_type,
                dsn,
                what,
            } = Line::of(&event.view());
            writeln!(
                self.out,
                "{time:<20} {label} {event_type:<12} {dsn:<15} {what}  #{seq}"
            )?;
        }
        self.counters[stream].last_seq = seq.into_owned();
        Ok(())
    }

    fn note(&mut self, stream: usize, text: &str) -> io::Result<()> {
        self.clear_status()?;
        let label = self.label(stream);
        writeln!(self.notes, "{label} {text}")
    }

    /// The label, padded to the longest and in the stream's color.
    fn label(&self, stream: usize) -> String {
        let padded = format!("{:<width$}", self.labels[stream], width = self.width);
        if self.colours {
            format!("\x1b[{}m{padded}\x1b[0m", COLOURS[stream % COLOURS.len()])
        } else {
            padded
        }
    }

    fn clear_status(&mut self) -> io::Result<()> {
        if self.status_line {
            self.out.flush()?;
            write!(self.notes, "\r\x1b[K")?;
            self.notes.flush()?;
        }
        Ok(())
    }

    /// Hands over what is buffered and renews the line with the counters.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        if self.status_line {
            let open = self.counters.iter().filter(|c| c.open).count();
            let sum = |f: fn(&Counters) -> u64| self.counters.iter().map(f).sum::<u64>();
            write!(
                self.notes,
                "\r\x1b[K{open}/{} streams open, {} events, {} heartbeats",
                self.counters.len(),
                sum(|c| c.events),
                sum(|c| c.heartbeats)
            )?;
        }
        self.notes.flush()
    }

    /// Prints the counters of every stream.
    pub(super) fn summary(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.clear_status()?;
        for stream in 0..self.counters.len() {
            let label = self.label(stream);
            let c = &self.counters[stream];
            let last = if c.last_seq.is_empty() {
                "none"
            } else {
                &c.last_seq
            };
            let failures = match c.failures {
                0 => String::new(),
                1 => ", 1 failed attempt to connect".to_owned(),
                failures => format!(", {failures} failed attempts to connect"),
            };
            writeln!(
                self.notes,
                "{label} {} events, {} heartbeats, {} losses{failures}, {} skipped, last seq {last}",
                c.events, c.heartbeats, c.losses, c.junk
            )?;
        }
        self.notes.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use datastream_client::Failure;

    use super::*;

    const EVENT: &str = r#"{"seq":"12","metadata":{"dsn":"AC1","event_type":"connectivity"},"connection":{"event_time":"2018-09-24T10:26:37Z","status":"Online"}}"#;

    fn rendered(output: Output, colours: bool) -> (String, String) {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let style = Style {
            output,
            colours,
            status_line: false,
            labels: vec!["a".to_owned(), "leds".to_owned()],
        };
        let mut renderer = Renderer::new(&mut out, &mut notes, style);
        let event = Update::Event(EVENT.parse().unwrap());
        let lost = |reason: &str, milliseconds| Update::Reconnecting {
            failure: Failure::Lost(reason.to_owned()),
            delay: Duration::from_millis(milliseconds),
        };
        for update in [
            Update::Connected,
            Update::Live {
                seq_start: "1".to_owned(),
            },
            Update::Gap {
                seq_start: "9".to_owned(),
            },
            event,
            Update::Heartbeat,
            lost("gone", 1500),
            lost("nobody there", 3000),
        ] {
            renderer.show(0, &Report::Update(update)).unwrap();
        }
        renderer.summary().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(out), text(notes))
    }

    #[test]
    fn events_are_rendered_on_one_line_and_counted() {
        let (out, notes) = rendered(Output::Text, false);
        assert_eq!(
            out,
            "2018-09-24T10:26:37Z a    connectivity AC1             Online  #12\n"
        );
        assert_eq!(
            notes,
            "a    open\n\
             a    events before 9 have expired\n\
             a    gone; trying again in 1.5 s\n\
             a    nobody there; trying again in 3.0 s\n\
             a    1 events, 1 heartbeats, 1 losses, 1 failed attempt to connect, 0 skipped, last seq 12\n\
             leds 0 events, 0 heartbeats, 0 losses, 0 skipped, last seq none\n"
        );
    }

    #[test]
    fn json_output_is_the_unchanged_event() {
        assert_eq!(rendered(Output::Json, false).0, format!("{EVENT}\n"));
    }

    #[test]
    fn colors_are_used_only_if_enabled() {
        assert!(!rendered(Output::Text, false).0.contains('\x1b'));
        assert!(
            rendered(Output::Text, true)
                .0
                .contains("\x1b[36ma   \x1b[0m")
        );
    }
}
