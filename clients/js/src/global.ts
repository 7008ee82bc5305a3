// The classic script: the class as a global, with the rest beside it.

import { WebRocketError } from "./errors.js";
import { WebRocket } from "./webrocket.js";

Object.assign(globalThis, { WebRocket: Object.assign(WebRocket, { WebRocketError }) });
