import { type BackoffOptions, delayMs, judge } from "./backoff.js";
import { Channel, type Data, expectEvent, type JoinOptions } from "./channel.js";
import { Emitter, type Handler } from "./emitter.js";
import { WebRocketError } from "./errors.js";
import type { Member } from "./members.js";

/** Fetches a single access token: a new one each time, for it works once. */
export type TokenSource = string | (() => string | { token: string } | Promise<string | { token: string }>);

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
  connected: [told: { sid: string; restored: boolean }];
  /** The connection, or an attempt to connect, has ended with this close code. */
  disconnected: [told: { code: number; reason: string; willReconnect: boolean }];
  /** Another attempt follows after this delay; the first one is 1. */
  reconnecting: [told: { attempt: number; delayMs: number }];
  /** The broker has taken an access token. */
  authenticated: [];
  /** A channel is joined, for the first time or again. */
  joined: [channel: Channel];
  /** A channel was left, refused, or closed by the backend. */
  left: [channel: Channel];
  /** These channels are joined again; what was sent since they were lost has passed them by. */
  missed: [told: { channels: string[]; sinceMs: number }];
  /** This side reads too slowly: so many messages of its channels have passed it by. Members may be wrong until they are joined again. */
  dropped: [told: { count: number }];
  /** Something was refused. */
  error: [error: WebRocketError];
  /** No attempt follows any more. */
  closed: [told: { code: number; reason: string }];
}

/** A message that waits for its time. */
interface Waiting {
  message: Data;
  /** Until this is joined; otherwise until there is a connection. */
  channel: Channel | undefined;
  /** Until the broker knows who sends it. */
  isTrigger: boolean;
}

/** A request that the broker answers; it answers in their order, and errors name none. */
type Asked = { auth: true } | { join: Channel } | { leave: string };

const AUTH_URL = "/webrocket/auth.json";

/** A channel that was there before may come back with its backend: that often it is asked for. */
const REFUSALS_MAX = 8;

/** A connection to a vhost of a broker that comes back by itself. */
export class WebRocket {
  /** `reconnecting` also while it waits for the next attempt. */
  state: "idle" | "connecting" | "connected" | "reconnecting" | "closed" = "idle";
  /** This connection's session, once the broker has greeted. */
  sid: string | undefined;
  readonly #events = new Emitter<Events>();
  readonly #raw = new Emitter<Record<string, [payload: Data]>>();
  readonly #channels = new Map<string, Channel>();
  #socket: WebSocket | undefined;
  #waiting: Waiting[] = [];
  #asked: Asked[] = [];
  #auth: TokenSource | undefined;
  #isAuthenticated = false;
  /** Tells a fetched token that nobody waits for it any more. */
  #authRound = 0;
  #authAttempt = 0;
  #attempt = 0;
  #wasOpen = false;
  /** The next attempt, or the end of the one under way. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What is tried again on this connection. */
  readonly #retries = new Set<ReturnType<typeof setTimeout>>();
  /** Joined again, and not told yet. */
  #missed: Channel[] = [];

  constructor(
    /** As `ws://host:8080/vhost`. */
    readonly url: string,
    /** As they were given. */
    readonly options: Options = {},
  ) {
    this.#auth = options.auth;
    if (options.autoConnect ?? true) this.connect();
  }

