/* Story: what the streams tell of an id, in the order of cause and time, as scripts/timeline tells it. */
import { byId, duration, make, number, plural, short } from "./text.js";

const OUTCOMES = { OrderPlaced: "placed", PaymentFailed: "payment_failed", OrderPaid: "paid",
                   OrderShipped: "shipped", OrderCancelled: "cancelled" };
const CARDS = { CardAdded: "usable", CardRemoved: "removed", CardDeclined: "declined" };

const placeOf = event => `${event.log} ${event.position}`;
const money = value => value ? `${number(value.amount)} ${value.currency}` : "?";

/* By time, but each event after its cause and after the earlier ones of its log: clocks differ. */
function inOrder(events) {
  const known = new Map(events.map(event => [event.id, event])), queues = new Map(), ordered = [];
  for (const event of [...events].sort((a, b) => a.position - b.position)) {
    event.from = known.get(event.causation);
    event.at = Date.parse(event.time);
    if (!queues.has(event.log)) queues.set(event.log, []);
    queues.get(event.log).push(event);
  }
  const done = new Set();
  while (queues.size > 0) {
    const heads = [...queues.values()].map(queue => queue[0]);
    const free = heads.filter(event => !event.from || done.has(event.from.id));
    const next = (free.length > 0 ? free : heads)
      .reduce((best, event) => event.at < best.at || (event.at === best.at && event.log < best.log) ? event : best);
    ordered.push(next);
    done.add(next.id);
    const queue = queues.get(next.log);
    queue.shift();
    if (queue.length === 0) queues.delete(next.log);
  }
  return ordered;
}

let meanings = {}; // of the events of services that this page has never heard of, by log and type
fetch("meanings").then(answer => answer.json()).then(found => { meanings = found; }, () => {});

function sentence({ log, type, entity, data }) {
  const card = `card ${short(data.card_id)}`;
  switch (type) {
    case "OrderPlaced": return `${plural(data.lines ?? 0, "line")}, ${money(data.total)} in minor units; ${card} is charged first`;
    case "PaymentFailed": return `${card}: ${data.reason} (attempt ${data.attempt}); ` +
      (data.next_card_id ? `card ${short(data.next_card_id)} is next` : "no other card");
    case "OrderPaid": return `${card} is charged (attempt ${data.attempt})`;
    case "OrderShipped": return "it is on its way";
    case "OrderCancelled": return `${data.reason}; its stock is free again`;
    case "PaymentArrivedLate": return `attempt ${data.attempt} was charged after all; it is taken back`;
    case "VoidRefused": return `attempt ${data.attempt} cannot be taken back: ${data.reason}`;
    case "RefundRequested": return `refund ${data.refund}: ${money(data.amount)} are wanted back`;
    case "OrderRefunded": return `refund ${data.refund}: ${money(data.amount)} are given back`;
    case "RefundFailed": return `refund ${data.refund}: ${money(data.amount)} are not given back: ${data.reason}`;
    case "CardAdded": return `${card} (${data.brand}) can be charged`;
    case "CardRemoved": return `${card} is taken away`;
    case "CardDeclined": return `${card} is not used any more: ${data.reason}, by order ${short(data.order_id)}`;
    case "AccountRegistered": return "an account is opened";
    case "ProfileChanged": return "name, e-mail or birthday";
    case "AddressChanged": return "where the next orders go";
    case "AccountClosed": return "no more orders";
    default: return meanings[log]?.[type] ?? `about ${short(decode(entity))}`;
  }
}

function decode(text) { try { return decodeURIComponent(text); } catch { return text; } }

function origin(event) {
  if (event.from) return placeOf(event.from);
  if (event.key) return `request ${decode(event.key)}`;
  return event.causation ? `event ${event.causation}` : "a request without a key";
}

/* ---- The present state */

function fold(order, event) {
  const { type, data } = event;
  if (type === "CardDeclined") order.unheard = order.unheard.filter(failed => failed.id !== event.causation);
  if (type === "CardAdded" && order.status === "payment_failed" && !order.card) {
    order.card = data.card_id;
    order.since = event;
  }
  if (data.order_id !== order.id || !OUTCOMES[type]) return;
  if (order.last.type === "PaymentFailed" && order.since !== order.last) event.waitedFor = order.since;
  order.status = OUTCOMES[type];
  order.since = order.last = event;
  order.reason = data.reason;
  if (type === "PaymentFailed") {
    order.card = data.next_card_id;
    order.attempt = data.attempt + 1;
    if ((data.decline ?? "hard") === "hard") order.unheard.push(event);
  }
}

function waitsFor(order) {
  if (order.status === "paid") return "its shipping (order.ship)";
  if (order.status === "shipped" || order.status === "cancelled") return null;
  return order.card ? `the payment provider's answer about card ${short(order.card)} (attempt ${order.attempt})`
                    : "another card";
}

