// What a model says: the class in large letters, the best five as bars, events as a table.

import { clock, el, label, nearest, percent, plural } from "./dom.js";

const SURE = 0.5;

/** The best class and how sure the model is. */
export function headline(predictions, when) {
  const [best] = predictions;
  if (!best) return [el("p", { class: "detail" }, "No scores yet")];
  const sure = best.score >= SURE;
  return [
    el("p", { class: "big" }, sure ? null : el("small", {}, "perhaps "), label(best.label)),
    el("p", { class: "detail" }, el("b", {}, percent(best.score)), ` ${when}`),
  ];
}

/** Classes of the events, where no class rules the whole video; else 0. */
function severalOf({ predictions, events }) {
  const classes = new Set(events.map((event) => event.label)).size;
  return (predictions[0]?.score ?? 0) < SURE && classes > 1 ? classes : 0;
}

/** What happens in a whole video: one class, or several by turns. */
export function summary(result) {
  const several = severalOf(result);
  if (!several) return headline(result.predictions, "on average");
  return [
    el("p", { class: "big" }, plural(result.events.length, "event")),
    el("p", { class: "detail" }, `of ${several} classes by turns. On average over the video:`),
  ];
}

/** The same in a word or two. */
export function inShort(result) {
  if (severalOf(result)) return plural(result.events.length, "event");
  const [best] = result.predictions;
  return best ? `${best.label} ${percent(best.score)}` : "no scores";
}

/** Classes with their scores as bars; drawn anew in place, so that nothing jumps. */
export class Bars {
  constructor(root, name) {
    root.classList.add("bars");
    root.setAttribute("aria-label", name);
    this.root = root;
  }

  show(predictions) {
    while (this.root.children.length > predictions.length) this.root.lastChild.remove();
    for (const [place, { label: best, score }] of predictions.entries()) {
      let row = this.root.children[place];
      if (!row) {
        row = el("li", {}, el("bdi"), el("span", { class: "value" }), el("span", { class: "bar" }, el("i")));
        this.root.append(row);
      }
      const [name, value, bar] = row.children;
      name.textContent = best;
      value.textContent = percent(score);
      bar.firstChild.style.width = `${100 * Math.min(1, Math.max(0, score))}%`;
    }
  }
}

/** The five highest scores of one window. */
export function bestOf(labels, scores) {
  return labels
    .map((name, i) => ({ label: name, score: scores[i] ?? 0 }))
    .sort((a, b) => b.score - a.score)
    .slice(0, 5);
}

/** Events as a table; `seek` makes each a button that jumps to it. */
export function eventTable(events, colours, caption, seek) {
  if (!events.length) {
    const why = "No class stayed above its threshold long enough. A lower one is set below.";
    return el("p", { class: "none" }, seek ? why : "None so far.");
  }
  const rows = events.map((event) => {
    const times = `${clock(event.start_seconds)} – ${event.end_seconds === null ? "now" : clock(event.end_seconds)}`;
    const jump = seek && el("button", { type: "button", class: "plain", "aria-label": `${times}: go to ${event.label}` }, times);
    jump?.addEventListener("click", () => seek(event.start_seconds));
    return el("tr", { class: `c${colours.get(event.label) ?? 7}` },
      el("td", { class: "when" }, jump || times),
      el("td", { class: "what" }, el("i", { class: "dot" }), el("bdi", {}, event.label)),
      el("td", { class: "num" }, percent(event.score)));
  });
  const head = el("tr", {}, el("th", { scope: "col" }, "When"), el("th", { scope: "col" }, "What"),
    el("th", { scope: "col", class: "num" }, "Score"));
  const table = el("table", {}, el("caption", { class: "unseen" }, caption), el("thead", {}, head), el("tbody", {}, ...rows));
  // A region that scrolls must be one that the keyboard reaches.
  return el("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": caption }, table);
}

/** Colour of each class, from the order of the timeline's rows. */
export const coloursOf = (order) => new Map(order.map((row) => [row.label, row.colour]));

const middleOf = (window) => (window.start_seconds + window.end_seconds) / 2;

/** How two models differ, in a sentence. */
export function comparison(a, b) {
  const [first, second] = [a.predictions[0], b.predictions[0]];
  if (!first || !second) return "";
  const said = first.label === second.label
    ? `Both give “${first.label}” the highest score: ${percent(first.score)} and ${percent(second.score)} on average.`
    : `They differ: “${first.label}” (${percent(first.score)} on average) against “${second.label}” (${percent(second.score)}).`;
  const middles = b.windows.map(middleOf);
  const same = a.windows.filter((window) => {
    const other = b.windows[nearest(middles, middleOf(window))];
    return bestOf(a.labels, window.scores)[0]?.label === bestOf(b.labels, other.scores)[0]?.label;
  });
  const share = a.windows.length ? same.length / a.windows.length : 0;
  const events = `${plural(a.events.length, "event")} against ${b.events.length}`;
  return `${said} They name the same class ${percent(share)} of the time; ${events}.`;
}
