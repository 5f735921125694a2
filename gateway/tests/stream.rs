//! Tests of what a client gets: live events, replay, and no loss however slow it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_cmp
)]

mod common;

use common::topic::{Topic, event};
use common::{TestGateway, route, route_of};
use datastream_gateway::Settings;

#[tokio::test]
async fn a_stream_gets_its_own_events_in_order() {
    let gateway = TestGateway::start(
        Topic::new(1),
        vec![route_of("a", &["A*"]), route_of("b", &["B1"])],
    )
    .await;
    let (mut a, mut b) = (
        gateway.connect("a", "").await,
        gateway.connect("b", "").await,
    );
    gateway.metric_reaches("streams{state=\"live\"}", 2.0).await;
    gateway
        .topic
        .append_all(0, (0..90).map(|n| event(["A1", "B1", "C1"][n % 3], n)));
    assert_eq!(a.numbers(30).await, (0..90).step_by(3).collect::<Vec<_>>());
    assert_eq!(b.numbers(30).await, (1..90).step_by(3).collect::<Vec<_>>());
    gateway.topic.append(0, event("A2", 7));
    assert_eq!(a.event().await.unwrap()["seq"], "91");
    gateway.stop().await;
}

#[tokio::test]
async fn identical_subscriptions_are_both_served() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("one"), route("two")]).await;
    let (mut one, mut two) = (
        gateway.connect("one", "").await,
        gateway.connect("two", "").await,
    );
    gateway.metric_reaches("streams{state=\"live\"}", 2.0).await;
    gateway.topic.append_all(0, (0..100).map(|n| event("A", n)));
    assert_eq!(one.numbers(100).await, two.numbers(100).await);
    gateway.stop().await;
}

