import { Emitter, type Handler } from "./emitter.js";

/** A member of a presence channel: what it said when it joined, with its `uid`. */
export interface Member {
  /** The user. */
  uid: string;
  /** Where it is a member. */
  channel: string;
  [field: string]: unknown;
}

/** What {@link Members} tells. */
export interface MemberEvents {
  /** A user is there who was not. */
  online: [member: Member];
  /** A user is there no more, on any of its connections. */
  offline: [member: Member];
}

/**
 * Who is on a presence channel, by uid. Follows the broker: read it at any time,
 * or be told by `on("online")` and `on("offline")`. A user with several
 * connections is one entry, with the data of the latest.
 */
export class Members extends Map<string, Member> {
  readonly #events = new Emitter<MemberEvents>();
  readonly #connections = new Map<string, number>();

  /** Calls `handler` with each `event`; gives a function that ends that. */
  on<K extends keyof MemberEvents>(event: K, handler: Handler<MemberEvents[K]>): () => void {
    return this.#events.on(event, handler);
  }

  /** Ends what {@link on} began; without a handler, for all of the event. */
  off<K extends keyof MemberEvents>(event: K, handler?: Handler<MemberEvents[K]>): void {
    this.#events.off(event, handler);
  }

  /** @internal A list that replaces what was known; `self` follows on its own. */
  reset(list: Member[], self: string | undefined): void {
    const before = new Map(this);
    this.#connections.clear();
    for (const member of list) this.#count(member.uid, 1);
    for (const member of list) this.set(member.uid, member);
    for (const [uid, member] of before) {
      if (this.#connections.has(uid) || uid === self) continue;
      this.delete(uid);
      this.#events.emit("offline", member);
    }
    for (const [uid, member] of this) {
      if (!before.has(uid)) this.#events.emit("online", member);
    }
  }

  /** @internal */
  join(member: Member): void {
    const isNew = !this.has(member.uid);
    this.#count(member.uid, 1);
    this.set(member.uid, member);
    if (isNew) this.#events.emit("online", member);
  }

  /** @internal */
  leave(member: Member): void {
    if (this.#count(member.uid, -1) > 0) return;
    const known = this.get(member.uid);
    this.#connections.delete(member.uid);
    if (this.delete(member.uid)) this.#events.emit("offline", { ...known, ...member });
  }

  #count(uid: string, by: number): number {
    const count = (this.#connections.get(uid) ?? 0) + by;
    this.#connections.set(uid, count);
    return count;
  }
}
