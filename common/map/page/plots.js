/* Plots: the last ten minutes of each service. Seconds in which nobody answered, or nobody led, are
   shaded and hatched. */
import { byId, draw, duration, make, number, rate, say } from "./text.js";
import { FEW } from "./rooms.js";

const SECONDS = 600, WIDTH = 600, HEIGHT = 84;
const [UP, REQUESTS, REFUSALS, P50, P99, LAG] = [0, 1, 2, 3, 4, 5];
const histories = new Map();       // name -> rows of [up, requests, refusals, p50, p99, lag, outbox]
const figures = new Map();
let chosen = null;

const KINDS = [
  { title: "answers a second", curves: [[REQUESTS, "answers"], [REFUSALS, "refused"]], show: rate },
  { title: "time to answer", curves: [[P50, "p50"], [P99, "p99"]], show: duration },
  { title: "events not read yet", curves: [[LAG, "waiting"]], show: number },
];

export async function noteSecond(picture) {
  for (const service of picture.services) {
    if (!histories.has(service.name)) {
      histories.set(service.name, []);
      if (picture.services.length <= FEW || service.name === chosen) fetchHistory(service.name);
    }
    const rows = histories.get(service.name);
    const lag = service.sources.reduce((most, source) => Math.max(most, source.lag), 0);
    rows.push([service.led ? 1 : 0, service.requests ?? 0, service.refusals ?? 0,
               service.p50_ms ?? -1, service.p99_ms ?? -1, lag, service.outbox]);
    if (rows.length > SECONDS) rows.splice(0, rows.length - SECONDS);
  }
}

async function fetchHistory(name) {
  try {
    const answer = await fetch(`history?service=${encodeURIComponent(name)}`);
    if (!answer.ok) return;
    const { seconds } = await answer.json();
    const rows = histories.get(name);
    histories.set(name, [...seconds, ...rows.slice(-1)].slice(-SECONDS));
  } catch { /* the plot begins with what comes from now on */ }
}

function build(name, kind) {
  const caption = make("figcaption", {}, make("strong", {}, `${name}: ${kind.title}`), make("span"));
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const shades = draw("g");
  const curves = kind.curves.map((_, i) => draw("path", { class: i ? "curve second" : "curve" }));
  svg.append(shades, ...curves);
  const ends = make("div", { class: "ends" }, make("span", {}, "10 min ago"), make("span"), make("span", {}, "now"));
  const figure = make("figure", { "data-plot": name }, caption, svg, ends);
  return { figure, svg, shades, curves, caption, top: ends.children[1] };
}

/* Seconds without an answer, as [first, behind]. */
function outages(rows) {
  const found = [];
  rows.forEach((row, i) => {
    if (row[UP]) return;
    const last = found[found.length - 1];
    if (last && last[1] === i) last[1] = i + 1; else found.push([i, i + 1]);
  });
  return found;
}

function fill(parts, kind, rows) {
  const offset = SECONDS - rows.length;
  const x = i => (offset + i) * WIDTH / SECONDS;
  let most = 0;
  for (const [column] of kind.curves) for (const row of rows) most = Math.max(most, row[column]);
  const y = value => HEIGHT - 2 - (most > 0 ? value / most : 0) * (HEIGHT - 8);
  kind.curves.forEach(([column], n) => {
    let path = "", open = false;
    rows.forEach((row, i) => {
      if (row[column] < 0) { open = false; return; }
      path += `${open ? "L" : "M"}${x(i).toFixed(1)} ${y(row[column]).toFixed(1)}`;
      open = true;
    });
    parts.curves[n].setAttribute("d", path);
  });
  const gaps = outages(rows);
  parts.shades.replaceChildren(...gaps.flatMap(([from, to]) => {
    const marks = [draw("rect", { class: "outage", x: x(from), y: 0, width: x(to) - x(from), height: HEIGHT })];
    for (let at = x(from); at < x(to); at += 6)
      marks.push(draw("line", { class: "hatch", x1: at, y1: HEIGHT, x2: Math.min(at + 6, x(to)), y2: HEIGHT - 6 }));
    return marks;
  }));
  const last = rows[rows.length - 1] || [];
  const now = kind.curves.map(([column, name], i) =>
    `${i ? "╌" : "—"} ${name} ${last[column] < 0 ? "–" : kind.show(last[column] ?? null)}`).join("   ");
  say(parts.caption.children[1], now);
  say(parts.top, `top: ${kind.show(most)}`);
  parts.svg.setAttribute("aria-label", `${now}; at most ${kind.show(most)}; ` +
    `${gaps.length} time${gaps.length === 1 ? "" : "s"} without an answer`);
}

function choose(picture) {
  const names = picture.services.map(service => service.name);
  const few = names.length <= FEW, select = byId("plots-of").querySelector("select");
  byId("plots-of").hidden = few;
  if (few) return names;
  if (select.options.length !== names.length)
    select.replaceChildren(...names.map(name => make("option", {}, name)));
  if (!chosen || !names.includes(chosen)) chosen = names[0];
  select.value = chosen;
  select.onchange = () => { chosen = select.value; fetchHistory(chosen); };
  return [chosen];
}

export function showPlots(picture) {
  const wanted = choose(picture).flatMap(name => KINDS.map((kind, i) => [`${name}/${i}`, name, kind]));
  const keys = new Set(wanted.map(([key]) => key));
  for (const [key, parts] of figures)
    if (!keys.has(key)) { parts.figure.remove(); figures.delete(key); }
  for (const [key, name, kind] of wanted) {
    if (!figures.has(key)) {
      figures.set(key, build(name, kind));
      byId("plots").append(figures.get(key).figure);
    }
    fill(figures.get(key), kind, histories.get(name) || []);
  }
}
