//! CPU and memory of one gateway, from what was measured.

use datastream_gateway::{GATHERING, WRITE_BYTES};

use super::costs::{
    EVENT_BYTES, PLAIN, READING, RENDERING, RENDERING_PARTITION, ROUTING, StreamCosts, THREAD, TLS,
};
use super::load::Load;
use super::table::{time, value};

/// Microseconds in a second.
const MICROSECONDS: f64 = 1e6;

/// A gateway with its share of a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gateway {
    /// Streams that it has.
    pub(super) streams: f64,
    /// Deliveries a second that it makes.
    pub(super) deliveries: f64,
    /// Cores, of each of which it has a thread.
    pub(super) cores: f64,
    /// Partitions of its topic.
    pub(super) partitions: f64,
    /// Speed of its cores, in cores of the machine on which costs were measured.
    pub(super) core_speed: f64,
}

impl Load {
    fn costs(&self) -> &'static StreamCosts {
        if self.has_tls() { &TLS } else { &PLAIN }
    }

    /// The size of its events, in events of the measurements. Smaller ones save nothing worth counting.
    fn weight(&self) -> f64 {
        (self.event_bytes as f64 / EVENT_BYTES).max(1.0)
    }

    /// Events that one write takes at the most.
    fn fullest_write(&self) -> f64 {
        (WRITE_BYTES as f64 / self.event_bytes as f64).max(1.0)
    }

    /// Time of an event in a write, in microseconds: what it takes besides its part of the write.
    fn event_time(&self) -> f64 {
        let costs = self.costs();
        let full = WRITE_BYTES as f64 / EVENT_BYTES;
        let (alone, shared) = (value(costs.delivery, 0.0), costs.shared_delivery);
        (shared - alone / full) / (1.0 - 1.0 / full) * self.weight()
    }

    /// Time of a write, in microseconds.
    fn write_time(&self, streams: f64) -> f64 {
        let alone = value(self.costs().delivery, streams);
        alone - self.event_time() / self.weight()
    }

    /// Time of a delivery where a write has so many events, in microseconds.
    fn delivery_time(&self, streams: f64, events: f64) -> f64 {
        self.write_time(streams) / events + self.event_time()
    }

    /// Events of a stream that come within the time for which a gateway gathers them.
    pub(super) fn gathered(&self) -> f64 {
        (self.per_stream() * GATHERING.start().as_secs_f64()).clamp(1.0, self.fullest_write())
    }

    /// KiB of an idle stream of a gateway with so many.
    pub(super) fn idle_kib(&self, streams: f64) -> f64 {
        value(self.costs().idle_kib, streams)
    }

    /// Seconds of CPU of a handshake.
    pub(super) fn handshake_seconds(&self) -> f64 {
        self.costs().handshake / MICROSECONDS
    }
}

impl Gateway {
    /// Cores that reading, decoding and routing the whole topic take, whatever is wanted of it.
    pub(super) fn reading(&self, load: &Load) -> f64 {
        let rate = load.rate;
        let threads = self.cores - 1.0;
        let routing = value(ROUTING, self.streams / self.cores) - value(ROUTING, 0.0);
        // Of many events at once, nearly all is for their bytes.
        let larger = (load.weight() - 1.0) * value(READING, f64::MAX);
        let each =
            time(READING, rate) + larger + threads * time(THREAD, rate) + self.cores * routing;
        self.of_a_core(rate * each)
    }

    /// Cores that deliveries take where each write has the events that come within the time for which a gateway gathers them.
    pub(super) fn delivering(&self, load: &Load) -> f64 {
        let time = load.delivery_time(self.streams, load.gathered());
        self.rendering(load) + self.of_a_core(self.deliveries * time)
    }

    /// Cores that render the events which some stream of the gateway wants.
    fn rendering(&self, load: &Load) -> f64 {
        let events = self.deliveries.min(load.rate);
        let further = (self.partitions - 1.0) * RENDERING_PARTITION;
        self.of_a_core(events * (RENDERING * load.weight() + further))
    }

    /// Cores that the gateway is seen to use, for reading and deliveries. As long as it has time, each delivery is a write; when it has
    /// none, writes take as many events as lets it keep up.
    #[cfg(test)]
    pub(super) fn used(&self, load: &Load) -> f64 {
        let reading = self.reading(load) + self.rendering(load);
        let alone = self.of_a_core(self.deliveries * load.delivery_time(self.streams, 1.0));
        if reading + alone <= self.cores {
            return reading + alone;
        }
        let events = self.of_a_core(self.deliveries * load.event_time());
        let writes = self.of_a_core(self.deliveries * load.write_time(self.streams));
        let left = self.cores - reading - events;
        let full = load.fullest_write();
        let shared = if left > 0.0 { writes / left } else { full };
        reading + events + writes / shared.clamp(1.0, full)
    }

    /// Cores for so many microseconds in a second.
    fn of_a_core(&self, microseconds: f64) -> f64 {
        microseconds / MICROSECONDS / self.core_speed
    }
}
