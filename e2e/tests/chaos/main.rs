//! Numbered traffic, clients that write down what they see, faults of every kind, and a checker of the delivery
//! contract. Every run has a seed that decides traffic, clients and faults; see `settings` for what can be set, and
//! `docs/reliability.md` for what was found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod api_proxy;
mod attack;
mod body;
mod broker;
mod certificates;
mod checker;
mod client;
mod client_profile;
mod clock;
mod collectors;
mod contention;
mod control_plane;
mod data_plane;
mod database;
mod dialect;
mod door;
mod endpoint;
mod file_system;
mod gateways;
mod nemesis;
mod network;
mod phase;
mod process;
mod recorder;
mod records;
mod report;
mod routes;
mod ruin;
mod settings;
mod stored_events;
mod subscriptions;
mod topic;
mod traffic;
mod verify;

use settings::Settings;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_keep_the_contract_whatever_happens_to_gateways_and_broker() {
    let name = "streams_keep_the_contract_whatever_happens_to_gateways_and_broker";
    if let Some(passed) = network::run_inside(name) {
        assert!(passed, "it failed in a network of its own: see above");
        return;
    }
    for round in Settings::from_env().rounds(name) {
        data_plane::run(round).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_follow_their_subscriptions_whatever_happens_to_the_control_plane() {
    let name = "streams_follow_their_subscriptions_whatever_happens_to_the_control_plane";
    if let Some(passed) = network::run_inside(name) {
        assert!(passed, "it failed in a network of its own: see above");
        return;
    }
    for round in Settings::from_env().rounds(name) {
        control_plane::run(round).await;
    }
}
