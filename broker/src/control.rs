//! The fault switches as lines of text on a port, for tests that run the broker as a process.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::broker::{Broker, Role};

const HELP: &str = "drop|down|up sc|spu; silent on|off; delay MS; tear N; refuse N; lose-acks N; \
    hold-hw on|off; hold-reports on|off; disown on|off; reset on|off; evict TOPIC PARTITION OFFSET; damage TOPIC PARTITION KIND";

/// Takes one command a line and answers `ok` (`ok OFFSET` to `evict`, with the first offset that is left, and to `damage`, with that of the batch) or `error: …`. One connection at a time.
///
/// # Errors
/// The listener's.
pub async fn serve_control(listener: TcpListener, broker: &mut Broker) -> std::io::Result<()> {
    loop {
        let (mut socket, _) = listener.accept().await?;
        let (read, mut write) = socket.split();
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let answer = match command(broker, &line).await {
                Ok(None) => "ok\n".to_owned(),
                Ok(Some(start)) => format!("ok {start}\n"),
                Err(reason) => format!("error: {reason}\n"),
            };
            if write.write_all(answer.as_bytes()).await.is_err() {
                break;
            }
        }
    }
}

async fn command(broker: &mut Broker, line: &str) -> Result<Option<u64>, String> {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["drop", port] => broker.drop_connections(role(port)?),
        ["down", port] => broker.down(role(port)?).await,
        ["up", port] => broker.up(role(port)?).await.map_err(|e| e.to_string())?,
        ["silent", state] => broker.set_silent(switch(state)?),
        ["delay", ms] => broker.set_delay(Duration::from_millis(number(ms)?)),
        ["tear", count] => broker.tear_answers(number(count)?),
        ["refuse", count] => broker.refuse_produce(number(count)?),
        ["lose-acks", count] => broker.lose_acks(number(count)?),
        ["hold-hw", state] => broker.hold_high_watermark(switch(state)?),
        ["hold-reports", state] => broker.hold_reports(switch(state)?),
        ["disown", state] => broker.disown(switch(state)?),
        ["reset", state] => broker.set_reset(switch(state)?),
        ["evict", topic, partition, offset] => {
            let evicted = broker.evict(topic, number(partition)? as u32, number(offset)?);
            return evicted.map_err(|e| e.to_string());
        }
        ["damage", topic, partition, kind] => {
            let damaged = broker.append_damaged(topic, number(partition)? as u32, kind.parse()?);
            return damaged.map(Some).map_err(|e| e.to_string());
        }
        _ => return Err(HELP.to_owned()),
    }
    Ok(None)
}

fn role(word: &str) -> Result<Role, String> {
    match word {
        "sc" | "controller" => Ok(Role::Sc),
        "spu" | "unit" => Ok(Role::Spu),
        _ => Err(format!("sc or spu, not {word}")),
    }
}

fn switch(word: &str) -> Result<bool, String> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("on or off, not {word}")),
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|e| format!("{word}: {e}"))
}
