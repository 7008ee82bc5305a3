/** Handlers by event. */
export type Handler<A extends unknown[]> = (...args: A) => void;
/** Calls handlers in the order in which they were given; one that throws stops no other. */
export declare class Emitter<E extends {
    [K in keyof E]: unknown[];
}> {
    #private;
    /** Calls `handler` with each `event`; gives a function that ends that. */
    on<K extends keyof E>(event: K, handler: Handler<E[K]>): () => void;
    /** Ends what {@link on} began; without a handler, for all of the event. */
    off<K extends keyof E>(event: K, handler?: Handler<E[K]>): void;
}
