// The page: opens streams, and shows them and their last events. Drawn at most once per frame, however fast events come.
import { summary } from "./frame.js";
import { Stream, streamUrl } from "./stream.js";

const KEEP = 200;
const byId = (id) => document.getElementById(id);
const streams = [];
let events = [];
let number = 0;
let chosen;
let paused = false;
let scheduled = false;

function changed() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(draw);
}

function open(target, start, end) {
  const stream = new Stream(streamUrl(target, start, end), received, changed);
  streams.push(stream);
  changed();
}

function received(stream, event, body) {
  if (paused) return;
  events.unshift({ id: ++number, at: new Date(), stream, event, body, row: summary(event) });
  if (events.length > KEEP * 2) events.length = KEEP;
}

function cell(row, text, className) {
  const td = row.insertCell();
  td.textContent = td.title = text;
  if (className) td.className = className;
  return td;
}

function button(parent, label, title, action) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: label, title, onclick: action });
  parent.append(made);
}

function draw() {
  scheduled = false;
  drawStreams();
  drawEvents();
}

function drawStreams() {
  const body = byId("streams").tBodies[0];
  while (body.rows.length > streams.length) body.deleteRow(-1);
  streams.forEach((stream, index) => {
    const row = body.rows[index] ?? newStreamRow(body);
    row.dataset.state = stream.state;
    const [label, state, count, heartbeats, seq] = row.cells;
    label.textContent = stream.label;
    label.title = stream.url.host;
    state.firstChild.className = `state ${stream.state}`;
    state.firstChild.textContent = stream.why ? `${stream.state}: ${stream.why}` : stream.state;
    count.textContent = stream.events;
    heartbeats.textContent = stream.heartbeats;
    seq.textContent = seq.title = stream.seq;
    row.querySelector("button").textContent = stream.socket ? "Close" : "Reopen";
  });
  byId("no-streams").hidden = streams.length > 0;
}

function newStreamRow(body) {
  const row = body.insertRow();
  const of = () => streams[row.sectionRowIndex];
  cell(row, "", "device");
  row.insertCell().append(document.createElement("span"));
  for (const name of ["number", "number", "number seq"]) cell(row, "", name);
  const actions = row.insertCell();
  button(actions, "Close", "Close or reopen this stream", () => (of().socket ? of().close() : of().open()));
  actions.append(" ");
  button(actions, "Remove", "Close this stream and take it off the list", () => {
    of().close();
    streams.splice(row.sectionRowIndex, 1);
    changed();
  });
  return row;
}

function drawEvents() {
  const wanted = byId("filter").value.toLowerCase();
  const shown = events.filter((e) => !wanted || e.body.toLowerCase().includes(wanted)).slice(0, KEEP);
  // Rows that stay are left in place: one that is replaced between pressing and releasing a button is not clicked.
  const body = byId("events").tBodies[0];
  const ids = new Set(shown.map((e) => e.id));
  for (const row of [...body.rows]) if (!ids.has(row.entry.id)) row.remove();
  shown.forEach((entry, index) => {
    const row = body.rows[index]?.entry === entry ? body.rows[index] : newEventRow(body, index, entry);
    row.className = entry.id === chosen ? "chosen" : "";
  });
  byId("no-events").hidden = shown.length > 0;
}

function newEventRow(body, index, entry) {
  const row = body.insertRow(index);
  Object.assign(row, { entry, tabIndex: 0, onclick: () => show(entry), onkeydown: ({ key }) => key === "Enter" && show(entry) });
  cell(row, entry.at.toISOString().slice(11, 23));
  cell(row, entry.stream.label, "device");
  cell(row, entry.row.type);
  cell(row, entry.row.device, "device");
  cell(row, entry.row.property);
  cell(row, entry.row.value);
  cell(row, entry.row.seq, "number seq");
  return row;
}

function show(entry) {
  chosen = entry.id;
  byId("details").hidden = false;
  // The text as it came, so that numbers are what the producer wrote.
  byId("details").querySelector("pre").textContent = pretty(entry.body);
  changed();
}

// Indents JSON text without reading its values: a number of 20 digits stays one.
function pretty(text) {
  let out = "";
  let depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    if (token === "}" || token === "]") {
      depth -= 1;
      out += /[{[]$/.test(out) ? token : line() + token;
    } else {
      if (/[{[]$/.test(out)) out += line();
      if (token === "{" || token === "[") depth += 1;
      out += token === "," ? "," + line() : token === ":" ? ": " : token;
    }
  }
  return out;
}

byId("open").onsubmit = (submit) => {
  submit.preventDefault();
  const { target, start, end } = Object.fromEntries(new FormData(submit.target));
  try {
    open(target.trim(), start.trim(), end.trim());
    submit.target.reset();
  } catch {
    byId("target").setCustomValidity("Neither a URL nor a key of 32 hexadecimal digits");
    byId("target").reportValidity();
  }
};
byId("target").oninput = () => byId("target").setCustomValidity("");
byId("filter").oninput = changed;
byId("clear").onclick = () => {
  events = [];
  changed();
};
byId("pause").onclick = ({ target }) => {
  paused = !paused;
  target.textContent = paused ? "Go on" : "Pause";
  target.setAttribute("aria-pressed", paused);
};
byId("close-details").onclick = () => {
  byId("details").hidden = true;
  chosen = undefined;
  changed();
};

// `#key=…&key=…` opens these streams at once. What is behind the # is not sent to any server.
for (const key of new URLSearchParams(location.hash.slice(1)).getAll("key")) open(key);
draw();
