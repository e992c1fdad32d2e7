/* The map: takes a picture a second from the event stream, and shows it. */
import { byId, duration, say } from "./text.js";
import { showRooms } from "./rooms.js";
import { showPipes } from "./pipes.js";
import { showParked } from "./parked.js";
import { showPlay } from "./play.js";
import { listen } from "./story.js";
import { noteSecond, showPlots } from "./plots.js";

let picture = null, heard = performance.now(), noted = -1;
const before = new Map();          // name -> "led", "unled" or "silent" in the last picture

function link(mark, words, kind) {
  const place = byId("link");
  place.className = kind;
  say(place.querySelector(".mark"), mark);
  say(place.querySelector(".words"), words);
}

/* What has changed, in words, for whoever does not look at the whole. */
function tell() {
  const said = [];
  for (const service of picture.services) {
    const now = service.silent_ms > 0 ? "silent" : service.led ? "led" : "unled", was = before.get(service.name);
    if (was && was !== now)
      said.push(now === "led" ? `${service.name} answers again.`
        : now === "unled" ? `Nobody leads ${service.name}; a standby answers queries.`
        : `${service.name} does not answer any more; the others go on.`);
    before.set(service.name, now);
  }
  if (said.length > 0) say(byId("says"), said.join(" "));
}

function show(text) {
  picture = JSON.parse(text);
  heard = performance.now();
  link(picture.connected ? "●" : "■", picture.connected ? "live" : "the NATS server is away",
       picture.connected ? "good" : "bad");
  tell();
  showRooms(picture);
  showPipes(picture);
  showParked(picture);
  showPlay(picture);
  const second = Math.floor(picture.at / 1000);
  if (second !== noted) noteSecond(picture);
  noted = second;
  showPlots(picture);
}

function connect() {
  const source = new EventSource("events");
  source.addEventListener("mesh", event => show(event.data));
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

/* The program itself may be gone. */
setInterval(() => {
  const silent = performance.now() - heard;
  if (silent > 3500) link("■", `the map does not answer for ${duration(silent)}; it is asked again`, "bad");
}, 1000);
addEventListener("resize", () => { if (picture) showPipes(picture); });
listen();
connect();
