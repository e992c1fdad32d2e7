/* Text: elements and words. All that comes from the mesh is untrusted: it becomes text, never markup. */

export const byId = id => document.getElementById(id);

/* make("p", {class: "why"}, "text", element …) */
export function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";
export function draw(tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/* Changes the page only where it differs, so that a reader's selection and a screen reader's place stay. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export function number(value) {
  if (value === null || value === undefined) return "–";
  return value >= 100 || Number.isInteger(value) ? whole.format(value) : tenth.format(value);
}

export function rate(value) { return value === null ? "–" : `${number(value)}/s`; }

export function duration(ms) {
  if (ms === null || ms === undefined || ms < 0) return "–";
  if (ms < 1000) return `${number(ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms))} ms`;
  if (ms < 60000) return `${tenth.format(ms / 1000)} s`;
  const minutes = Math.floor(ms / 60000);
  if (minutes < 60) return `${minutes} min ${Math.floor(ms / 1000) % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit++; }
  return `${number(value)} ${units[unit]}`;
}

export function plural(count, noun) { return `${number(count)} ${noun}${count === 1 ? "" : "s"}`; }

/* An id with its middle left out: ids begin with the time, so their ends differ. */
export function short(id) { return id && id.length > 14 ? `${id.slice(0, 4)}…${id.slice(-6)}` : id || "?"; }
