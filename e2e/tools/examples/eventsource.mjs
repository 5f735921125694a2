// Prints the events of a stream: eventsource.mjs URL SEQ
import { EventSource } from "eventsource";

const [url, start] = process.argv.slice(2);
const authorization = `Bearer ${process.env.STREAM_KEY}`;
const source = new EventSource(`${url}?seq_start=${start}`, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, authorization } }),
});
for (const type of ["connectivity", "datapoint", "datapointack", "location", "registration"]) {
  source.addEventListener(type, ({ data }) => console.log(data));
}
source.addEventListener("control", ({ data }) => console.error(data));
source.addEventListener("error", ({ code, message }) => console.error("error", code, message));
