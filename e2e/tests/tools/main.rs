//! Programs and libraries of others that read streams, each as people run it: curl, Chromium, wscat, Node-RED, Benthos, libraries for
//! Python and Node.js, and nginx in front. They get every event, once and in order, and those that can resume do so over restarts of
//! the server.
//!
//! They run the examples of `e2e/tools/examples`, which `docs/tools.md` shows. The first test installs what they need.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod benthos;
#[path = "../../../cli/tests/console/browser.rs"]
#[allow(dead_code, reason = "the tests of the console use the rest")]
mod browser;
mod chromium;
mod committed;
mod curl;
mod document;
#[path = "../clients/events.rs"]
#[allow(dead_code, reason = "the tests of the client libraries use the rest")]
mod events;
#[path = "../clients/http.rs"]
mod http;
mod nginx;
mod node;
mod node_red;
#[path = "../clients/process.rs"]
#[allow(dead_code, reason = "the tests of the client libraries use the rest")]
mod process;
mod programs;
#[path = "../clients/proxy.rs"]
#[allow(dead_code, reason = "the tests of the client libraries use the rest")]
mod proxy;
mod python;
mod reader;
#[path = "../clients/server.rs"]
#[allow(dead_code, reason = "the tests of the client libraries use the rest")]
mod server;
mod support;
mod wscat;

use std::time::Duration;

/// The time in which whatever is waited for has to happen.
const PATIENCE: Duration = Duration::from_mins(1);
