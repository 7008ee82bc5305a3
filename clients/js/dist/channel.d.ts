import { type Handler } from "./emitter.js";
import { Members } from "./members.js";
/** A JSON object. */
export type Data = Record<string, unknown>;
/** Who has sent an event, and where. */
export interface Meta {
    /** The sender's session; none for what a backend has sent. */
    sid?: string;
    /** The channel that it was sent on. */
    channel: string;
}
/** What to subscribe with. */
export interface JoinOptions {
    /** What other members of a presence channel see of this one. */
    data?: Data;
    /** Be no member: receive only who comes and goes. */
    hidden?: boolean;
}
/** What to broadcast with. */
export interface BroadcastOptions {
    /** A worker of the backend gets the event too, under this name. Needs authentication. */
    trigger?: string;
}
/** One event of a channel, by name. */
export interface ChannelEvent {
    /** As {@link Channel.on}. */
    on(handler: Handler<[data: Data, meta: Meta]>): () => void;
    /** As {@link Channel.off}. */
    off(handler?: Handler<[data: Data, meta: Meta]>): void;
    /** As {@link Channel.broadcast}. */
    broadcast(data?: Data, options?: BroadcastOptions): boolean;
}
/** A subscription. It outlives connections: after each the broker is asked anew. */
export declare class Channel {
    #private;
    /** Its name in the vhost. */
    readonly name: string;
    private readonly link;
    /** `joining` until the broker has confirmed, and while there is no connection. */
    state: "joining" | "joined" | "left";
    /** Who is there; always empty but on presence channels. */
    readonly members: Members;
    /** Calls `handler` with each event of this name; gives a function that ends that. */
    on(event: string, handler: Handler<[data: Data, meta: Meta]>): () => void;
    /** Ends what {@link on} began; without a handler, for all of the event. */
    off(event: string, handler?: Handler<[data: Data, meta: Meta]>): void;
    /** The same three for one event: `chat.event("said").on(...)`. */
    event(name: string): ChannelEvent;
    /**
     * Sends an event to all subscribers, this one included. Before the channel is
     * joined it waits for that. False where too much waits already, or the channel
     * was left: it is not sent then.
     */
    broadcast(event: string, data?: Data, options?: BroadcastOptions): boolean;
    /** Ends the subscription; other members see `data` with it. */
    leave(data?: Data): void;
}
