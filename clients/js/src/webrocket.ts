import { type BackoffOptions, delayMs, judge } from "./backoff.js";
import { Channel, type Data, type JoinOptions } from "./channel.js";
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
  /** Tell everything to the console. */
  debug?: boolean;
  /** A number from 0 to 1, for the jitter. */
  random?: () => number;
}

/** What {@link WebRocket.on} tells. */
export interface Events {
  /** The broker has greeted; `restored` after a connection that was lost. */
  connected: [told: { sid: string; restored: boolean }];
  /** The connection has ended. */
  disconnected: [told: { code: number; reason: string; willReconnect: boolean }];
  /** Another attempt follows. */
  reconnecting: [told: { attempt: number; delayMs: number }];
  /** The broker has taken an access token. */
  authenticated: [];
  /** A channel is joined, for the first time or again. */
  joined: [channel: Channel];
  /** A channel was left, or the broker has closed it. */
  left: [channel: Channel];
  /** All channels are joined again; what was sent meanwhile has passed them by. */
  missed: [told: { channels: string[]; sinceMs: number }];
  /** Something was refused. */
  error: [error: WebRocketError];
  /** No attempt follows any more. */
  closed: [told: { code: number; reason: string }];
}

/** A message that waits for its time. */
interface Waiting {
  message: Data;
  /** Until this is joined; otherwise until there is a connection. */
  channel?: Channel;
}

/** What the broker will answer, in the order of the requests. */
type Asked = { auth: true } | { channel: Channel };

