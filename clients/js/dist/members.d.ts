import { type Handler } from "./emitter.js";
/** A member of a presence channel: what it said when it joined, with its `uid`. */
export interface Member {
    uid: string;
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
export declare class Members extends Map<string, Member> {
    #private;
    /** See {@link Emitter.on}. */
    on<K extends keyof MemberEvents>(event: K, handler: Handler<MemberEvents[K]>): () => void;
    /** See {@link Emitter.off}. */
    off<K extends keyof MemberEvents>(event: K, handler?: Handler<MemberEvents[K]>): void;
    /** @internal A list that replaces what was known; `self` follows on its own. */
    reset(list: Member[], self: string | undefined): void;
    /** @internal */
    join(member: Member): void;
    /** @internal */
    leave(member: Member): void;
}
