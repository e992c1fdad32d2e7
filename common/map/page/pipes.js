/* Pipes: a stream and who reads it. Of a few services they are drawn between the rooms, with dots for
   events: a sample, twelve a second at most. The table below says the same of any number. */
import { byId, bytes, draw, duration, make, number, plural, rate, say } from "./text.js";
import { FEW, roomOf, stateOf } from "./rooms.js";

const DOTS_MAX = 12;               // a second, on one pipe
const TRAVEL_MS = 1600;
const pipes = new Map();           // "ORDER>account-svc" -> its parts
const still = matchMedia("(prefers-reduced-motion: reduce)");

/* Every stream with each of its readers. */
export function pipesOf(picture) {
  const leaders = new Map(picture.services.map(service => [service.log, service]));
  const found = [];
  for (const reader of picture.services)
    for (const source of reader.sources) {
      const leader = leaders.get(source.log);
      found.push({ key: `${source.log}>${reader.name}`, log: source.log, leader, reader, source,
                   stream: leader && leader.stream, stuck: reader.silent_ms > 0 });
    }
  return found;
}

function typesOf(stream) {
  return Object.entries(stream ? stream.types : {}).sort((a, b) => b[1] - a[1])
    .map(([name, count]) => `${name} ${rate(count)}`);
}

function waitsText(pipe) {
  const { lag, age_ms: age } = pipe.source;
  if (lag > 0) return `${plural(lag, "event")} wait${lag === 1 ? "s" : ""}` +
                      (age >= 0 ? `, behind by ${duration(age)}` : "");
  return age >= 0 && age < 3000 ? "nothing waits" : `nothing is known to wait, heard ${duration(age)} ago`;
}

/* ---- Drawn between the rooms */

/* From a room to another one; the way back is beside it. */
function pathOf(from, to, origin, back) {
  const a = from.getBoundingClientRect(), b = to.getBoundingClientRect();
  const share = back ? 0.68 : 0.3;
  let x1, y1, x2, y2;
  if (a.right < b.left || b.right < a.left) {
    const right = a.right < b.left;
    x1 = right ? a.right : a.left; x2 = right ? b.left : b.right;
    y1 = a.top + a.height * share; y2 = b.top + b.height * share;
  } else {
    const down = a.bottom <= b.top;
    y1 = down ? a.bottom : a.top; y2 = down ? b.top : b.bottom;
    x1 = a.left + a.width * share; x2 = b.left + b.width * share;
  }
  x1 -= origin.left; x2 -= origin.left; y1 -= origin.top; y2 -= origin.top;
  return `M${x1.toFixed(1)} ${y1.toFixed(1)} L${x2.toFixed(1)} ${y2.toFixed(1)}`;
}

function build(pipe) {
  const svg = byId("pipes");
  const line = draw("path", { class: "pipe" }), pile = draw("path", { class: "pile" });
  const dots = draw("g");
  svg.append(line, pile, dots);
  const label = make("div", { class: "label", "data-pipe": pipe.key }, make("strong"), make("span"),
                     make("div", { class: "types" }));
  byId("map").append(label);
  return { line, pile, dots, label, moving: [], due: 0, rate: 0, stuck: false, length: 0, shape: "" };
}

function discard(parts) {
  for (const element of [parts.line, parts.pile, parts.dots, parts.label]) element.remove();
}

function place(parts, pipe, origin) {
  const from = pipe.leader && roomOf(pipe.leader.name), to = roomOf(pipe.reader.name);
  if (!from || !to) return;
  const shape = pathOf(from, to, origin, pipe.leader.name > pipe.reader.name);
  if (shape !== parts.shape) {
    parts.shape = shape;
    parts.line.setAttribute("d", shape);
    parts.pile.setAttribute("d", shape);
    parts.length = parts.line.getTotalLength();
  }
  const middle = parts.line.getPointAtLength(parts.length / 2);
  const vertical = Math.abs(parts.line.getPointAtLength(0).x - parts.line.getPointAtLength(parts.length).x) < 40;
  /* two pipes side by side: their labels one below the other */
  const shift = vertical ? (pipe.leader.name > pipe.reader.name ? 48 : -48) : 0;
  parts.label.style.left = `${vertical ? origin.width / 2 : middle.x}px`;
  parts.label.style.top = `${middle.y + shift}px`;
}

