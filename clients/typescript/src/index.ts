export type { ConnectivityBody, DatapointackBody, DatapointBody, LocationBody, Metadata, RegistrationBody } from "./bodies.js";
export {
  ClosedError,
  ConnectionLostError,
  CredentialError,
  DatastreamError,
  GapError,
  ProtocolError,
  RefusedError,
} from "./errors.js";
export {
  parseEvent,
  type Bodies,
  type ConnectivityEvent,
  type DatapointackEvent,
  type DatapointEvent,
  type DatastreamEvent,
  type EventType,
  type LocationEvent,
  type RegistrationEvent,
  type UntypedEvent,
} from "./event.js";
export type { JsonValue, Members } from "./json.js";
export type { Marker, Reconnect, Secret, StreamOptions } from "./options.js";
export type { RetryOptions } from "./reconnect.js";
export { after, identityOf, type EventIdentity } from "./seq.js";
export { connect, type EventStream } from "./stream.js";
export { summarize } from "./summary.js";
