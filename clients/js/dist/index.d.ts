/**
 * Client of a WebRocket broker.
 *
 * @packageDocumentation
 */
export { WebRocket, type Events, type Options, type TokenSource } from "./webrocket.js";
export { Channel, type BroadcastOptions, type ChannelEvent, type Data, type JoinOptions, type Meta } from "./channel.js";
export { Members, type Member, type MemberEvents } from "./members.js";
export { WebRocketError } from "./errors.js";
export type { BackoffOptions } from "./backoff.js";
export type { Handler } from "./emitter.js";
