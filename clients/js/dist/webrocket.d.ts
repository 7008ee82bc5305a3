import { type BackoffOptions } from "./backoff.js";
import { Channel, type Data, type JoinOptions } from "./channel.js";
import { type Handler } from "./emitter.js";
import { WebRocketError } from "./errors.js";
/** Fetches a single access token: a new one each time, for it works once. */
export type TokenSource = string | (() => string | {
    token: string;
} | Promise<string | {
    token: string;
}>);
/** How to connect. */
export interface Options {
    /** Connect at once; true unless told. */
    autoConnect?: boolean;
    /** The class to connect with, where there is no global WebSocket: Node before 22. */
    WebSocket?: typeof globalThis.WebSocket;
    /** Where access tokens come from; then every connection authenticates. */
    auth?: TokenSource;
    /** Messages kept while there is no connection; 100 unless told. The next one is refused. */
    maxBuffered?: number;
    /** How fast to come back. */
    backoff?: BackoffOptions;
    /** Milliseconds from an attempt to the broker's greeting; 20,000 unless told. Past it another follows. */
    connectTimeoutMs?: number;
    /** Tell everything to the console. */
    debug?: boolean;
    /** A number from 0 to 1, for the jitter. */
    random?: () => number;
}
/** What {@link WebRocket.on} tells. */
export interface Events {
    /** The broker has greeted this session; `restored` after a connection that was lost. */
    connected: [told: {
        sid: string;
        restored: boolean;
    }];
    /** The connection, or an attempt to connect, has ended with this close code. */
    disconnected: [told: {
        code: number;
        reason: string;
        willReconnect: boolean;
    }];
    /** Another attempt follows after this delay; the first one is 1. */
    reconnecting: [told: {
        attempt: number;
        delayMs: number;
    }];
    /** The broker has taken an access token. */
    authenticated: [];
    /** A channel is joined, for the first time or again. */
    joined: [channel: Channel];
    /** A channel was left, refused, or closed by the backend. */
    left: [channel: Channel];
    /** These channels are joined again; what was sent since they were lost has passed them by. */
    missed: [told: {
        channels: string[];
        sinceMs: number;
    }];
    /** This side reads too slowly: so many messages of its channels have passed it by. Members may be wrong until they are joined again. */
    dropped: [told: {
        count: number;
    }];
    /** Something was refused. */
    error: [error: WebRocketError];
    /** No attempt follows any more. */
    closed: [told: {
        code: number;
        reason: string;
    }];
}
/** A connection to a vhost of a broker that comes back by itself. */
export declare class WebRocket {
    #private;
    /** As `ws://host:8080/vhost`. */
    readonly url: string;
    /** As they were given. */
    readonly options: Options;
    /** `reconnecting` also while it waits for the next attempt. */
    state: "idle" | "connecting" | "connected" | "reconnecting" | "closed";
    /** This connection's session, once the broker has greeted. */
    sid: string | undefined;
    constructor(
    /** As `ws://host:8080/vhost`. */
    url: string, 
    /** As they were given. */
    options?: Options);
    /** Connects, where it has not yet or was closed. Throws what `new WebSocket(url)` throws. */
    connect(): void;
    /** Says goodbye and stays closed. Channels are forgotten with what waits for them. */
    close(): void;
    /** Calls `handler` with each `event`; gives a function that ends that. */
    on<K extends keyof Events>(event: K, handler: Handler<Events[K]>): () => void;
    /** Ends what {@link on} began; without a handler, for all of the event. */
    off<K extends keyof Events>(event: K, handler?: Handler<Events[K]>): void;
    /**
     * Calls `handler` with the payload of each message of this name, as it comes:
     * `:connected`, `:error`, `:subscribed` and the like, and every custom event.
     */
    bind(event: string, handler: Handler<[payload: Data]>): () => void;
    /** Subscribes a channel; the same object for the same name. */
    join(name: string, options?: JoinOptions): Channel;
    /** As {@link join}. */
    subscribe(name: string, options?: JoinOptions): Channel;
    /** Leaves a channel; other members of it see `data` with that. */
    leave(name: string, data?: Data): void;
    /** As {@link leave}. */
    unsubscribe(name: string, data?: Data): void;
    /** The channel of this name, where it was joined. */
    channel(name: string): Channel | undefined;
    /** Sends an event to all subscribers of a channel that was joined: see {@link Channel.broadcast}. */
    broadcast(channel: string, event: string, data?: Data): boolean;
    /**
     * Sends an event to a worker of the backend. Needs authentication, and waits for
     * it. False where there is none, or too much waits already: it is not sent then.
     */
    trigger(event: string, data?: Data): boolean;
    /**
     * Authenticates this connection and every later one. The source is a URL that
     * answers `{"token": "..."}` (`/webrocket/auth.json` unless told), or a function.
     * Resolves when the broker has taken a token. Rejects when the first was not to be
     * had or not taken; attempts go on all the same, as slowly as those to connect.
     */
    authenticate(source?: TokenSource): Promise<void>;
}
