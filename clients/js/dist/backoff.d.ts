/** Bounds of the time between two attempts, in milliseconds. */
export interface BackoffOptions {
    /** Ceiling of the first delay; 500 unless told. */
    minMs?: number;
    /** Ceiling of all; 30,000 unless told. */
    maxMs?: number;
}
/** What the end of a connection asks for. */
export interface Verdict {
    /** Nothing is tried any more. */
    isFinal: boolean;
    /** The least ceiling of the delay, in milliseconds. */
    floorMs: number;
}
/**
 * What a close code says. 1000: somebody has closed, on purpose. 1008: an operator
 * or a policy has. 1001 and 1012: the broker goes away with everybody, so all come
 * back spread over some seconds. 1013: too much, so wait longer. All others: try.
 */
export declare function judge(code: number): Verdict;
/** Full jitter: anything from nothing to a ceiling that doubles with each attempt. */
export declare function delayMs(attempt: number, floorMs: number, { minMs, maxMs }: BackoffOptions, random: () => number): number;
