// Admin REST, on the session that the browser holds.

const TIMEOUT_MS = 5000;

/** The node wants the cookie again. */
export class LoggedOut extends Error {}

/** One request; gives the answer's JSON. Throws what the node says of a refusal. */
export async function ask(method, path, body, headers = {}) {
  const response = await fetch(path, {
    method,
    // Without it the node takes a session for one that another site has sent.
    headers: { "X-WebRocket-Dashboard": "1", ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    cache: "no-store",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status === 403) throw new LoggedOut("the session is over");
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (!response.ok) throw new Error(answer?.error ?? `the node answered with ${response.status}`);
  return answer;
}

/** Begins a session. */
export const login = cookie => ask("POST", "/session.json", undefined, { "X-WebRocket-Cookie": cookie });

/** Begins the next one before this one ends. */
export const renew = () => ask("POST", "/session.json");

export const logout = () => ask("DELETE", "/session.json");

/** A vhost's path, as somebody has typed it. */
export const vhostPath = typed => `/${typed.trim().replace(/^\//, "")}`;

/** The resource of a vhost, of whose path only the first slash is the resource's. */
export const vhostHref = path => `/${encodeURIComponent(path.slice(1))}`;

export const channelHref = (vhost, channel) => `${vhostHref(vhost)}/channels/${encodeURIComponent(channel)}`;
