/** Codes of the broker's errors, and those of this side. */
export const CODES: Record<number, string> = {
  400: "Bad request",
  402: "Unauthorized",
  403: "Forbidden",
  453: "Not subscribed",
  454: "Channel not found",
  503: "Service unavailable",
  597: "Internal error",
};

/** Something that the broker refused, or that could not be asked. */
export class WebRocketError extends Error {
  /** `WebRocketError`. */
  override readonly name = "WebRocketError";

  constructor(
    /**
     * The broker's: 400 malformed, 402 unknown access token, 403 not allowed, 453 not
     * subscribed, 454 no such channel, 503 no worker, 597 internal. 0: no access
     * token could be fetched, which `cause` explains.
     */
    readonly code: number,
    /** The code in words. */
    readonly status: string = CODES[code] ?? "Unknown error",
    /** The channel whose subscription was refused, where it was that. */
    readonly channel?: string,
    options?: { cause?: unknown },
  ) {
    super(channel ? `${status} (${code}): ${channel}` : `${status} (${code})`, options);
  }
}
