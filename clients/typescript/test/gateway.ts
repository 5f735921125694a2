// A gateway on loopback that does what a test's script says, with each connection.

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What happens on a connection, of which `exchange.n` is the number, from 0 on. */
export type Script = (exchange: Exchange) => Promise<void> | void;

/** JSON of a datapoint. */
export function datapoint(seq: number | bigint | string, value = "1"): string {
  return `{"seq":"${seq}","metadata":{"event_type":"datapoint","dsn":"AC1","property_name":"p"},"datapoint":{"value":${value}}}`;
}

/** A request, and the answer to it. */
export class Exchange {
  readonly query: URLSearchParams;
  /** Resolves when the client has gone away. */
  readonly gone: Promise<unknown>;

  constructor(
    readonly n: number,
    readonly request: IncomingMessage,
    readonly response: ServerResponse,
  ) {
    this.query = new URL(request.url ?? "", "http://gateway").searchParams;
    this.gone = once(response, "close");
  }

  /** Opens the stream. */
  accept(): this {
    this.response.writeHead(200, { "Content-Type": "application/x-ndjson" }).flushHeaders();
    return this;
  }

  /** Sends a line. Resolves when there is room for more. */
  async line(text: string): Promise<void> {
    if (!this.response.write(`${text}\n`)) await Promise.race([once(this.response, "drain"), this.gone]);
  }

  async events(first: number, last: number): Promise<void> {
    for (let seq = first; seq <= last; seq += 1) await this.line(datapoint(seq));
  }

  heartbeat(): Promise<void> {
    return this.line("");
  }

  marker(control: "live" | "gap", seqStart: string): Promise<void> {
    return this.line(JSON.stringify({ control, seq_start: seqStart }));
  }

  /** Ends the stream with a close line. */
  close(code: number, reason: string, seqStart?: string): void {
    this.response.end(`${JSON.stringify({ control: "close", code, reason, seq_start: seqStart })}\n`);
  }

  /** Breaks the connection, once what was sent has gone out. */
  cut(afterText = ""): void {
    this.response.write(afterText, () => this.request.socket.destroy());
  }

  refuse(status: number, error: string, message: string, headers: Record<string, string> = {}): void {
    this.response.writeHead(status, { "Content-Type": "application/json", ...headers });
    this.response.end(JSON.stringify({ error, message }));
  }
}

export class Gateway implements AsyncDisposable {
  readonly exchanges: Exchange[] = [];
  /** Requests for anything but a stream. */
  pages: (request: IncomingMessage, response: ServerResponse) => void = (_, response) => response.writeHead(404).end();
  readonly #server: Server;

  private constructor(script: Script) {
    this.#server = createServer((request, response) => {
      if (request.url?.startsWith("/events") !== true) {
        this.pages(request, response);
        return;
      }
      const exchange = new Exchange(this.exchanges.length, request, response);
      this.exchanges.push(exchange);
      void script(exchange);
    });
  }

  static async start(script: Script): Promise<Gateway> {
    const gateway = new Gateway(script);
    gateway.#server.listen(0, "127.0.0.1");
    await once(gateway.#server, "listening");
    return gateway;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** URL of a stream, as programs print it. */
  get url(): string {
    return `ws://${this.host}/stream?stream_key=0123`;
  }

  /** Values that a parameter had, one for each connection. */
  asked(parameter: string): (string | null)[] {
    return this.exchanges.map(({ query }) => query.get(parameter));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
