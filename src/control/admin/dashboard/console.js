// A channel, watched as a browser sees it and sent to as a backend does.

import { ask, channelHref, vhostHref, vhostPath } from "./dashboard.admin.js";
import { $, element } from "./dashboard.elements.js";
import { WebRocket } from "./webrocket.mjs";

const FRAMES_MAX = 500;
const BROKER = document.querySelector("meta[name=websocket]").content;

/** Who members of a presence channel see. */
const UID = "operator";

let connection;

export function watch(vhost, name) {
  stop();
  $("watch-vhost").value = vhost;
  $("watch-channel").value = name;
  $("frames").replaceChildren();
  $("watch-end").disabled = false;
  say(`Connecting to ${BROKER}${vhost} …`);
  const needsToken = /^(private|presence)-/.test(name);
  const own = new WebRocket(BROKER + vhost, {
    WebSocket: tapped(frame => own === connection && show(frame)),
    autoConnect: false,
    ...(needsToken ? { auth: () => token(vhost, name) } : {}),
  });
  connection = own;
  own.on("joined", () => say(`Watching ${name} of ${vhost}.`));
  own.on("left", () => say(`${name} is closed, or was never open.`));
  own.on("error", error => say(error.cause ? `${error.message}: ${error.cause.message}` : error.message));
  own.on("reconnecting", ({ attempt }) =>
    say(`No connection to ${BROKER}${vhost}, attempt ${attempt + 1} follows. This page needs to reach the broker where browsers do.`));
  own.on("closed", ({ reason }) => own === connection && say(`Closed. ${reason}`));
  own.join(name);
  try {
    own.connect();
  } catch (error) {
    say(error.message);
  }
}

/** The frames as they are, with those that the client keeps to itself. */
function tapped(tap) {
  return class extends WebSocket {
    constructor(url) {
      super(url);
      this.addEventListener("message", ({ data }) => tap(data));
    }
  };
}

async function token(vhost, name) {
  // Names have no other character that means something in a pattern.
  const permission = name.replaceAll(".", "\\.");
  return ask("POST", `${vhostHref(vhost)}/single-access-tokens`, { uid: UID, permission });
}

export function stop() {
  const last = connection;
  connection = undefined;
  last?.close();
  $("watch-end").disabled = true;
  if (last) say("No channel is watched.");
}

function show(frame) {
  const frames = $("frames");
  const isAtEnd = frames.scrollHeight - frames.scrollTop - frames.clientHeight < 40;
  frames.append(element("div", {}, element("time", {}, new Date().toLocaleTimeString("en-GB")), element("span", {}, frame)));
  while (frames.childElementCount > FRAMES_MAX) frames.firstElementChild.remove();
  if (isAtEnd) frames.scrollTop = frames.scrollHeight;
}

function say(text) {
  $("watch-state").textContent = text;
}

/** What the fields propose. */
export function propose(paths, top) {
  const options = names => [...new Set(names)].map(value => element("option", { value }));
  $("known-vhosts").replaceChildren(...options(paths));
  $("known-channels").replaceChildren(...options(top.map(it => it.channel)));
}

const asked = () => [vhostPath($("watch-vhost").value), $("watch-channel").value.trim()];

$("watch-form").addEventListener("submit", event => {
  event.preventDefault();
  watch(...asked());
});

$("watch-end").addEventListener("click", stop);

$("send-form").addEventListener("submit", async event => {
  event.preventDefault();
  $("send-error").textContent = "";
  if (!$("watch-form").reportValidity()) return;
  try {
    const data = $("send-data").value.trim() || "{}";
    // It goes as it is written; that it is JSON is told here.
    JSON.parse(data);
    const body = `{"event":${JSON.stringify($("send-event").value)},"data":${data}}`;
    await ask("POST", `${channelHref(...asked())}/events`, body);
  } catch (error) {
    $("send-error").textContent = `Not sent: ${error.message}`;
  }
});
