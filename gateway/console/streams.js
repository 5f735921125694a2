// The table of streams.
import { button, byId, cell } from "./page.js";

export class StreamsTable {
  /** Shows these streams; `remove` takes one off the list. */
  constructor(streams, remove) {
    Object.assign(this, { streams, remove, body: byId("streams").tBodies[0] });
  }

  draw() {
    const { body, streams } = this;
    while (body.rows.length > streams.length) body.deleteRow(-1);
    streams.forEach((stream, index) => this.#fill(body.rows[index] ?? this.#newRow(), stream));
    byId("no-streams").hidden = streams.length > 0;
  }

  #fill(row, stream) {
    row.dataset.state = stream.state;
    const [label, state, count, heartbeats, seq] = row.cells;
    label.textContent = stream.name ?? stream.label;
    label.title = stream.name ? `${stream.label} at ${stream.url.host}` : stream.url.host;
    state.firstChild.className = `state ${stream.state}`;
    state.firstChild.textContent = [stream.state, stream.why, stream.note].filter(Boolean).join(": ");
    count.textContent = stream.events;
    heartbeats.textContent = stream.heartbeats;
    seq.textContent = seq.title = stream.seq;
    row.querySelector("button").textContent = stream.active ? "Close" : "Reopen";
  }

  #newRow() {
    const row = this.body.insertRow();
    const of = () => this.streams[row.sectionRowIndex];
    cell(row, "", "Stream", "device");
    const state = cell(row, "", "State");
    state.append(document.createElement("span"));
    for (const label of ["Events", "Heartbeats", "Last seq"]) cell(row, "", label, "number");
    const actions = cell(row, "", "", "actions");
    button(actions, "Close", "Close this stream, or open it where it was", () => (of().active ? of().close() : of().open()));
    actions.append(" ");
    button(actions, "Remove", "Close this stream and take it off the list", () => this.remove(of()));
    return row;
  }
}