function fill(parts, pipe) {
  const [title, waits, types] = parts.label.children;
  parts.stuck = pipe.stuck;
  parts.rate = pipe.stream && !pipe.leader.silent_ms ? pipe.stream.rate || 0 : 0;
  parts.line.classList.toggle("stuck", pipe.stuck);
  say(title, `${pipe.log} → ${pipe.reader.name}`);
  say(waits, `${pipe.stuck ? "■ stopped: " : ""}${waitsText(pipe)}`);
  say(types, typesOf(pipe.stream).slice(0, 2).join(" · "));
  /* the pile before a reader grows with the logarithm of what waits */
  const share = pipe.source.lag > 0 ? Math.min(0.45, 0.05 + Math.log10(1 + pipe.source.lag) / 12) : 0;
  const shown = (pipe.stuck || pipe.source.lag > 100) ? share * parts.length : 0;
  parts.pile.style.strokeDasharray = `0 ${parts.length - shown} ${"5 2 ".repeat(Math.ceil(shown / 7))}`;
  parts.pile.style.display = shown > 0 ? "" : "none";
  parts.stop = parts.length - shown;
}

export function showPipes(picture) {
  const all = pipesOf(picture);
  const drawn = picture.services.length <= FEW ? all.filter(pipe => pipe.leader) : [];
  const origin = byId("map").getBoundingClientRect();
  const seen = new Set(drawn.map(pipe => pipe.key));
  for (const [key, parts] of pipes)
    if (!seen.has(key)) { discard(parts); pipes.delete(key); }
  for (const pipe of drawn) {
    if (!pipes.has(pipe.key)) pipes.set(pipe.key, build(pipe));
    place(pipes.get(pipe.key), pipe, origin);
    fill(pipes.get(pipe.key), pipe);
  }
  showTable(all, picture);
}

/* ---- Events seen travelling */

function move(parts, now) {
  const shown = Math.min(parts.rate, DOTS_MAX);
  if (shown > 0 && now >= parts.due && parts.length > 0 && parts.moving.length < 40) {
    const dot = draw("circle", { r: 5, class: "dot" });
    parts.dots.append(dot);
    parts.moving.push({ dot, born: now });
    parts.due = now + 1000 / shown;
  }
  parts.moving = parts.moving.filter(({ dot, born }) => {
    const way = (now - born) / TRAVEL_MS;
    const at = Math.min(way * parts.length, parts.stop ?? parts.length);
    const point = parts.line.getPointAtLength(at);
    dot.setAttribute("cx", point.x);
    dot.setAttribute("cy", point.y);
    if (way < 1 && at < (parts.stop ?? parts.length)) return true;
    dot.remove();
    return false;
  });
}

function turn(now) {
  if (!still.matches) for (const parts of pipes.values()) move(parts, now);
  requestAnimationFrame(turn);
}
requestAnimationFrame(turn);

/* ---- The table */

const rows = new Map();

function showTable(all, picture) {
  const body = byId("streams").tBodies[0];
  const read = new Set(all.map(pipe => pipe.log));
  const alone = picture.services.filter(service => !read.has(service.log))
    .map(service => ({ key: service.log, log: service.log, leader: service, stream: service.stream }));
  const shown = [...all, ...alone].sort((a, b) => a.key < b.key ? -1 : 1);
  const keys = new Set(shown.map(pipe => pipe.key));
  for (const [key, row] of rows)
    if (!keys.has(key)) { row.remove(); rows.delete(key); }
  for (const pipe of shown) {
    if (!rows.has(pipe.key)) {
      const row = make("tr", { "data-pipe": pipe.key }, make("th", { scope: "row" }));
      for (let i = 0; i < 6; i++) row.append(make("td"));
      rows.set(pipe.key, row);
    }
    const row = rows.get(pipe.key), { stream, source } = pipe;
    const state = pipe.reader ? stateOf(pipe.reader) : null;
    const cells = [
      pipe.log,
      pipe.reader ? pipe.reader.name : "nobody",
      stream ? [rate(stream.rate), ...typesOf(stream)].join(" · ") : "–",
      stream && stream.there ? `${number(stream.messages)} (${bytes(stream.bytes)})` : "–",
      source ? number(source.lag) : "–",
      source ? duration(source.age_ms) : "–",
      stream && stream.missing ? "✕ the stream is not there"
        : !pipe.leader ? "its leader has not answered yet"
        : state && state.dead ? `■ ${pipe.reader.name} does not answer` : source ? source.state : "",
    ];
    cells.forEach((text, i) => say(row.children[i], text));
    if (row.parentNode !== body || row !== body.children[shown.indexOf(pipe)])
      body.insertBefore(row, body.children[shown.indexOf(pipe)] || null);
  }
}
