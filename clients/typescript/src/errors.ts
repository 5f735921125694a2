/** Why there is no stream, or no more. */
export abstract class DatastreamError extends Error {
  /** It may pass by itself, so that the stream is tried again. */
  abstract readonly retryable: boolean;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Statuses that pass by themselves; beside them, those from 500 on. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 409, 425, 429]);

/** The server refused to open the stream. `message` is `STATUS ERROR: MESSAGE`. */
export class RefusedError extends DatastreamError {
  /** HTTP status. */
  readonly status: number;
  /** The server's name for it, such as `gone`; empty if it gave none. */
  readonly error: string;
  /** The server's explanation, a sentence. */
  readonly explanation: string;
  /** Milliseconds after which the server asks to be tried again (`Retry-After`). */
  readonly retryAfterMs: number;

  constructor(status: number, error: string, explanation: string, retryAfterMs = 0) {
    super(`${error === "" ? status : `${status} ${error}`}: ${explanation}`);
    this.status = status;
    this.error = error;
    this.explanation = explanation;
    this.retryAfterMs = retryAfterMs;
  }

  get retryable(): boolean {
    return this.status >= 500 || PASSING_STATUSES.has(this.status);
  }
}

/** The server ended the stream before the end that was asked for, and said why. */
export class ClosedError extends DatastreamError {
  // After 1008, the status of the next attempt tells whether the stream may be opened again.
  readonly retryable = true;

  constructor(
    /** Close code of the stream protocol, such as 1001. */
    readonly code: number,
    /** The server's reason. */
    readonly reason: string,
  ) {
    super(`closed by the server: ${code} ${reason}`);
  }
}

/** The connection could not be made, broke, or died. `cause` is the error below, if there is one. */
export class ConnectionLostError extends DatastreamError {
  readonly retryable = true;
}

/** The token or key could not be had: the callback failed, with `cause`. */
export class CredentialError extends DatastreamError {
  readonly retryable = true;
}

/** What came is not the protocol of datastream: most often, another server answers at this address. */
export class ProtocolError extends DatastreamError {
  readonly retryable = false;
}

/** Events have expired before they could be sent, and nobody asked to be told by `onMarker`. */
export class GapError extends DatastreamError {
  readonly retryable = false;

  constructor(
    /** The number to start with to get what is left. */
    readonly seqStart: string,
  ) {
    super(`events before ${seqStart} have expired: give onMarker to be told and to go on, or start with that number`);
  }
}
