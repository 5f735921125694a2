// Sequence numbers are decimal digits, up to hundreds of them. With one partition, the number of an event is its offset plus
// one. With several, it is the digit 1, then 15 digits for each partition's next offset, then 3 digits: twice the number of the
// event's own partition, or one more for 'just after it'.

const OFFSET_DIGITS = 15;
const OWN_DIGITS = 3;

/** Identity of an event. One event may have different sequence numbers; all of them yield the same identity. */
export interface EventIdentity {
  /** The event's own partition. */
  readonly partition: number;
  /** Its offset there, at most 15 digits: a double holds it exactly. */
  readonly offset: number;
}

/**
 * Returns the decimal number after `seq`: the one to start with to get what follows the event with this number.
 *
 * @throws {RangeError} `seq` is no decimal number.
 */
export function after(seq: string): string {
  if (!isDecimal(seq)) throw new RangeError(`not a sequence number, which has the digits 0 to 9 only: ${JSON.stringify(seq)}`);
  return (BigInt(seq) + 1n).toString();
}

/** Returns whether the text is one or more of the digits 0 to 9. */
export function isDecimal(text: string): boolean {
  return /^[0-9]+$/.test(text);
}

/** Returns the identity of the event with this number; `undefined` for what is no number of an event. */
export function identityOf(seq: string): EventIdentity | undefined {
  if (!isDecimal(seq)) return undefined;
  const digits = seq.replace(/^0+/, "");
  if (digits.length <= OFFSET_DIGITS) return identity(0, Number(digits));
  const groups = digits.slice(1, -OWN_DIGITS);
  if (!digits.startsWith("1") || groups.length % OFFSET_DIGITS !== 0 || groups.length < 2 * OFFSET_DIGITS) return undefined;
  const own = Number(digits.slice(-OWN_DIGITS));
  const partition = own / 2;
  // An odd number is a place between events.
  if (own % 2 !== 0 || partition >= groups.length / OFFSET_DIGITS) return undefined;
  return identity(partition, Number(groups.slice(partition * OFFSET_DIGITS, (partition + 1) * OFFSET_DIGITS)));
}

function identity(partition: number, next: number): EventIdentity | undefined {
  return next === 0 ? undefined : { partition, offset: next - 1 };
}

/** The events that a stream has seen: of each partition, all up to the last one. */
export class SeenEvents {
  readonly #next = new Map<number, number>();

  /** Notes an event. Returns whether it is new. */
  add({ partition, offset }: EventIdentity): boolean {
    if (offset < (this.#next.get(partition) ?? 0)) return false;
    this.#next.set(partition, offset + 1);
    return true;
  }
}
