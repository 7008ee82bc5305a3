import "./global.js";
