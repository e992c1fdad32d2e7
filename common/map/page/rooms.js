/* Rooms: a card for each service, which stays in its place while its numbers change. */
import { byId, bytes, duration, make, number, plural, rate, say } from "./text.js";

const MARKS = { ready: "●", standby: "○", starting: "◔", replaying: "◑", draining: "◕",
                held: "▲", degraded: "▲", forked: "✕", corrupt: "✕", moved: "✕" };
const rooms = new Map();           // name -> the parts of its card

const ROWS = ["term", "answers", "refused", "p50", "p99", "queue", "WAL", "outbox", "parked"];

function build(service) {
  const title = make("h3", { id: `room-${service.name}` }, service.name);
  const state = make("p", { class: "state" });
  const list = make("dl"), rows = {};
  for (const name of ROWS) {
    rows[name] = make("dd");
    list.append(make("dt", {}, name), rows[name]);
  }
  const why = make("p", { class: "why" }), instances = make("ul", { "aria-label": "instances" });
  const card = make("section", { class: "room", tabindex: "0", "aria-labelledby": title.id,
                                 "data-service": service.name }, title, state, list, why, instances);
  return { card, state, rows, why, instances };
}

export function stateOf(service) {
  if (service.silent_ms > 0) return { mark: "■", words: `no answer for ${duration(service.silent_ms)}`,
                                      kind: "bad", dead: true };
  const standing = service.instances.filter(instance => instance.silent_ms === 0).length;
  if (!service.led && standing > 0 && service.state === "standby")
    return { mark: "▲", words: `nobody leads; ${standing} stand${standing === 1 ? "s" : ""} by`, kind: "warn", dead: false };
  const mark = MARKS[service.state] || "◔";
  const kind = service.state === "ready" ? "good" : mark === "✕" ? "bad" : "warn";
  return { mark, words: service.state || "answers", kind, dead: false };
}

function fillInstances(list, service) {
  const lines = service.instances.map(instance => {
    const process = instance.pid ? `pid ${instance.pid} on ${instance.host}` : instance.host;
    const is = instance.silent_ms > 0 ? `■ silent for ${duration(instance.silent_ms)}`
                                      : `${instance.role === "leading" ? "★ " : ""}${instance.role || "one"}`;
    return `${is} · ${instance.state || "?"} · ${process}`;
  });
  while (list.children.length > lines.length) list.lastChild.remove();
  while (list.children.length < lines.length) list.append(make("li"));
  lines.forEach((line, i) => say(list.children[i], line));
}

function fill(parts, service) {
  const { mark, words, kind, dead } = stateOf(service);
  parts.card.classList.toggle("dead", dead);
  parts.state.className = `state ${dead ? "" : kind}`;
  say(parts.state, `${mark} ${words}`);
  say(parts.rows.term, number(service.term || null));
  say(parts.rows.answers, dead ? "–" : rate(service.requests));
  say(parts.rows.refused, dead ? "–" : rate(service.refusals));
  say(parts.rows.p50, duration(service.p50_ms));
  say(parts.rows.p99, duration(service.p99_ms));
  say(parts.rows.queue, dead ? "–" : number(service.queue + service.queries));
  say(parts.rows.WAL, bytes(service.wal));
  say(parts.rows.outbox, number(service.outbox));
  say(parts.rows.parked, number(service.parked));
  const notices = service.notices > 0 ? plural(service.notices, "notice") : "";
  say(parts.why, [service.reason, notices].filter(Boolean).join("; "));
  fillInstances(parts.instances, service);
}

/* Which services stand side by side, with pipes drawn between them. */
export const FEW = 4;

export function showRooms(picture) {
  const map = byId("map");
  const seen = new Set();
  for (const service of picture.services) {
    seen.add(service.name);
    let parts = rooms.get(service.name);
    if (!parts) {
      parts = build(service);
      rooms.set(service.name, parts);
      const next = [...rooms.keys()].filter(name => name > service.name).sort()[0];
      map.insertBefore(parts.card, next ? rooms.get(next).card : null);
    }
    fill(parts, service);
  }
  for (const [name, parts] of rooms)
    if (!seen.has(name)) { parts.card.remove(); rooms.delete(name); }
  map.classList.toggle("few", rooms.size <= FEW);
  map.classList.toggle("one", rooms.size === 1);
  byId("empty").hidden = rooms.size > 0;
}

export function roomOf(name) { const parts = rooms.get(name); return parts && parts.card; }
