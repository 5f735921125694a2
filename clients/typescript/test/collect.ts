import { connect, type DatastreamEvent, type EventStream, type Marker, type Reconnect, type StreamOptions } from "datastream-client";

/** Pauses that a test need not wait for. */
export const QUICK = { firstDelayMs: 2, longestDelayMs: 10 };

/** What a stream brought until its end. */
export interface Collected {
  readonly stream: EventStream;
  readonly seqs: string[];
  readonly markers: Marker[];
  readonly reconnects: Reconnect[];
  /** The failure that it ended with, if any. */
  readonly failure: unknown;
}

/** Reads a stream until its end. `handle` is what the user does with each event. */
export async function collect(
  url: string,
  options: StreamOptions = {},
  handle: (event: DatastreamEvent, stream: EventStream) => Promise<void> | void = () => undefined,
): Promise<Collected> {
  const [seqs, markers, reconnects]: [string[], Marker[], Reconnect[]] = [[], [], []];
  const stream = connect(url, {
    retry: QUICK,
    onMarker: (marker) => markers.push(marker),
    onReconnect: (reconnect) => reconnects.push(reconnect),
    ...options,
  });
  let failure: unknown;
  try {
    for await (const event of stream) {
      seqs.push(event.seq);
      await handle(event, stream);
    }
  } catch (error) {
    failure = error;
  }
  return { stream, seqs, markers, reconnects, failure };
}

/** The numbers from first to last, as text. */
export function numbers(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, i) => String(first + i));
}
