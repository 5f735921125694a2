// JSON is cut into the texts of its members here, not parsed into values: a double holds neither 12345678901234567890 nor
// 1e400, and JSON.parse keeps the last of several members with one name where the first one counts.

/** A value as `JSON.parse` returns it. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [name: string]: JsonValue };

/** An object with any members. */
type JsonObject = Record<string, JsonValue>;

/** Name of a documented member, or any other one. */
type NameOf<T> = (keyof T & string) | (string & {});

/**
 * Members of a JSON object as they stand in its text, which has to be valid JSON. Anything but an object has none. `T` says which
 * are documented.
 */
export class Members<T extends object = JsonObject> {
  readonly #found: readonly (readonly [name: string, raw: string])[];

  constructor(json: string | undefined) {
    this.#found = json === undefined ? [] : [...membersOf(json)];
  }

  /** Returns the JSON text of the first member with this name, `null` included. */
  raw(name: NameOf<T>): string | undefined {
    return this.#found.find(([key]) => key === name)?.[1];
  }

  /** Returns the JSON text of the first member with this name that is not `null`. */
  get(name: NameOf<T>): string | undefined {
    return this.#found.find(([key, raw]) => key === name && raw !== "null")?.[1];
  }

  /** Returns a member as text: a string without its quotes and escapes, anything else as it stands there. */
  text(name: NameOf<T>): string | undefined {
    const raw = this.get(name);
    return raw === undefined ? undefined : textOf(raw);
  }

  /** Returns the members as values, of several with one name the first that is not `null`. */
  toObject(): T {
    const values = new Map<string, JsonValue>();
    for (const [name, raw] of this.#found) {
      if (values.get(name) == null) values.set(name, JSON.parse(raw) as JsonValue);
    }
    return Object.fromEntries(values) as T;
  }
}

/** Returns the text of a JSON value: a string without its quotes and escapes, anything else as it stands there. */
export function textOf(raw: string): string {
  if (!raw.startsWith('"')) return raw;
  const text = JSON.parse(raw) as string;
  // Half of a surrogate pair is valid JSON, but no text.
  return /\p{Surrogate}/u.test(text) ? raw.slice(1, -1) : text;
}

function* membersOf(json: string): Generator<[name: string, raw: string]> {
  let at = skipSpace(json, 0);
  if (json[at] !== "{") return;
  at = skipSpace(json, at + 1);
  while (json[at] === '"') {
    const nameEnd = endOfString(json, at);
    const name = JSON.parse(json.slice(at, nameEnd)) as string;
    const colon = skipSpace(json, nameEnd);
    const start = skipSpace(json, colon + 1);
    const end = endOfValue(json, start);
    yield [name, json.slice(start, end)];
    at = skipSpace(json, end);
    if (json[at] === ",") at = skipSpace(json, at + 1);
  }
}

function skipSpace(json: string, from: number): number {
  let at = from;
  while (isSpace(json[at])) at += 1;
  return at;
}

function isSpace(char: string | undefined): boolean {
  return char === " " || char === "\n" || char === "\r" || char === "\t";
}

function endOfValue(json: string, from: number): number {
  let depth = 0;
  let at = from;
  while (at < json.length) {
    switch (json[at]) {
      case '"':
        at = endOfString(json, at);
        break;
      case "{":
      case "[":
        depth += 1;
        at += 1;
        break;
      case "}":
      case "]":
        depth -= 1;
        at += 1;
        break;
      default:
        at = depth === 0 ? endOfScalar(json, at) : at + 1;
    }
    if (depth === 0) return at;
  }
  return at;
}

function endOfScalar(json: string, from: number): number {
  let at = from;
  while (at < json.length && json[at] !== "," && json[at] !== "}" && json[at] !== "]" && !isSpace(json[at])) at += 1;
  return at;
}

function endOfString(json: string, from: number): number {
  let at = from + 1;
  while (at < json.length && json[at] !== '"') at += json[at] === "\\" ? 2 : 1;
  return at + 1;
}