const AUTH_URL = "/webrocket/auth.json";

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
  #attempt = 0;
  #floorMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the last connection was lost that had been one. */
  #lostAt: number | undefined;

  constructor(
    /** As `ws://host:8080/vhost`. */
    readonly url: string,
    readonly options: Options = {},
  ) {
    this.#auth = options.auth;
    // A network that is back is worth an attempt.
    globalThis.addEventListener?.("online", () => {
      if (this.#timer) this.#open();
    });
    if (options.autoConnect ?? true) this.connect();
  }

  /** Connects, where it has not yet or was closed. */
  connect(): void {
    if (this.state === "idle" || this.state === "closed") {
      this.state = "connecting";
      this.#open();
    }
  }

  /** Says goodbye and stays closed. Channels are forgotten with what waits for them. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#forget(1000, "");
    const socket = this.#socket;
    this.#socket = undefined;
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
    const known = this.#channels.get(name);
    if (known) return known;
    const channel = new Channel(name, options, {
      send: (message, channel) => this.#send(message, channel),
      leave: (channel, data) => this.#leave(channel, data),
    });
    this.#channels.set(name, channel);
    if (this.#isOpen()) this.#subscribe(channel);
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
   * it. False where too much waits already: it is not sent then.
   */
  trigger(event: string, data: Data = {}): boolean {
    return this.#send({ trigger: { event, data } });
  }

  /**
   * Authenticates this connection and every later one. The source is a URL that
   * answers `{"token": "..."}` (`/webrocket/auth.json` unless told), or a function.
   * Resolves when the broker has taken a token, rejects when one was refused.
   */
  authenticate(source: TokenSource = AUTH_URL): Promise<void> {
    this.#auth = source;
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
      if (this.#isOpen()) this.#authenticate();
    });
  }

  #isOpen(): boolean {
    return this.state === "connected";
  }

  #open(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const Socket = this.options.WebSocket ?? globalThis.WebSocket;
    const socket = new Socket(this.url);
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#receive(String(data));
    };
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket) this.#end(code, reason);
    };
  }

  #end(code: number, reason: string): void {
    const wasOpen = this.#isOpen();
    const { isFinal, floorMs } = judge(code);
    this.#socket = undefined;
    this.sid = undefined;
    this.#isAuthenticated = false;
    this.#asked = [];
    this.#log("closed", code, reason);
    if (isFinal) return this.#forget(code, reason);
    if (wasOpen) {
      this.#attempt = 0;
      this.#lostAt ??= Date.now();
      for (const channel of this.#channels.values()) channel.state = "joining";
    }
    this.#floorMs = floorMs;
    this.state = "reconnecting";
    this.#events.emit("disconnected", { code, reason, willReconnect: true });
    const { backoff = {}, random = Math.random } = this.options;
    const delay = delayMs(this.#attempt++, this.#floorMs, backoff, random);
    // A handler may have closed it.
    if (this.state !== "reconnecting") return;
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#events.emit("reconnecting", { attempt: this.#attempt, delayMs: delay });
  }

  /** The end of everything. */
  #forget(code: number, reason: string): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.sid = undefined;
    this.#waiting = [];
    const channels = [...this.#channels.values()];
    this.#channels.clear();
    for (const channel of channels) this.#drop(channel);
    this.#events.emit("disconnected", { code, reason, willReconnect: false });
    this.#events.emit("closed", { code, reason });
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
    const [event, payload] = Object.entries(JSON.parse(text) as Record<string, Data>)[0] ?? [];
    if (event === undefined || payload === undefined) return;
    const name = String(payload["channel"] ?? "");
    const channel = this.#channels.get(name);
    switch (event) {
      case ":connected":
        this.#greet(String(payload["sid"]));
        break;
      case ":authenticated":
        this.#settle();
        this.#isAuthenticated = true;
        this.#events.emit("authenticated");
        this.#subscribeAll();
        break;
      case ":subscribed":
        this.#settle();
        if (channel) this.#joined(channel, payload);
        break;
      case ":unsubscribed":
        if (channel) this.#drop(channel);
        break;
      case ":memberJoined":
        channel?.members.join(payload as Member);
        break;
      case ":memberLeft":
        channel?.members.leave(payload as Member);
        break;
      case ":error":
        this.#refuse(Number(payload["code"]), String(payload["status"]));
        break;
      default:
        if (!event.startsWith(":")) channel?.handle(event, payload);
    }
    this.#raw.emit(event, payload);
  }

  #greet(sid: string): void {
    this.sid = sid;
    this.state = "connected";
    this.#events.emit("connected", { sid, restored: this.#lostAt !== undefined });
    if (this.#auth) this.#authenticate();
    else this.#subscribeAll();
  }

  #authenticate(): void {
    const socket = this.#socket;
    void this.#token().then(
      token => {
        if (socket !== this.#socket) return;
        // A second token ends all subscriptions of the first.
        if (this.#isAuthenticated) for (const channel of this.#channels.values()) channel.state = "joining";
        this.#isAuthenticated = false;
        this.#asked.push({ auth: true });
        this.#write({ auth: { token } });
      },
      (cause: unknown) => {
        if (socket !== this.#socket) return;
        this.#events.emit("error", new WebRocketError(0, "No access token", undefined, { cause }));
        // What needs none goes on.
        this.#subscribeAll();
      },
    );
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
    if (typeof token !== "string") throw new Error("the answer has no token");
    return token;
  }

  #subscribeAll(): void {
    for (const channel of this.#channels.values()) {
      if (channel.state === "joining") this.#subscribe(channel);
    }
    this.#flush();
    this.#restored();
  }

  #subscribe(channel: Channel): void {
    if (this.#asked.some(it => "channel" in it && it.channel === channel)) return;
    const { data = {}, hidden = false } = channel.options;
    this.#asked.push({ channel });
    this.#write({ subscribe: { channel: channel.name, hidden, data } });
  }

  #joined(channel: Channel, payload: Data): void {
    channel.state = "joined";
    const list = payload["subscribers"];
    const uid = channel.options.hidden ? undefined : (payload["uid"] as string | undefined);
    channel.members.reset(Array.isArray(list) ? (list as Member[]) : [], uid);
    this.#events.emit("joined", channel);
    this.#flush();
    this.#restored();
  }

  /** Tells once, when the last channel is joined again. */
  #restored(): void {
    if (this.#lostAt === undefined) return;
    const channels = [...this.#channels.values()];
    if (channels.some(channel => channel.state === "joining")) return;
    const sinceMs = Date.now() - this.#lostAt;
    this.#lostAt = undefined;
    if (channels.length) this.#events.emit("missed", { channels: channels.map(it => it.name), sinceMs });
  }

  #leave(channel: Channel, data: Data = {}): void {
    if (this.#channels.get(channel.name) !== channel) return;
    const wasAsked = this.#isOpen() && channel.state !== "left";
    this.#drop(channel);
    if (wasAsked) this.#write({ unsubscribe: { channel: channel.name, data } });
  }

  /** The answer to what was asked first. */
  #settle(): Asked | undefined {
    return this.#asked.shift();
  }

  /** A refusal has no name on it: answers come in the order of the requests. */
  #refuse(code: number, status: string): void {
    const isOfRequest = code === 402 || code === 403 || code === 454 || code === 400;
    const asked = isOfRequest ? this.#settle() : undefined;
    if (asked && "channel" in asked) {
      const { channel } = asked;
      if (this.#channels.get(channel.name) === channel) this.#drop(channel);
      this.#events.emit("error", new WebRocketError(code, status, channel.name));
      return this.#restored();
    }
    this.#events.emit("error", new WebRocketError(code, status));
    // Public channels need no authentication.
    if (asked) this.#subscribeAll();
  }

  /** Sends, or keeps for later; tells whether either was done. */
  #send(message: Data, channel?: Channel): boolean {
    if (this.state === "closed" || channel?.state === "left") return false;
    if (this.#mayPass(channel)) {
      this.#write(message);
      return true;
    }
    if (this.#waiting.length >= (this.options.maxBuffered ?? 100)) return false;
    this.#waiting.push(channel ? { message, channel } : { message });
    return true;
  }

  #mayPass(channel?: Channel): boolean {
    if (channel) return channel.state === "joined";
    return this.#isOpen() && (this.#isAuthenticated || !this.#auth);
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) {
      if (this.#mayPass(one.channel)) this.#write(one.message);
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
