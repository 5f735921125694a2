// Prints the events of a stream: eventsource-client.mjs URL SEQ
import { createEventSource } from "eventsource-client";

const [url, start] = process.argv.slice(2);
const source = createEventSource({
  url: `${url}?seq_start=${start}`,
  headers: { authorization: `Bearer ${process.env.STREAM_KEY}` },
});
for await (const { event, data } of source) {
  if (event === "control") console.error(data);
  else console.log(data);
}
