/** Codes of the broker's errors, and those of this side. */
export declare const CODES: Record<number, string>;
/** Something that the broker refused, or that could not be asked. */
export declare class WebRocketError extends Error {
    /**
     * The broker's: 400 malformed, 402 unknown access token, 403 not allowed, 453 not
     * subscribed, 454 no such channel, 503 no worker, 597 internal. 0: no access
     * token could be fetched, which `cause` explains.
     */
    readonly code: number;
    /** The code in words. */
    readonly status: string;
    /** The channel whose subscription was refused, where it was that. */
    readonly channel?: string | undefined;
    /** `WebRocketError`. */
    readonly name = "WebRocketError";
    constructor(
    /**
     * The broker's: 400 malformed, 402 unknown access token, 403 not allowed, 453 not
     * subscribed, 454 no such channel, 503 no worker, 597 internal. 0: no access
     * token could be fetched, which `cause` explains.
     */
    code: number, 
    /** The code in words. */
    status?: string, 
    /** The channel whose subscription was refused, where it was that. */
    channel?: string | undefined, options?: {
        cause?: unknown;
    });
}
