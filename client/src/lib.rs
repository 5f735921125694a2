//! A client of datastream's event streams.
//!
//! An [`EventStream`] brings events in order: it connects again by itself, resumes after the last event that has been handled, and
//! brings none twice. Below it is one [`Connection`] with its heartbeats, why there is none or no more ([`Failure`]), and when to
//! connect again ([`ReconnectPolicy`]), for programs with a loop of their own. The protocol is `docs/protocol.md`.
//!
//! ```
//! # use futures_util::SinkExt as _;
//! # use tokio_tungstenite::tungstenite::Message;
//! # use tokio_tungstenite::tungstenite::protocol::CloseFrame;
//! # async fn serve(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! #     let mut socket = tokio_tungstenite::accept_async(listener.accept().await?.0).await?;
//! #     for seq in 1..=2 {
//! #         let json = format!(r#"{{"seq":"{seq}","metadata":{{"event_type":"datapoint","dsn":"AC1"}},"datapoint":{{"value":2}}}}"#);
//! #         socket.send(Message::text(format!("{}|{json}", json.len()))).await?;
//! #     }
//! #     socket.close(Some(CloseFrame { code: 1000.into(), reason: "seq_end".into() })).await?;
//! #     Ok(())
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("ws://{}/stream?stream_key=KEY", listener.local_addr()?);
//! # let server = tokio::spawn(serve(listener));
//! use datastream_client::EventStream;
//!
//! let mut stream = EventStream::builder(&url).seq_start("1").seq_end("2").open()?;
//! let mut shown = vec![];
//! while let Some(event) = stream.next().await {
//!     let event = event?;
//!     shown.push(format!("{} {}", event.seq(), event.view().what()));
//! }
//! assert_eq!(shown, ["1 2", "2 2"]);
//! assert_eq!(stream.position().as_deref(), Some("3"));
//! # Ok(())
//! # }
//! ```

mod connection;
mod credentials;
mod dial;
mod heard;
mod reconnect;
mod refusal;
mod silence;
mod stream;
pub mod typed;
mod unreadable;

pub use connection::{Body, Connection, Failure, Incoming, inquire};
pub use credentials::{CredentialFiles, Credentials};
pub use datastream_protocol::StreamUrl;
pub use datastream_protocol::event::{EventType, View};
pub use datastream_protocol::position::EventIdentity;
pub use datastream_service::tls::IdentityFiles;
pub use reconnect::{Next, ReconnectPolicy};
pub use refusal::Refusal;
pub use silence::SilenceLimit;
pub use stream::{
    Acknowledge, Error, Event, EventStream, EventStreamBuilder, NoEvent, OnGap, Update,
};
pub use unreadable::Unreadable;

/// The examples of the crate's README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