  /** Connects, where it has not yet or was closed. Throws what `new WebSocket(url)` throws. */
  connect(): void {
    if (this.state !== "idle" && this.state !== "closed") return;
    this.#attempt = 0;
    this.#wasOpen = false;
    this.#open();
    this.state = "connecting";
    globalThis.addEventListener?.("online", this.#hurry);
  }

  /** Says goodbye and stays closed. Channels are forgotten with what waits for them. */
  close(): void {
    const socket = this.#socket;
    this.#forget(1000, "");
    socket?.close(1000);
  }

  /** Calls `handler` with each `event`; gives a function that ends that. */
  on<K extends keyof Events>(event: K, handler: Handler<Events[K]>): () => void {
    return this.#events.on(event, handler);
  }

  /** Ends what {@link on} began; without a handler, for all of the event. */
  off<K extends keyof Events>(event: K, handler?: Handler<Events[K]>): void {
    this.#events.off(event, handler);
  }

  /**
   * Calls `handler` with the payload of each message of this name, as it comes:
   * `:connected`, `:error`, `:subscribed` and the like, and every custom event.
   */
  bind(event: string, handler: Handler<[payload: Data]>): () => void {
    return this.#raw.on(event, handler);
  }

  /** Subscribes a channel; the same object for the same name. */
  join(name: string, options: JoinOptions = {}): Channel {
    if (!name) throw new TypeError("no channel has an empty name");
    const known = this.#channels.get(name);
    if (known) return known;
    const channel = new Channel(name, options, {
      send: (message, channel, isTrigger) => this.#send(message, channel, isTrigger),
      leave: (channel, data) => this.#leave(channel, data),
    });
    this.#channels.set(name, channel);
    if (this.#isReady(channel)) this.#subscribe(channel);
    return channel;
  }

  /** As {@link join}. */
  subscribe(name: string, options?: JoinOptions): Channel {
    return this.join(name, options);
  }

  /** Leaves a channel; other members of it see `data` with that. */
  leave(name: string, data?: Data): void {
    this.#channels.get(name)?.leave(data);
  }

  /** As {@link leave}. */
  unsubscribe(name: string, data?: Data): void {
    this.leave(name, data);
  }

  /** The channel of this name, where it was joined. */
  channel(name: string): Channel | undefined {
    return this.#channels.get(name);
  }

  /** Sends an event to all subscribers of a channel that was joined: see {@link Channel.broadcast}. */
  broadcast(channel: string, event: string, data?: Data): boolean {
    return this.#channels.get(channel)?.broadcast(event, data) ?? false;
  }

  /**
   * Sends an event to a worker of the backend. Needs authentication, and waits for
   * it. False where there is none, or too much waits already: it is not sent then.
   */
  trigger(event: string, data: Data = {}): boolean {
    expectEvent(event);
    return this.#send({ trigger: { event, data } }, undefined, true);
  }

  /**
   * Authenticates this connection and every later one. The source is a URL that
   * answers `{"token": "..."}` (`/webrocket/auth.json` unless told), or a function.
   * Resolves when the broker has taken a token. Rejects when the first was not to be
   * had or not taken; attempts go on all the same, as slowly as those to connect.
   */
  authenticate(source: TokenSource = AUTH_URL): Promise<void> {
    this.#auth = source;
    this.#authAttempt = 0;
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        ended.forEach(end => end());
        act();
      };
      const ended = [
        this.on("authenticated", () => settle(resolve)),
        this.on("error", error => {
          if (error.code === 402 || error.code === 0) settle(() => reject(error));
        }),
        this.on("closed", ({ reason }) => settle(() => reject(new WebRocketError(0, reason || "Closed")))),
      ];
      if (this.state === "connected") this.#authenticate();
    });
  }

  /** A network that is back is worth an attempt. */
  readonly #hurry = (): void => {
    if (this.state === "reconnecting" && !this.#socket) this.#open();
  };

  #delayMs(attempt: number, floorMs = 0): number {
    const { backoff = {}, random = Math.random } = this.options;
    return delayMs(attempt, floorMs, backoff, random);
  }

  #open(): void {
    const Socket = this.options.WebSocket ?? globalThis.WebSocket;
    const socket = new Socket(this.url);
    clearTimeout(this.#timer);
    this.#socket = socket;
    this.#timer = setTimeout(() => {
      // Of no more interest, whatever becomes of it.
      this.#socket = undefined;
      socket.close();
      this.#end(1006, "no greeting in time");
    }, this.options.connectTimeoutMs ?? 20_000);
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#receive(String(data));
    };
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket) this.#end(code, reason);
    };
    // Of a failure the close event tells all; `ws` throws where nobody listens.
    socket.onerror = () => {};
  }

  #end(code: number, reason: string): void {
    const { isFinal, floorMs } = judge(code);
    this.#log("closed", code, reason);
    if (isFinal) return this.#forget(code, reason);
    clearTimeout(this.#timer);
    if (this.state === "connected") {
      this.#attempt = 0;
      for (const channel of this.#channels.values()) this.#lose(channel);
    }
    this.#reset();
    this.state = "reconnecting";
    const delay = this.#delayMs(this.#attempt++, floorMs);
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#events.emit("disconnected", { code, reason, willReconnect: true });
    // A handler may have closed it.
    if (this.state === "reconnecting") this.#events.emit("reconnecting", { attempt: this.#attempt, delayMs: delay });
  }

  /** Nothing of a connection is left. */
  #reset(): void {
    this.#socket = undefined;
    this.sid = undefined;
    this.#isAuthenticated = false;
    this.#authRound++;
    this.#authAttempt = 0;
    this.#asked = [];
    this.#missed = [];
    this.#retries.forEach(clearTimeout);
    this.#retries.clear();
  }

  /** The end of everything. */
  #forget(code: number, reason: string): void {
    if (this.state === "closed") return;
    clearTimeout(this.#timer);
    globalThis.removeEventListener?.("online", this.#hurry);
    this.#reset();
    this.state = "closed";
    this.#waiting = [];
    for (const channel of [...this.#channels.values()]) this.#drop(channel);
    this.#events.emit("disconnected", { code, reason, willReconnect: false });
    this.#events.emit("closed", { code, reason });
  }

  /** The broker knows nothing of the subscription any more. */
  #lose(channel: Channel): void {
    if (channel.state === "joined") channel.lostAt ??= Date.now();
    channel.state = "joining";
    channel.refusals = 0;
  }

  #drop(channel: Channel): void {
    this.#channels.delete(channel.name);
    this.#waiting = this.#waiting.filter(it => it.channel !== channel);
    channel.state = "left";
    channel.members.reset([], undefined);
    this.#events.emit("left", channel);
  }

  #receive(text: string): void {
    this.#log("<", text);
    let message: Record<string, Data> | null;
    try {
      message = JSON.parse(text) as Record<string, Data> | null;
    } catch {
      return this.#log("no JSON");
    }
    const [event, payload] = Object.entries(message ?? {})[0] ?? [];
    if (event === undefined || typeof payload !== "object" || !payload) return;
    this.#handle(event, payload);
    this.#raw.emit(event, payload);
  }

  #handle(event: string, payload: Data): void {
    const name = String(payload["channel"]);
    const channel = this.#channels.get(name);
    switch (event) {
      case ":connected":
        return this.#greet(String(payload["sid"]));
      case ":authenticated":
        this.#settle(it => "auth" in it);
        this.#isAuthenticated = true;
        this.#authAttempt = 0;
        this.#events.emit("authenticated");
        return this.#subscribeAll();
      case ":subscribed": {
        const asked = this.#settle(it => "join" in it && it.join.name === name);
        // Left since: the answer to that follows.
        if (asked && "join" in asked && asked.join === channel) this.#joined(channel, payload);
        return;
      }
      case ":unsubscribed":
        // The backend has closed the channel, unless this side has asked for it.
        if (!this.#settle(it => "leave" in it && it.leave === name) && channel) this.#drop(channel);
        return;
      case ":memberJoined":
        return channel?.members.join(payload as Member);
      case ":memberLeft":
        return channel?.members.leave(payload as Member);
      case ":dropped":
        return this.#events.emit("dropped", { count: Number(payload["count"]) });
      case ":error":
        return this.#refuse(Number(payload["code"]), String(payload["status"]));
      default:
        if (!event.startsWith(":") && channel?.state === "joined") channel.handle(event, payload);
    }
  }

  #greet(sid: string): void {
    clearTimeout(this.#timer);
    const restored = this.#wasOpen;
    this.#wasOpen = true;
    this.sid = sid;
    this.state = "connected";
    this.#events.emit("connected", { sid, restored });
    if (this.state !== "connected") return;
    if (this.#auth) this.#authenticate();
    this.#subscribeAll();
  }

  #authenticate(): void {
    const round = ++this.#authRound;
    void this.#token().then(
      token => {
        if (round !== this.#authRound) return;
        // A second token ends all subscriptions of the first.
        if (this.#isAuthenticated) for (const channel of this.#channels.values()) this.#lose(channel);
        this.#isAuthenticated = false;
        this.#ask({ auth: true }, { auth: { token } });
      },
      (cause: unknown) => {
        if (round === this.#authRound) this.#authenticateLater(new WebRocketError(0, "No access token", undefined, { cause }));
      },
    );
  }

  /** What needs no authentication goes on meanwhile. */
  #authenticateLater(error: WebRocketError): void {
    const round = this.#authRound;
    this.#later(this.#delayMs(this.#authAttempt++), () => {
      if (round === this.#authRound) this.#authenticate();
    });
    this.#events.emit("error", error);
    this.#subscribeAll();
  }

  async #token(): Promise<string> {
    const source = this.#auth ?? AUTH_URL;
    let answer: unknown;
    if (typeof source === "string") {
      const response = await fetch(source, { credentials: "same-origin", cache: "no-store" });
      if (!response.ok) throw new Error(`${source}: HTTP ${response.status}`);
      answer = await response.json();
    } else {
      answer = await source();
    }
    const token = typeof answer === "string" ? answer : (answer as { token?: unknown } | null)?.token;
    if (typeof token !== "string" || !token) throw new Error("the answer has no token");
    return token;
  }

  /** Whether this channel's subscription can be asked for: some wait for authentication. */
  #isReady(channel: Channel): boolean {
    if (this.state !== "connected") return false;
    if (this.#asked.some(it => "auth" in it)) return false;
    return this.#isAuthenticated || !this.#auth || !/^(private|presence)-/.test(channel.name);
  }

  #subscribeAll(): void {
    for (const channel of this.#channels.values()) {
      if (channel.state === "joining" && this.#isReady(channel)) this.#subscribe(channel);
    }
    this.#flush();
  }

  #subscribe(channel: Channel): void {
    if (this.#asked.some(it => "join" in it && it.join === channel)) return;
    const { data = {}, hidden = false } = channel.options;
    this.#ask({ join: channel }, { subscribe: { channel: channel.name, hidden, data } });
  }

  #joined(channel: Channel, payload: Data): void {
    channel.state = "joined";
    if (channel.lostAt !== undefined) this.#missed.push(channel);
    const list = payload["subscribers"];
    const uid = channel.options.hidden ? undefined : (payload["uid"] as string | undefined);
    channel.members.reset(Array.isArray(list) ? (list as Member[]) : [], uid);
    this.#events.emit("joined", channel);
    this.#flush();
    this.#tellMissed();
  }

  /** Once, when all that was asked for has its answer. */
  #tellMissed(): void {
    if (!this.#missed.length || this.#asked.some(it => "join" in it)) return;
    const lostAt = Math.min(...this.#missed.map(it => it.lostAt ?? Infinity));
    const channels = this.#missed.map(it => it.name);
    for (const channel of this.#missed) channel.lostAt = undefined;
    this.#missed = [];
    this.#events.emit("missed", { channels, sinceMs: Date.now() - lostAt });
  }

  #leave(channel: Channel, data: Data = {}): void {
    if (this.#channels.get(channel.name) !== channel) return;
    const isKnown = channel.state === "joined" || this.#asked.some(it => "join" in it && it.join === channel);
    this.#drop(channel);
    if (isKnown && this.state === "connected") {
      this.#ask({ leave: channel.name }, { unsubscribe: { channel: channel.name, data } });
    }
  }

  #ask(asked: Asked, message: Data): void {
    this.#asked.push(asked);
    this.#write(message);
  }

  /** Takes the oldest request that this may be the answer to. */
  #settle(isIt: (asked: Asked) => boolean): Asked | undefined {
    const at = this.#asked.findIndex(isIt);
    return at < 0 ? undefined : this.#asked.splice(at, 1)[0];
  }

  /**
   * A refusal names no request. Its code tells which kind it was, and of a kind the
   * oldest is meant. Broadcasts of channels just closed are refused too, with 453 and 454.
   */
  #refuse(code: number, status: string): void {
    if (code === 402) {
      this.#settle(it => "auth" in it);
      return this.#authenticateLater(new WebRocketError(code, status));
    }
    const asked = this.#settle(
      it => ("join" in it && (code === 403 || code === 454)) || ("leave" in it && (code === 453 || code === 454)),
    );
    const channel = asked && "join" in asked ? asked.join : undefined;
    if (channel && this.#channels.get(channel.name) === channel) {
      if (code === 454 && channel.lostAt !== undefined && channel.refusals < REFUSALS_MAX) this.#subscribeLater(channel);
      else this.#drop(channel);
    }
    this.#events.emit("error", new WebRocketError(code, status, channel?.name));
    this.#tellMissed();
  }

  /** Its backend may be about to open it again. */
  #subscribeLater(channel: Channel): void {
    this.#later(this.#delayMs(channel.refusals++), () => {
      if (channel.state === "joining" && this.#isReady(channel)) this.#subscribe(channel);
    });
  }

  #later(delayMs: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#retries.delete(timer);
      act();
    }, delayMs);
    this.#retries.add(timer);
  }

  /** Sends, or keeps for later; tells whether either was done. */
  #send(message: Data, channel: Channel | undefined, isTrigger: boolean): boolean {
    if (this.state === "closed" || channel?.state === "left") return false;
    if (isTrigger && !this.#auth) {
      this.#events.emit("error", new WebRocketError(403, undefined, channel?.name));
      return false;
    }
    const one = { message, channel, isTrigger };
    if (this.#mayPass(one)) {
      this.#write(message);
      return true;
    }
    if (this.#waiting.length >= (this.options.maxBuffered ?? 100)) return false;
    this.#waiting.push(one);
    return true;
  }

  #mayPass({ channel, isTrigger }: Waiting): boolean {
    if (this.state !== "connected" || (isTrigger && !this.#isAuthenticated)) return false;
    return !channel || channel.state === "joined";
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) {
      if (this.#mayPass(one)) this.#write(one.message);
      else this.#waiting.push(one);
    }
  }

  #write(message: Data): void {
    const text = JSON.stringify(message);
    this.#log(">", text);
    this.#socket?.send(text);
  }

  #log(...what: unknown[]): void {
    if (this.options.debug) console.debug("webrocket", ...what);
  }
}