function orderLines(order, at) {
  const waits = waitsFor(order), until = Date.parse(order.until);
  let text = order.reason && order.status === "cancelled" ? `cancelled (${order.reason})` : order.status;
  if (!waits) text += ", and over";
  else {
    text += `, waits for ${waits}`;
    if (until && (order.status === "placed" || order.status === "payment_failed"))
      text += until > at ? ` until ${order.until} (in ${duration(until - at)})`
                         : ` until ${order.until}, which was ${duration(at - until)} ago: order-svc will cancel it`;
    text += `; for ${duration(Math.max(0, at - order.since.at))} so far`;
  }
  return [`${short(order.id)}: ${text}`, ...order.unheard.map(failed =>
    `${short(order.id)}: waits for account-svc to take up ${placeOf(failed)} (PaymentFailed)`)];
}

function presentState(story, events) {
  const orders = new Map(), accounts = new Map();
  for (const event of events) {
    const { type, data } = event;
    if (type === "OrderPlaced")
      orders.set(data.order_id, { id: data.order_id, account: data.account_id, status: "placed", since: event,
                                  last: event, until: data.pay_until, card: data.card_id, attempt: 1, unheard: [] });
    for (const order of orders.values())
      if (order.account === (data.account_id ?? order.account)) fold(order, event);
    if (!data.account_id) continue;
    if (!accounts.has(data.account_id)) accounts.set(data.account_id, { status: "unknown", cards: new Map() });
    const account = accounts.get(data.account_id);
    if (type === "AccountRegistered") account.status = "open";
    if (type === "AccountClosed") account.status = "closed";
    if (CARDS[type]) account.cards.set(data.card_id, CARDS[type]);
  }
  const told = new Set(events.filter(event => event.told).map(event => event.data.order_id));
  const shown = [...orders.values()].filter(order => story.kind === "account" || order.id === story.id || told.has(order.id));
  const lines = [];
  if (story.kind === "account" || shown.length === 0)
    for (const [id, { status, cards }] of accounts) {
      const usable = [...cards.values()].filter(state => state === "usable").length;
      lines.push(`${short(id)}: ${status}, ${usable} of ${plural(cards.size, "card")} usable`);
    }
  for (const order of shown) lines.push(...orderLines(order, story.at));
  return lines;
}

/* ---- The page */

function line(event) {
  const delay = event.from ? event.at - event.from.at : null;
  const after = delay === null ? "" : delay >= 0 ? ` (+${duration(delay)})` : " (clocks differ)";
  const waited = event.waitedFor
    ? `, ${duration(event.at - event.waitedFor.at)} after ${placeOf(event.waitedFor)}` : "";
  return make("li", { "data-place": placeOf(event) },
    make("span", { class: "when" }, `${event.time}${after} · ${placeOf(event)}`), make("br"),
    make("strong", {}, event.type), ` ${sentence(event)} ← ${origin(event)}${waited}`);
}

function show(story) {
  const events = inOrder(story.events), now = presentState(story, events);
  const told = events.filter(event => event.told);
  const section = byId("story");
  const read = Object.entries(story.read).filter(([, range]) => range.first > 0);
  const ends = read.map(([log, range]) => `${log} ${range.first} to ${range.last}`).join(", ");
  const cut = story.cut || read.some(([, range]) => range.cut);
  section.replaceChildren(make("h2", { id: "story-title", tabindex: "-1" }, `The story of ${story.id}`));
  if (told.length === 0) {
    section.append(make("p", {}, `No event in ${Object.keys(story.read).join(", ") || "any stream"} knows this id.`));
  } else {
    section.append(make("ol", {}, ...told.map(line)));
    for (const text of now) section.append(make("p", { class: "now" }, `now: ${text}`));
  }
  section.append(make("p", {}, `From the events ${ends || "of no stream"}.` +
    (cut ? " ▲ Not all events could be read: the story may be longer." : "")));
}

function fail(id, message) {
  byId("story").replaceChildren(make("h2", { id: "story-title", tabindex: "-1" }, `The story of ${id}`),
    make("p", { class: "warn" }, message === "not permitted"
      ? "This map has the rights of a reader; stories want an operator's: start it with --as operator."
      : `It cannot be told: ${message}.`));
}

export async function tellStory(id) {
  const section = byId("story");
  section.hidden = false;
  section.setAttribute("aria-busy", "true");
  try {
    const story = await (await fetch(`story?id=${encodeURIComponent(id)}`)).json();
    if (story.error) fail(id, story.error.message); else show(story);
  } catch {
    fail(id, "the map does not answer");
  }
  section.removeAttribute("aria-busy");
  byId("story-title").focus();
}

export function listen() {
  byId("find").addEventListener("submit", event => {
    event.preventDefault();
    const id = byId("find-id").value.trim();
    if (id) tellStory(id);
  });
}
