/* Parked events: what a service could not apply, why, and a button that has it tried again. */
import { byId, make, number, plural } from "./text.js";

const counts = new Map();          // name -> how many were parked when they were asked for
const shown = new Map();           // name -> its part of the page
const said = new Map();            // name -> what came of the last redrive

async function answerOf(answer) {
  const reply = await answer.json().catch(() => ({ error: { message: "no answer" } }));
  return reply.error ? Promise.reject(new Error(reply.error.message || reply.error.code)) : reply;
}

function advice(error) {
  return error.message === "not permitted"
    ? "this map has the rights of a reader; parked events want an operator's: start it with --as operator"
    : error.message;
}

async function redrive(name, button) {
  button.disabled = true;
  try {
    const reply = await answerOf(await fetch("redrive", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ service: name }) }));
    said.set(name, `${plural(reply.redriven ?? 0, "event")} applied, ${number(reply.still_parked ?? 0)} still parked.`);
  } catch (error) {
    said.set(name, `Not done: ${advice(error)}.`);
  }
  counts.delete(name);
}

function table(events) {
  const body = make("tbody");
  for (const event of events)
    body.append(make("tr", {}, make("th", { scope: "row" }, `${event.log} ${event.position}`),
                     make("td", {}, event.type), make("td", {}, make("code", {}, event.entity)),
                     make("td", {}, event.error), make("td", {}, event.since)));
  const head = make("tr");
  for (const title of ["event", "type", "about", "why", "since"]) head.append(make("th", { scope: "col" }, title));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "parked events" },
              make("table", {}, make("thead", {}, head), body));
}

async function fetchParked(service) {
  const part = make("div", { "data-parked": service.name });
  const button = make("button", { type: "button" }, "Redrive");
  button.onclick = () => redrive(service.name, button);
  part.append(make("p", { class: "bar" }, make("strong", {}, `▲ ${service.name}: ` +
    `${plural(service.parked, "event")} parked`), button, make("span", { role: "status" }, said.get(service.name) || "")));
  try {
    const reply = await answerOf(await fetch(`parked?service=${encodeURIComponent(service.name)}`));
    part.append(table(reply.parked));
    if (reply.parked.length < service.parked)
      part.append(make("p", {}, `The first ${reply.parked.length} of them.`));
  } catch (error) {
    part.append(make("p", { class: "warn" }, `They cannot be listed: ${advice(error)}.`));
  }
  const before = shown.get(service.name);
  if (before) before.replaceWith(part); else byId("parked").append(part);
  shown.set(service.name, part);
}

export function showParked(picture) {
  let any = false;
  for (const service of picture.services) {
    any ||= service.parked > 0;
    if (service.parked > 0 && service.silent_ms === 0 && counts.get(service.name) !== service.parked) {
      counts.set(service.name, service.parked);
      fetchParked(service);
    }
    if (service.parked === 0 && counts.has(service.name)) {
      counts.delete(service.name);
      const part = shown.get(service.name);
      shown.delete(service.name);
      if (part) part.remove();
      if (said.has(service.name)) byId("says").textContent = `${service.name}: ${said.get(service.name)}`;
      said.delete(service.name);
    }
  }
  const section = byId("parked");
  if (any && !byId("parked-title")) section.prepend(make("h2", { id: "parked-title" }, "Parked events"));
  section.hidden = !any;
}

