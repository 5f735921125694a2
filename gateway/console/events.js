// The table of events, and the details of the one that is chosen.
import { pretty, view } from "./event.js";
import { byId, cell } from "./page.js";

const ROWS = 200;
/** Longer JSON is shown as it came. */
const LONGEST_PRETTY = 1 << 20;
/** Of a longer text, a cell shows the beginning. */
const LONGEST_CELL = 500;

export class EventsTable {
  #chosen;
  #rows = ROWS;

  /** Shows what is kept; `changed` asks for a new drawing. */
  constructor(kept, changed) {
    Object.assign(this, { kept, changed, body: byId("events").tBodies[0] });
    this.body.onclick = ({ target }) => this.#choose(target.closest("tr"));
    this.body.onkeydown = (press) => this.#press(press);
    byId("close-details").onclick = () => this.close();
    byId("more").onclick = () => {
      this.#rows += ROWS;
      changed();
    };
  }

  draw() {
    const wanted = byId("filter").value.toLowerCase();
    const { entries } = this.kept.shown;
    const matching = entries.filter((entry) => matches(entry, wanted));
    const shown = matching.slice(-this.#rows).reverse();
    // Rows that stay are left in place: one that is replaced between pressing and releasing a button is not clicked.
    const staying = new Set(shown);
    for (const row of [...this.body.rows]) if (!staying.has(row.entry)) row.remove();
    shown.forEach((entry, index) => {
      const at = this.body.rows[index];
      const row = at?.entry === entry ? at : this.#newRow(index, entry);
      row.className = entry === this.#chosen ? "chosen" : "";
      row.tabIndex = -1;
    });
    // One stop for the Tab key; the arrow keys lead from there to the others.
    const stop = this.body.querySelector("tr.chosen") ?? this.body.rows[0];
    if (stop) stop.tabIndex = 0;
    byId("more").hidden = matching.length <= shown.length;
    byId("no-events").hidden = shown.length > 0;
    byId("no-events").textContent = entries.length > 0 ? `None of the last ${entries.length} events has this text.` : "Events appear here as they come.";
    byId("count").textContent = this.#count(shown.length, matching.length);
  }

  close() {
    byId("details").hidden = true;
    const row = this.body.querySelector("tr.chosen");
    this.#chosen = undefined;
    row?.focus();
    this.changed();
  }

  get open() {
    return !byId("details").hidden;
  }

  #count(shown, matching) {
    const { shown: queue, lost } = this.kept;
    const parts = [];
    if (shown < queue.entries.length) parts.push(`${shown} of ${matching === queue.entries.length ? "" : `${matching} of `}${queue.entries.length}`);
    if (lost > 0) parts.push(`${lost} that came during the pause were more than can be kept`);
    return parts.join("; ");
  }

  #newRow(index, entry) {
    const row = this.body.insertRow(index);
    row.entry = entry;
    entry.view ??= view(entry.json);
    const { happened, type, device, property, displayName, what, seq } = entry.view;
    const received = `received ${entry.at.toISOString()}`;
    const time = cell(row, "", "Time");
    time.append(...dateAndTime(happened ?? entry.at.toISOString()));
    time.title = happened ? `${happened}, ${received}` : `${received}; the event says no time`;
    cell(row, entry.stream.name ?? entry.stream.label, "Stream", "device");
    cell(row, type ?? "", "Type");
    cell(row, device ?? "", "Device", "device");
    cell(row, property ?? "", "Property").title = displayName ?? property ?? "";
    cell(row, what.slice(0, LONGEST_CELL), "Value");
    cell(row, seq ?? "", "Seq", "number seq");
    if (displayName && displayName !== property) {
      const name = document.createElement("small");
      name.textContent = displayName;
      row.cells[4].append(" ", name);
    }
    return row;
  }

  #press(press) {
    const row = press.target.closest("tr");
    const next = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling, Home: this.body.rows[0], End: this.body.lastElementChild };
    if (press.key === "Enter" || press.key === " ") this.#choose(row);
    else if (next[press.key]) next[press.key].focus();
    else return;
    press.preventDefault();
  }

  #choose(row) {
    if (!row?.entry) return;
    this.#chosen = row.entry;
    const { json } = row.entry;
    byId("details").hidden = false;
    // The text as it came, so that numbers are what the producer wrote.
    byId("details").querySelector("pre").textContent = json.length > LONGEST_PRETTY ? json : pretty(json);
    this.changed();
  }
}

/** A time in two parts: the date gives way where there is no room. */
function dateAndTime(text) {
  const [, date = "", time] = /^(\d{4}-\d\d-\d\d[T ])?(.*)$/s.exec(text);
  const part = document.createElement("span");
  Object.assign(part, { className: "date", textContent: date });
  return [part, time];
}

function matches(entry, wanted) {
  if (!wanted) return true;
  // Looked at once per text, however often it is drawn.
  if (entry.lookedFor !== wanted) Object.assign(entry, { lookedFor: wanted, found: entry.json.toLowerCase().includes(wanted) });
  return entry.found;
}
