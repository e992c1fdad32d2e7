/* The map: takes a picture a second from the event stream, and shows it. */
import { byId, duration, say } from "./text.js";
import { showRooms } from "./rooms.js";
import { showPipes } from "./pipes.js";
import { showParked } from "./parked.js";
import { showPlay } from "./play.js";
import { listen } from "./story.js";
import { noteSecond, showPlots } from "./plots.js";

let picture = null, heard = performance.now(), noted = -1;
const before = new Map();          // name -> did it answer in the last picture?

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
    const answers = service.silent_ms === 0, was = before.get(service.name);
    if (was !== undefined && was !== answers)
      said.push(answers ? `${service.name} answers again.`
                        : `${service.name} does not answer any more; the others go on.`);
    before.set(service.name, answers);
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
