import { Emitter, type Handler } from "./emitter.js";
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

/** @internal What a channel needs of its connection. */
export interface Link {
  send(message: Data, channel: Channel, isTrigger: boolean): boolean;
  leave(channel: Channel, data?: Data): void;
}

/** @internal The broker would refuse it, and could not say which it was. */
export function expectEvent(name: string): void {
  if (!name || name.startsWith(":")) throw new TypeError(`no event can have the name ${JSON.stringify(name)}`);
}

/** A subscription. It outlives connections: after each the broker is asked anew. */
export class Channel {
  /** `joining` until the broker has confirmed, and while there is no connection. */
  state: "joining" | "joined" | "left" = "joining";
  /** Who is there; always empty but on presence channels. */
  readonly members = new Members();
  /** @internal When the subscription was lost with its connection, in Unix milliseconds. */
  lostAt: number | undefined;
  /** @internal How often restoring it was refused since. */
  refusals = 0;
  readonly #events = new Emitter<Record<string, [data: Data, meta: Meta]>>();

  /** @internal */
  constructor(
    /** Its name in the vhost. */
    readonly name: string,
    /** @internal */ readonly options: JoinOptions,
    private readonly link: Link,
  ) {}

  /** Calls `handler` with each event of this name; gives a function that ends that. */
  on(event: string, handler: Handler<[data: Data, meta: Meta]>): () => void {
    return this.#events.on(event, handler);
  }

  /** Ends what {@link on} began; without a handler, for all of the event. */
  off(event: string, handler?: Handler<[data: Data, meta: Meta]>): void {
    this.#events.off(event, handler);
  }

  /** The same three for one event: `chat.event("said").on(...)`. */
  event(name: string): ChannelEvent {
    return {
      on: handler => this.on(name, handler),
      off: handler => this.off(name, handler),
      broadcast: (data, options) => this.broadcast(name, data, options),
    };
  }

  /**
   * Sends an event to all subscribers, this one included. Before the channel is
   * joined it waits for that. False where too much waits already, or the channel
   * was left: it is not sent then.
   */
  broadcast(event: string, data: Data = {}, options: BroadcastOptions = {}): boolean {
    expectEvent(event);
    const { trigger } = options;
    const broadcast: Data = { channel: this.name, event, data };
    if (trigger) broadcast["trigger"] = trigger;
    return this.link.send({ broadcast }, this, trigger !== undefined && trigger !== "");
  }

  /** Ends the subscription; other members see `data` with it. */
  leave(data?: Data): void {
    this.link.leave(this, data);
  }

  /** @internal */
  handle(event: string, data: Data): void {
    const meta: Meta = { channel: this.name };
    if (typeof data["sid"] === "string") meta.sid = data["sid"];
    this.#events.emit(event, data, meta);
  }
}
