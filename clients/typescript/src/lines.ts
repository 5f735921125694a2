import { ProtocolError } from "./errors.js";

/** A gateway sends no larger event, whatever its settings are. */
const LONGEST_LINE = 16 << 20;

/** Lines of a body that comes in chunks. A last line without its end is left out: the rest of it was lost. */
export class LineReader {
  readonly #read: () => Promise<ReadableStreamReadResult<Uint8Array>>;
  readonly #decoder = new TextDecoder();
  #lines: string[] = [];
  #next = 0;
  #parts: string[] = [];
  #partial = 0;

  constructor(read: () => Promise<ReadableStreamReadResult<Uint8Array>>) {
    this.#read = read;
  }

  /**
   * Returns the next line without its end, or `undefined` after the last one.
   *
   * @throws {ProtocolError} A line is longer than any event.
   */
  async next(): Promise<string | undefined> {
    while (this.#next === this.#lines.length) {
      const { done, value } = await this.#read();
      if (done) return undefined;
      this.#add(this.#decoder.decode(value, { stream: true }));
    }
    const line = this.#lines[this.#next];
    this.#next += 1;
    return line;
  }

  #add(text: string): void {
    const [first = "", ...others] = text.split("\n");
    this.#parts.push(first);
    this.#partial += first.length;
    if (this.#partial > LONGEST_LINE) throw new ProtocolError(`a line of more than ${LONGEST_LINE} characters`);
    const last = others.pop();
    if (last === undefined) return;
    this.#lines = [this.#parts.join(""), ...others];
    this.#next = 0;
    this.#parts = [last];
    this.#partial = last.length;
  }
}
