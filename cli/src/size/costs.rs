//! Costs that were measured, each with the place of its figure. CPU times are microseconds of a core of the machine of
//! docs/performance.md, for 450-byte events.
//!
//! Tables have rising first columns. Between their rows, values follow a straight line on logarithmic scales; outside of them, they are
//! as at the nearest end.

/// Value of a cost by something that it depends on.
pub(super) type Table = &'static [(f64, f64)];

/// Bytes of an event in all of these measurements.
pub(super) const EVENT_BYTES: f64 = 450.0;

/// Costs of a stream and of its deliveries.
pub(super) struct StreamCosts {
    /// Time of a delivery that is a write of its own, by streams of the gateway.
    pub(super) delivery: Table,
    /// Time of a delivery where writes have as many events as they take.
    pub(super) shared_delivery: f64,
    /// KiB of an idle stream, by streams of the gateway.
    pub(super) idle_kib: Table,
    /// Time of a handshake.
    pub(super) handshake: f64,
}

/// docs/performance.md, "Fan-out, beside peers" (gateway: 20,000/s; saturated, to all; handshake) and "Many streams"; a delivery is in
/// the middle of what both say.
pub(super) const PLAIN: StreamCosts = StreamCosts {
    delivery: &[(1_000.0, 7.25), (10_000.0, 8.9)],
    shared_delivery: 0.34,
    idle_kib: &[(1_000.0, 3.7), (10_000.0, 3.15)],
    handshake: 50.0,
};

/// The same with TLS.
pub(super) const TLS: StreamCosts = StreamCosts {
    delivery: &[(1_000.0, 9.2), (10_000.0, 10.3)],
    shared_delivery: 0.51,
    idle_kib: &[(1_000.0, 11.6), (10_000.0, 10.66)],
    handshake: 220.0,
};

/// Time of a record that is read and decoded, and that no stream wants, by records a second (docs/performance.md, "Reading"): the most
/// that it took with 1, 4 and 8 partitions. How large batches are is what decides, and that is the producers' affair.
pub(super) const READING: Table = &[(1_000.0, 57.45), (10_000.0, 25.58), (100_000.0, 2.27)];

/// Time of a record for each thread of the gateway but the first, by records a second: a seventh of what 8 threads take more than one
/// (docs/performance.md, "Reading").
pub(super) const THREAD: Table = &[(1_000.0, 5.33), (10_000.0, 2.14), (100_000.0, 0.13)];

/// Time in which a thread finds the streams that want an event, by its number of streams (docs/performance.md, "Routing": model and
/// property). What it takes with the fewest streams is part of [`READING`].
pub(super) const ROUTING: Table = &[(10_000.0, 0.110), (100_000.0, 0.154), (1_000_000.0, 0.233)];

/// Time in which an event is rendered, once for all streams that want it (docs/performance.md, "Instructions").
pub(super) const RENDERING: f64 = 0.6;
/// The same for each partition but the first, of which each makes its number longer: 9,165 instructions with 12, where 1 takes 7,305.
pub(super) const RENDERING_PARTITION: f64 = 0.014;

/// The most streams that one gateway was measured with (docs/performance.md, "Many streams").
pub(super) const MOST_STREAMS: u64 = 18_000;

/// KiB of a gateway for each subscription, whether it has a stream or not (docs/performance.md, "Reading").
pub(super) const SUBSCRIPTION_KIB: f64 = 1.41;
/// Subscriptions whose routes are within the 64 MiB that a gateway has for itself: it starts with 17 MiB, and routes may take half of the
/// rest.
pub(super) const ORDINARY_SUBSCRIPTIONS: u64 = 16_000;

/// MiB of an operator, and KiB for each subscription: 74.5 MiB with 10,000, 349 with 100,000 (docs/performance.md, "Control plane").
pub(super) const OPERATOR_MIB: f64 = 44.0;
pub(super) const OPERATOR_SUBSCRIPTION_KIB: f64 = 3.12;

/// Bytes of a route with one DSN in a routing object: 370 MiB for 1,000,000 (docs/performance.md, "Routing").
pub(super) const ROUTE_BYTES: u64 = 388;

/// Bytes beside event and number in a frame: length, and the headers of WebSocket, TLS, TCP and IP.
pub(super) const FRAME_BYTES: f64 = 140.0;
/// Bytes of the number of an event for each partition (docs/decisions/0002-sequence-numbers.md).
pub(super) const SEQ_BYTES: f64 = 15.0;
/// Bytes beside an event in a topic.
pub(super) const RECORD_BYTES: f64 = 40.0;