#[tokio::test]
async fn a_replay_becomes_live_without_a_gap() {
    for partitions in [1, 3] {
        let topic = Topic::new(partitions).cut_after(37);
        topic.append_all(0, (0..500).map(|n| event("A", n)));
        let gateway = TestGateway::start(topic, vec![route("a")]).await;
        let mut client = gateway.connect("a", "&seq_start=1").await;
        assert_eq!(client.numbers(200).await, (0..200).collect::<Vec<_>>());
        // While the replay is on its way, the topic grows.
        gateway
            .topic
            .append_all(0, (500..1500).map(|n| event("A", n)));
        assert_eq!(client.numbers(1300).await, (200..1500).collect::<Vec<_>>());
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_replay_stops_after_its_end() {
    let topic = Topic::of(50);
    let gateway = TestGateway::start(topic, vec![route("a")]).await;
    let mut client = gateway.connect("a", "&seq_start=11&seq_end=20").await;
    assert_eq!(client.numbers(10).await, (10..20).collect::<Vec<_>>());
    assert_eq!(client.closed().await, (1000, "seq_end reached".to_owned()));
    // An end that is still to come is waited for.
    let mut client = gateway.connect("a", "&seq_start=50&seq_end=52").await;
    assert_eq!(client.numbers(1).await, [49]);
    gateway.topic.append_all(0, (50..60).map(|n| event("A", n)));
    assert_eq!(client.numbers(2).await, [50, 51]);
    assert_eq!(client.closed().await.0, 1000);
    gateway.stop().await;
}

#[tokio::test]
async fn every_seq_resumes_exactly_after_it() {
    for partitions in [1, 4] {
        let topic = Topic::new(partitions);
        (0..60).for_each(|n| topic.append(n * 7 % partitions, event("A", n)));
        let gateway = TestGateway::start(topic, vec![route("a")]).await;
        let mut client = gateway.connect("a", "&seq_start=1").await;
        let mut history = vec![];
        for _ in 0..60 {
            let event = client.event().await.unwrap();
            history.push((
                event["seq"].as_str().unwrap().to_owned(),
                event["datapoint"]["value"].as_u64().unwrap(),
            ));
        }
        client.leave().await;
        for (index, (seq, _)) in history.iter().enumerate().step_by(11) {
            gateway
                .metric_reaches(
                    "streams_closed_total",
                    gateway.metric("streams_opened_total").await,
                )
                .await;
            let mut client = gateway.connect("a", &format!("&seq_start={seq}")).await;
            let mut rest = vec![];
            for _ in index..60 {
                rest.push(
                    client.event().await.unwrap()["datapoint"]["value"]
                        .as_u64()
                        .unwrap(),
                );
            }
            let mut expected: Vec<_> = history[index..].iter().map(|(_, n)| *n).collect();
            assert_eq!(rest[0], expected[0], "the event itself is the first");
            rest.sort_unstable();
            expected.sort_unstable();
            assert_eq!(rest, expected);
            client.leave().await;
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_slow_client_loses_nothing_and_slows_no_other_client() {
    const EVENTS: usize = 30_000;
    // A ring that is far too small, so that the slow one has to go back to the topic.
    let settings = Settings {
        ring_bytes: 200_000,
        ..Settings::default()
    };
    let gateway =
        TestGateway::start_with(Topic::new(1), vec![route("slow"), route("fast")], settings).await;
    let (mut slow, mut fast) = (
        gateway.connect("slow", "").await,
        gateway.connect("fast", "").await,
    );
    gateway.metric_reaches("streams{state=\"live\"}", 2.0).await;
    let topic = gateway.topic.clone();
    let padding = "x".repeat(400);
    let feed = tokio::spawn(async move {
        for start in (0..EVENTS).step_by(500) {
            topic.append_all(0, (start..start + 500).map(|n| event(&padding, n)));
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(fast.numbers(EVENTS).await, (0..EVENTS).collect::<Vec<_>>());
    feed.await.unwrap();
    assert!(gateway.metric("streams_fell_behind_total").await >= 1.0);
    assert_eq!(slow.numbers(EVENTS).await, (0..EVENTS).collect::<Vec<_>>());
    gateway.topic.append(0, event("A", EVENTS));
    assert_eq!(slow.numbers(1).await, [EVENTS]);
    gateway.stop().await;
}

#[tokio::test]
async fn events_keep_their_partition_order_and_seqs_increase() {
    let gateway = TestGateway::start(Topic::new(4).cut_after(23), vec![route("a")]).await;
    let mut client = gateway.connect("a", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    (0..2000).for_each(|n| gateway.topic.append(n % 4, event("A", n)));
    let mut last = [None; 4];
    let mut last_seq = String::new();
    for _ in 0..2000 {
        let event = client.event().await.unwrap();
        let number = event["datapoint"]["value"].as_u64().unwrap() as usize;
        assert!(
            last[number % 4]
                .replace(number)
                .is_none_or(|before| before + 4 == number)
        );
        let seq = event["seq"].as_str().unwrap().to_owned();
        assert!(
            (last_seq.len(), &last_seq) < (seq.len(), &seq),
            "{last_seq} then {seq}"
        );
        last_seq = seq;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_bounded_replay_loses_nothing_while_the_topic_grows() {
    const EVENTS: usize = 8000;
    let settings = Settings {
        ring_bytes: 20_000,
        ..Settings::default()
    };
    let gateway = TestGateway::start_with(Topic::new(1), vec![route("a")], settings).await;
    (0..EVENTS / 2).for_each(|n| gateway.topic.append(0, event("A", n)));
    gateway
        .metric_reaches("records_total", (EVENTS / 2) as f64)
        .await;
    let bounded = format!("&seq_start=1&seq_end={EVENTS}");
    let mut client = gateway.connect("a", &bounded).await;
    let topic = gateway.topic.clone();
    let feed = tokio::spawn(async move {
        for number in EVENTS / 2..2 * EVENTS {
            topic.append(0, event("A", number));
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(
        client.numbers(EVENTS).await,
        (0..EVENTS).collect::<Vec<_>>()
    );
    assert_eq!(client.closed().await, (1000, "seq_end reached".to_owned()));
    feed.await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_client_takes_as_it_comes_is_read_once() {
    let settings = Settings {
        ring_bytes: 20_000,
        ..Settings::default()
    };
    let topic = Topic::new(1);
    // Far more at a time than a queue takes.
    let padding = "x".repeat(8_000);
    let large = (0..2_000).map(|n| event("A", n).replace("\"n\"", &format!("\"n{padding}\"")));
    topic.append_all(0, large);
    let gateway = TestGateway::start_with(topic, vec![route("a")], settings).await;
    let mut a = gateway.connect("a", "&seq_start=1&seq_end=1800").await;
    assert_eq!(a.numbers(1_800).await, (0..1_800).collect::<Vec<_>>());
    // A turn that was over in between reads a piece again.
    let replayed = gateway.topic.replayed();
    assert!(replayed < 2_200, "{replayed} records were read");
    gateway.stop().await;
}

#[tokio::test]
async fn the_last_seq_of_a_bounded_replay_can_be_resumed_from() {
    let gateway = TestGateway::start(Topic::new(2), vec![route("a")]).await;
    gateway.topic.append_all(0, (0..3).map(|n| event("A", n)));
    gateway.topic.append_all(1, (10..13).map(|n| event("A", n)));
    gateway.metric_reaches("records_total", 6.0).await;
    // One event of partition 0, and all of partition 1.
    let end = format!("1{:015}{:015}002", 1, 3);
    let bounded = format!("&seq_start=0&seq_end={end}");
    let mut client = gateway.connect("a", &bounded).await;
    let (mut numbers, mut last) = (vec![], String::new());
    while let Ok(event) = client.event().await {
        numbers.push(event["datapoint"]["value"].as_u64().unwrap());
        last = event["seq"].as_str().unwrap().to_owned();
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 10, 11, 12]);
    client.leave().await;
    last.replace_range(
        last.len() - 1..,
        if last.ends_with('0') { "1" } else { "3" },
    );
    let mut client = gateway.connect("a", &format!("&seq_start={last}")).await;
    assert_eq!(client.numbers(2).await, [1, 2]);
    gateway.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_topic_loses_nothing_and_is_reported() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let mut client = gateway.connect("a", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    gateway.topic.append(0, event("A", 0));
    assert_eq!(client.numbers(1).await, [0]);
    gateway.topic.down.send_replace(true);
    gateway.topic.append_all(0, (1..100).map(|n| event("A", n)));
    let deadline = tokio::time::Instant::now() + common::PATIENCE;
    loop {
        let (status, body) = common::client::get(gateway.admin, "/readyz").await;
        assert_eq!(
            status, 200,
            "an outage of the topic does not make a gateway unready"
        );
        if body.contains("it is down") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{body}");
    }
    gateway.topic.down.send_replace(false);
    assert_eq!(client.numbers(99).await, (1..100).collect::<Vec<_>>());
    gateway.stop().await;
}

#[tokio::test]
async fn bad_records_are_skipped_and_counted() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let mut client = gateway.connect("a", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    let bad: [&[u8]; 5] = [
        b"",
        b"\xff\xfe",
        b"{\"a\":",
        b"{}",
        br#"{"metadata":{"event_type":"x"}}"#,
    ];
    for (number, bad) in bad.iter().enumerate() {
        gateway.topic.append(0, bad.to_vec());
        gateway.topic.append(0, event("A", number));
    }
    assert_eq!(client.numbers(5).await, [0, 1, 2, 3, 4]);
    assert_eq!(
        gateway
            .metric("records_skipped_total{reason=\"not_json\"}")
            .await,
        3.0
    );
    assert_eq!(
        gateway
            .metric("records_skipped_total{reason=\"no_metadata\"}")
            .await,
        1.0
    );
    assert_eq!(
        gateway
            .metric("records_skipped_total{reason=\"unknown_event_type\"}")
            .await,
        1.0
    );
    gateway.stop().await;
}
