// The last events, bounded in number and size. While they are held still, new ones wait beside them and are counted.

export class Kept {
  /** Keeps this many events, with this many characters of JSON. */
  constructor(most = 5000, characters = 32 << 20) {
    this.shown = new Queue(most, characters);
    this.waiting = new Queue(most, characters);
    this.paused = false;
    /** How many events of the last pause were more than can be kept. */
    this.lost = 0;
  }

  add(entry) {
    if (this.paused) this.waiting.push(entry);
    else this.shown.push(entry);
  }

  pause() {
    this.paused = true;
    this.lost = 0;
  }

  /** Shows what came during the pause. */
  goOn() {
    this.paused = false;
    this.lost = this.waiting.dropped;
    for (const entry of this.waiting.entries) this.shown.push(entry);
    this.waiting.clear();
  }

  /** How many came during the pause, those that could not be kept included. */
  get news() {
    return this.waiting.entries.length + this.waiting.dropped;
  }

  clear() {
    this.shown.clear();
    this.waiting.clear();
    this.lost = 0;
  }
}

class Queue {
  constructor(most, characters) {
    Object.assign(this, { most, characters });
    this.clear();
  }

  clear() {
    Object.assign(this, { entries: [], size: 0, dropped: 0 });
  }

  push(entry) {
    this.entries.push(entry);
    this.size += entry.json.length;
    while (this.entries.length > this.most || (this.size > this.characters && this.entries.length > 1)) {
      this.size -= this.entries.shift().json.length;
      this.dropped += 1;
    }
  }
}
