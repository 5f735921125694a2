//! A gateway is added: the one that has all streams sheds some, slowly, and they come back to the new one.

use serde_json::json;
use tokio::task::JoinSet;

use super::client::Client;
use super::stack::Stack;

const SUBSCRIPTIONS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_above_the_fair_share_are_closed_when_a_gateway_was_added() {
    let mut stack = Stack::start().await;
    let _operator = stack.operator("operator-0");
    let first = stack.gateway_with("gateway-0", &["--shed-per-second=5"]);
    stack.subscriptions(SUBSCRIPTIONS, &json!({"eventTypes": ["location"]}));
    let mut streams = JoinSet::new();
    for number in 0..SUBSCRIPTIONS {
        let key = stack.key(&format!("s{number}"));
        let stream = Client::connect(first.address("stream").unwrap(), &key).await;
        let stream = stream.unwrap_or_else(|status| panic!("refused with {status}"));
        streams.spawn(async move { (key, stream.answering().await) });
    }
    let second = stack.gateway("gateway-1");
    let address = second.address("stream").unwrap().to_owned();
    // Half of them, less what is tolerated, are closed to reconnect; here they reconnect to the new one.
    let mut moved = vec![];
    while moved.len() < SUBSCRIPTIONS / 2 - 10 {
        let (key, code) = streams.join_next().await.unwrap().unwrap();
        assert_eq!(code, 1012);
        moved.push(Client::connect_until(&address, &key, 101).await.unwrap());
    }
    let shed = first
        .metric(
            "admin",
            "datastream_gateway_streams_closed_total{cause=\"shed\"}",
        )
        .unwrap();
    assert!(
        shed >= moved.len() as f64 && shed <= (SUBSCRIPTIONS / 2) as f64 + 5.0,
        "{shed}"
    );
}
