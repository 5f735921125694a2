//! echo PORT: a WebSocket server on 127.0.0.1 that sends every message back, by the code that serves streams. Port 0 takes a
//! free one. Prints its address.
#![allow(clippy::print_stdout)] // the address is what it has to say

use std::net::Ipv4Addr;

use anyhow::Context as _;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).context("usage: echo PORT")?;
    let port: u16 = port.parse().context("the port is no number up to 65535")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("{}", listener.local_addr()?);
    datastream_gateway::echo::serve(listener).await;
    Ok(())
}
