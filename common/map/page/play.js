/* Play: plugs to pull, and customers who order; only where the program offers it. */
import { byId, make, number, say } from "./text.js";
import { tellStory } from "./story.js";

let parts = null;

async function post(body) {
  try {
    const answer = await fetch("play", { method: "POST", headers: { "Content-Type": "application/json" },
                                         body: JSON.stringify(body) });
    const reply = await answer.json();
    return reply.error ? reply.error.message : "";
  } catch {
    return "the map does not answer";
  }
}

const VERBS = [["kill", "Kill", "Killed"], ["pause", "Pause", "Paused"], ["resume", "Resume", "Resumed"],
               ["start", "Start", "Started"]];

function plug(process) {
  const row = make("div", { class: "plug", role: "group", "aria-label": process }, make("strong", {}, process));
  for (const [verb, name, done] of VERBS) {
    const button = make("button", { type: "button", "data-plug": `${verb} ${process}` }, name);
    button.onclick = async () => {
      button.disabled = true;
      say(parts.said, `${name} ${process} …`);
      const why = await post({ do: verb, process });
      say(parts.said, why ? `${name} ${process}: ${why}.` : `${done}: ${process}.`);
      button.disabled = false;
      button.focus();
    };
    row.append(button);
  }
  return row;
}

function option(value, text) { return make("option", { value: String(value) }, text); }

function build(play) {
  const rate = make("select", { id: "play-rate" }, ...[0, 1, 10, 100, 300, 1000].map(value =>
    option(value, value === 0 ? "none" : `${number(value)} a second`)));
  const declined = make("select", { id: "play-declined" }, ...[0, 10, 50, 100].map(value => option(value, `${value} %`)));
  const change = () => post({ rate: Number(rate.value), declined: Number(declined.value) });
  rate.onchange = declined.onchange = change;
  const story = make("button", { type: "button" }, "The newest order's story");
  const said = make("p", { role: "status" }), counts = make("p", { id: "play-counts" });
  const plugs = play.plugs.split(",").filter(Boolean).map(plug);
  byId("play").replaceChildren(make("h2", { id: "play-title" }, "Pull a plug"),
    make("div", { class: "bar" }, make("label", {}, "Orders ", rate), make("label", {}, "with a declined card ", declined), story),
    counts, make("div", { class: "bar plugs" }, ...plugs), said);
  byId("play").hidden = false;
  return { rate, declined, story, said, counts };
}

export function showPlay({ play }) {
  if (!play) return;
  parts ??= build(play);
  for (const name of ["rate", "declined"])
    if (document.activeElement !== parts[name] && [...parts[name].options].some(one => one.value === String(play[name])))
      parts[name].value = String(play[name]);
  parts.story.disabled = !play.last;
  parts.story.onclick = () => { byId("find-id").value = play.last; tellStory(play.last); };
  say(parts.counts, `Orders: ${number(play.placed)} placed, ${number(play.refused)} refused, ` +
    `${number(play.unanswered)} without an answer. New addresses: ${number(play.changed)} taken, ` +
    `${number(play.not_changed)} not.`);
}
