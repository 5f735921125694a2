//! Scenarios: what users do.

mod changes;
mod failures;
mod streams;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::harness::Harness;

/// One of them.
type Scenario = for<'a> fn(&'a mut Harness) -> BoxFuture<'a, anyhow::Result<()>>;

/// All of them, in order.
pub(crate) const ALL: [(&str, Scenario); 9] = [
    (
        "tenants_see_exactly_their_events_through_the_ingress",
        |w| streams::tenants(w).boxed(),
    ),
    (
        "helm_test_passes_and_the_notes_name_the_next_commands",
        |w| streams::helm_test(w).boxed(),
    ),
    ("gateways_scale_up_and_down_without_a_lost_event", |w| {
        changes::scale(w).boxed()
    }),
    ("a_rollout_of_a_new_image_under_load_loses_nothing", |w| {
        changes::rollout(w).boxed()
    }),
    ("streams_outlive_the_operator", |w| {
        failures::operator(w).boxed()
    }),
    ("a_killed_gateway_loses_nothing", |w| {
        failures::gateway(w).boxed()
    }),
    ("a_drained_node_gives_up_one_gateway_at_a_time", |w| {
        failures::drain(w).boxed()
    }),
    ("streams_outlive_the_api_server", |w| {
        failures::api_server(w).boxed()
    }),
    ("the_programs_ask_for_exactly_what_they_are_granted", |w| {
        streams::access(w).boxed()
    }),
];
