/** Handlers by event. */
export type Handler<A extends unknown[]> = (...args: A) => void;

/** Calls handlers in the order in which they were given; one that throws stops no other. */
export class Emitter<E extends { [K in keyof E]: unknown[] }> {
  readonly #handlers = new Map<keyof E, Set<Handler<never>>>();

  /** Calls `handler` with each `event`; gives a function that ends that. */
  on<K extends keyof E>(event: K, handler: Handler<E[K]>): () => void {
    let handlers = this.#handlers.get(event);
    if (!handlers) this.#handlers.set(event, (handlers = new Set()));
    handlers.add(handler as Handler<never>);
    return () => this.off(event, handler);
  }

  /** Ends what {@link on} began; without a handler, for all of the event. */
  off<K extends keyof E>(event: K, handler?: Handler<E[K]>): void {
    if (handler) this.#handlers.get(event)?.delete(handler as Handler<never>);
    else this.#handlers.delete(event);
  }

  /** @internal */
  emit<K extends keyof E>(event: K, ...args: E[K]): void {
    for (const handler of [...(this.#handlers.get(event) ?? [])]) {
      try {
        (handler as Handler<E[K]>)(...args);
      } catch (error) {
        // To the console or the process, as if nobody stood between.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
