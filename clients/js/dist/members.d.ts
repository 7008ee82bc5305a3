import { type Handler } from "./emitter.js";
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
export declare class Members extends Map<string, Member> {
    #private;
    /** Calls `handler` with each `event`; gives a function that ends that. */
    on<K extends keyof MemberEvents>(event: K, handler: Handler<MemberEvents[K]>): () => void;
    /** Ends what {@link on} began; without a handler, for all of the event. */
    off<K extends keyof MemberEvents>(event: K, handler?: Handler<MemberEvents[K]>): void;
}
