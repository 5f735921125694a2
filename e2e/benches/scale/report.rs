//! The tables for people.

use crate::figures::{
    CPU, CPU_SYSTEM, CPU_USER, HANDSHAKE, IDLE, LOAD_BUSY, P50, P99, P999, RATE, SERVER_BUSY,
};
use crate::record::Record;
use crate::tables::{self, Column, Shows};
use crate::{bar, changes, handshakes, partitions, reading, stand, streams};

/// Prints a record.
#[allow(clippy::print_stdout)]
pub(crate) fn print(record: &Record) {
    let figures = &record.figures;
    println!(
        "{}-byte events; median of {} rounds (least–most)",
        record.setup.event_bytes, record.setup.rounds
    );
    let column = |title, figure, shows| Column {
        title,
        figure,
        shows,
    };
    let spread = |title, figure| column(title, figure, Shows::Spread);
    let whole = |title, figure| column(title, figure, Shows::Whole);
    let tenths = |title, figure| column(title, figure, Shows::Tenths);
    let percent = |title, figure| column(title, figure, Shows::Percent);

    let servers = streams::SERVERS.into_iter().chain([streams::FLOOR]);
    let rows = servers.flat_map(|server| {
        streams::NUMBERS.map(|streams| (server.to_owned(), streams::load(streams)))
    });
    let columns = [
        spread("KiB/idle stream", IDLE),
        spread("CPU ms/handshake", HANDSHAKE),
        spread("CPU s/million", CPU),
        tenths("user", CPU_USER),
        tenths("system", CPU_SYSTEM),
        spread("p50, ms", P50),
        spread("p99, ms", P99),
        whole("deliveries/s", RATE),
        percent("server", SERVER_BUSY),
        percent("load", LOAD_BUSY),
    ];
    tables::print(
        "Streams, 20,000 deliveries/s; gateway or raw loop has one core, everything else the other",
        &columns,
        rows,
        figures,
    );

    let rows = handshakes::RATES
        .into_iter()
        .map(|rate| (handshakes::SERVER.to_owned(), handshakes::load(rate)));
    let columns = [
        whole("reached/s", handshakes::REACHED),
        whole("refused", handshakes::REFUSED),
        whole("503", "handshakes_refused_503"),
        whole("unanswered", handshakes::UNANSWERED),
        spread("handshake p50, ms", handshakes::HANDSHAKE_P50),
        spread("handshake p99, ms", handshakes::HANDSHAKE_P99),
        spread("CPU ms/handshake", HANDSHAKE),
        spread("p50, ms", P50),
        spread("p99, ms", P99),
        whole("closed", handshakes::CLOSED),
        whole("missing", handshakes::WRONG),
        percent("gateway", SERVER_BUSY),
        percent("load", LOAD_BUSY),
    ];
    tables::print(
        "Handshakes beside 1,000 streams with 20,000 deliveries/s; all share both cores (p50 and p99: of those deliveries)",
        &columns,
        rows,
        figures,
    );

    let rows = partitions::rows().map(|(server, load)| (server.to_owned(), load));
    let columns = [
        spread("CPU s/million", CPU),
        spread("p50, ms", P50),
        spread("p99, ms", P99),
        whole("deliveries/s", RATE),
        percent("server", SERVER_BUSY),
        percent("used up", partitions::THROTTLED),
        percent("load", LOAD_BUSY),
    ];
    tables::print(
        "Cores, 1,000 streams, saturated; gateway or raw loop has the same part of one core or of each of two",
        &columns,
        rows,
        figures,
    );

    let rows = changes::LOADS.map(|load| (changes::SERVER.to_owned(), load.to_owned()));
    let columns = [
        whole("changes/s", changes::CHANGED),
        spread("CPU s/million", CPU),
        spread("p50, ms", P50),
        spread("p99, ms", P99),
        spread("p99.9, ms", P999),
        percent("gateway", SERVER_BUSY),
        percent("load", LOAD_BUSY),
    ];
    tables::print(
        "Changes among 100,000 routes, 1,000 streams with 20,000 deliveries/s; the gateway has one core, everything else the other",
        &columns,
        rows.into_iter(),
        figures,
    );

    let rows = reading::SERVERS.iter().flat_map(|server| {
        let partitions = reading::partitions_of(server).into_iter();
        partitions.flat_map(|partitions| {
            reading::RATES
                .map(|(name, _)| (server.name.to_owned(), reading::load(partitions, name)))
        })
    });
    let columns = [
        spread("CPU s/million records", reading::CPU),
        whole("records/s", reading::RATE),
        percent("gateway", SERVER_BUSY),
        tenths("MiB at start", stand::STARTED),
    ];
    tables::print(
        "Reading, of what no stream wants; the gateway has one core, everything else the other",
        &columns,
        rows,
        figures,
    );
    println!(
        "(the broker is part of latency and of \"load\"; \"server\", \"gateway\" and \"load\": CPU time by time, 100% is a core; \"used up\": periods in which it \
         would have used more than its quota)"
    );
    if let Some(line) = figures.distances() {
        println!("{line}");
    }
    bar::print(&record.bars);
    for load in partitions::not_judged(figures) {
        println!(
            "  {load}: no bar, because the gateway did not use up its quota: quiet the machine, or lower SCALE_QUOTA"
        );
    }
}
