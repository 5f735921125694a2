// The page: opens streams, and shows them and their last events. Drawn at most once per frame, however fast events come.
import { EventsTable } from "./events.js";
import { Kept } from "./kept.js";
import { byId } from "./page.js";
import { Stream } from "./stream.js";
import { StreamsTable } from "./streams.js";

/** Where the streams that were opened by hand are kept while this tab is reloaded. */
const STORED = "streams";

const streams = [];
const kept = new Kept();
const streamsTable = new StreamsTable(streams, remove);
const eventsTable = new EventsTable(kept, changed);
let scheduled = false;

function changed() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(draw);
}

function draw() {
  scheduled = false;
  streamsTable.draw();
  eventsTable.draw();
  byId("pause").textContent = kept.paused ? `Go on (${kept.news} new)` : "Pause";
}

function open(spec) {
  streams.push(new Stream(spec, received, changed));
  changed();
}

function remove(stream) {
  stream.close();
  streams.splice(streams.indexOf(stream), 1);
  store();
  changed();
}

function received(stream, json) {
  kept.add({ stream, json, at: new Date() });
}

// Storage may be switched off: then a reload forgets what was opened by hand.
function store() {
  const byHand = streams.map((stream) => stream.spec).filter((spec) => spec.byHand);
  try {
    sessionStorage.setItem(STORED, JSON.stringify(byHand));
  } catch {
    return;
  }
}

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED) ?? "[]");
  } catch {
    return [];
  }
}

byId("open").onsubmit = (submit) => {
  submit.preventDefault();
  const fields = Object.fromEntries(new FormData(submit.target));
  const spec = { target: fields.target.trim(), start: fields.start.trim(), end: fields.end.trim(), byHand: true };
  try {
    open(spec);
    submit.target.reset();
    store();
  } catch {
    byId("target").setCustomValidity("Neither a URL nor a key of 32 hexadecimal digits");
    byId("target").reportValidity();
  }
};
byId("target").oninput = () => byId("target").setCustomValidity("");
byId("filter").oninput = changed;
byId("clear").onclick = () => {
  kept.clear();
  changed();
};
byId("pause").onclick = ({ target }) => {
  if (kept.paused) kept.goOn();
  else kept.pause();
  target.setAttribute("aria-pressed", kept.paused);
  changed();
};
document.onkeydown = ({ key }) => {
  if (key === "Escape" && eventsTable.open) eventsTable.close();
};

for (const spec of stored()) open(spec);
draw();

// `#dev=PORT.CODE` is the link that `datastream dev` prints: for the code, its admin listener tells the keys of its streams. No key is
// ever part of an address, where it would be copied, bookmarked and remembered.
const [, port, code] = location.hash.match(/^#dev=(\d+)\.([0-9a-f]+)$/) ?? [];
history.replaceState(null, "", location.pathname);
if (code) openAll(`http://${location.hostname}:${port}/console/keys?code=${code}`);

async function openAll(url) {
  try {
    const answer = await fetch(url);
    const { keys, message } = await answer.json();
    if (!answer.ok) throw new Error(message);
    const opened = new Set(streams.map((stream) => stream.spec.target));
    for (const target of keys.filter((key) => !opened.has(key))) open({ target, byHand: true });
    store();
  } catch (error) {
    byId("target").setCustomValidity(`No streams of datastream dev: ${error.message}`);
    byId("target").reportValidity();
  }
}
