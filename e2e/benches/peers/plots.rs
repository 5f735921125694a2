//! The plots of a record.

use std::path::Path;

use crate::figures::{CPU, P50, P99, P999};
use crate::load::Load;
use crate::record::Record;
use crate::servers::Kind;
use crate::svg::{Panel, Row, Value, chart};

/// Writes `cpu.svg` and `latency.svg` into a folder.
pub(crate) fn write(record: &Record, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let setup = &record.setup;
    let setup = format!(
        "{} connections, {}-byte events; median of {} rounds, least to most; {}, {}",
        setup.connections,
        setup.event_bytes,
        setup.rounds,
        record.machine.cpu,
        &record.machine.date[..10]
    );
    let cpu = chart(
        "CPU time of the server for a delivery, in microseconds",
        &setup,
        &["CPU"],
        &panels(record, &[CPU]),
    );
    let latency = chart(
        "From sending to arrival, in milliseconds: p50, p99, p99.9",
        &setup,
        &["p50", "p99", "p99.9"],
        &panels(record, &[P50, P99, P999]),
    );
    std::fs::write(folder.join("cpu.svg"), cpu).unwrap();
    std::fs::write(folder.join("latency.svg"), latency).unwrap();
}

/// A panel for each load that was measured.
fn panels(record: &Record, figures: &[&str]) -> Vec<Panel> {
    let panels = Load::EACH.iter().map(|load| Panel {
        title: load.title().to_owned(),
        rows: Kind::EACH
            .iter()
            .filter_map(|kind| row(record, *kind, *load, figures))
            .collect(),
    });
    panels.filter(|panel| !panel.rows.is_empty()).collect()
}

/// The row of a server, if it was measured.
fn row(record: &Record, kind: Kind, load: Load, figures: &[&str]) -> Option<Row> {
    let values = figures.iter().map(|figure| {
        let figure = record.figures.get(kind.name(), Some(load.name()), figure)?;
        Some(Value {
            median: figure.median,
            min: figure.min,
            max: figure.max,
        })
    });
    Some(Row {
        name: kind.title().to_owned(),
        class: match kind {
            Kind::Raw | Kind::RawTopic | Kind::Bare => "floor",
            Kind::Gateway | Kind::GatewayTls => "own",
            Kind::Nats | Kind::Centrifuge => "peer",
        },
        values: values.collect::<Option<_>>()?,
    })
}
