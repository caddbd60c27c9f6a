// Scores over time: a row for each class, its score as a curve, its events as bars.

import { clock, el, nearest, percent, svg } from "./dom.js";

const WIDTH = 1000;
const HEIGHT = 100;
const MOST_POINTS = 1200;
const FEW_ROWS = 5;
const COLOURS = 8;

/** What a timeline draws. Windows rise in time; a score may be null where it is not known.
 * @typedef {{start_seconds: number, end_seconds: number, scores: (number|null)[]}} Window
 * @typedef {{label: string, start_seconds: number, end_seconds: number, score: number}} Event
 */

/**
 * The order of rows, and the colour of each class: 0 to 7. Classes with events come first, then
 * those that score high; of several results the same order, so that they can be compared.
 * @param {{labels: string[], windows: Window[], events: Event[]}[]} results
 */
export function arrange(results) {
  const rows = new Map();
  const row = (label) => {
    if (!rows.has(label)) rows.set(label, { label, seconds: 0, highest: 0 });
    return rows.get(label);
  };
  for (const { labels, windows, events } of results) {
    for (const [i, label] of labels.entries()) {
      const one = row(label);
      for (const { scores } of windows) one.highest = Math.max(one.highest, scores[i] ?? 0);
    }
    for (const { label, start_seconds, end_seconds } of events) {
      row(label).seconds += Math.max(0.01, end_seconds - start_seconds);
    }
  }
  const all = [...rows.values()].sort((a, b) => b.seconds - a.seconds || b.highest - a.highest);
  return all.map((one, place) => ({ label: one.label, colour: place % COLOURS, hasEvents: one.seconds > 0 }));
}

export class Timeline {
  /**
   * @param {HTMLElement} root  is filled
   * @param {{name: string, seek?: (seconds: number) => void, slider?: boolean}} options
   *   `name` for screen readers; without `seek` nothing can be clicked, as in live video
   */
  constructor(root, { name, seek = null, slider = false }) {
    this.seek = seek;
    this.rows = [];
    this.isWhole = false;
    this.body = el("div", { class: "rows" });
    this.slider = el("input", {
      type: "range", min: 0, max: 1, step: "any", value: 0, class: "position",
      "aria-label": "Position in the video",
    });
    this.slider.addEventListener("input", () => seek(this.from + Number(this.slider.value)));
    this.ticks = el("div", { class: "ticks", "aria-hidden": "true" });
    this.axis = el("div", { class: "axis" }, seek && slider ? this.slider : null, this.ticks);
    this.more = el("button", { type: "button", class: "plain more" });
    this.more.addEventListener("click", () => {
      this.isWhole = !this.isWhole;
      this.draw();
    });
    root.classList.add("timeline");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", name);
    root.replaceChildren(this.body, this.axis, this.more);
    this.root = root;
    this.from = 0;
    this.to = 1;
  }

  /**
   * Draw.
   * @param {{labels: string[], windows: Window[], events: Event[], from: number, to: number,
   *   order: {label: string, colour: number, hasEvents: boolean}[], isLive?: boolean}} data
   *   `order` is of `arrange`; live times are of the last seconds, and no row is kept back
   */
  show(data) {
    this.data = data;
    this.from = data.from;
    this.to = Math.max(data.to, data.from + 0.1);
    this.order = data.order;
    this.middles = data.windows.map((w) => (w.start_seconds + w.end_seconds) / 2);
    this.slider.max = this.to - this.from;
    this.draw();
  }

  draw() {
    const withEvents = this.order.filter((row) => row.hasEvents).length;
    const few = Math.max(FEW_ROWS, Math.min(withEvents, 2 * FEW_ROWS));
    const shown = this.isWhole ? this.order : this.order.slice(0, few);
    this.rows = shown.map((row) => this.row(row));
    this.body.replaceChildren(...this.rows.map((row) => row.node));
    this.more.hidden = this.order.length <= few || this.data.isLive === true;
    this.more.textContent = this.isWhole ? "Fewer classes" : `All ${this.order.length} classes`;
    this.more.setAttribute("aria-expanded", String(this.isWhole));
    this.drawTicks();
    this.at(this.now ?? this.from);
  }

  row({ label, colour }) {
    const index = this.data.labels.indexOf(label);
    const highest = this.data.windows.reduce((most, w) => Math.max(most, w.scores[index] ?? 0), 0);
    const told = index < 0 ? "" : `, highest score ${percent(highest)}`;
    const curve = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    if (index >= 0) this.curve(curve, index);
    const track = el("div", { class: "track" }, curve, ...this.events(label), el("i", { class: "playhead" }));
    if (this.seek) {
      track.classList.add("seekable");
      track.addEventListener("click", (event) => {
        const box = track.getBoundingClientRect();
        this.seek(this.from + ((event.clientX - box.left) / box.width) * (this.to - this.from));
      });
    }
    const value = el("span", { class: "now" });
    const name = el("span", { class: "name", title: label }, el("bdi", {}, label));
    const node = el("div", { class: `row c${colour}`, role: "group", "aria-label": label + told }, name, track, value);
    return { node, index, value };
  }

  curve(curve, index) {
    const { windows } = this.data;
    const x = (seconds) => (WIDTH * (seconds - this.from)) / (this.to - this.from);
    let points = windows.map((w, i) => [x(this.middles[i]), w.scores[index]]);
    // The ends of the first and the last window belong to them as well.
    if (points.length) {
      points.unshift([x(windows[0].start_seconds), points[0][1]]);
      points.push([x(windows.at(-1).end_seconds), points.at(-1)[1]]);
    }
    if (points.length > MOST_POINTS) points = highestOf(points);
    let line = "";
    let area = "";
    let isOpen = false;
    let last = 0;
    for (const [at, score] of points) {
      if (score === null || score === undefined) {
        if (isOpen) area += `L${last} ${HEIGHT}Z`;
        isOpen = false;
        continue;
      }
      const place = `${at.toFixed(1)} ${(HEIGHT * (1 - score)).toFixed(1)}`;
      area += isOpen ? `L${place}` : `M${at.toFixed(1)} ${HEIGHT}L${place}`;
      line += `${isOpen ? "L" : "M"}${place}`;
      last = at.toFixed(1);
      isOpen = true;
    }
    if (isOpen) area += `L${last} ${HEIGHT}Z`;
    curve.append(svg("path", { class: "area", d: area }), svg("path", { class: "line", d: line }));
  }

  events(label) {
    const span = this.to - this.from;
    const mine = this.data.events.filter((e) => e.label === label && e.end_seconds > this.from);
    const nodes = mine.map((event, place) => {
      const words = `${label}, ${clock(event.start_seconds)} to ${clock(event.end_seconds)}, ${percent(event.score)}`;
      const node = this.seek
        ? el("button", { type: "button", class: "event", title: words, "aria-label": words, tabIndex: place ? -1 : 0 })
        : el("span", { class: "event", title: words });
      const start = Math.max(this.from, event.start_seconds);
      node.style.left = `${(100 * (start - this.from)) / span}%`;
      node.style.width = `${(100 * (Math.min(this.to, event.end_seconds) - start)) / span}%`;
      if (this.seek) {
        node.addEventListener("click", (click) => {
          // The upper half is the curve's: there, as anywhere on the track, a click means its place.
          const box = node.getBoundingClientRect();
          if (click.detail > 0 && click.clientY < box.top + box.height / 2) return;
          click.stopPropagation();
          this.seek(event.start_seconds);
        });
      }
      return node;
    });
    // One stop of the Tab key a row; arrows go from event to event.
    for (const [place, node] of nodes.entries()) {
      node.addEventListener("keydown", (key) => {
        const wanted = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: nodes.length - 1 }[key.key];
        if (wanted === undefined || !nodes[wanted]) return;
        key.preventDefault();
        for (const other of nodes) other.tabIndex = -1;
        nodes[wanted].tabIndex = 0;
        nodes[wanted].focus();
      });
    }
    return nodes;
  }

  drawTicks() {
    const span = this.to - this.from;
    const steps = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600];
    const step = steps.find((s) => span / s <= 6.5) ?? 86400;
    const nodes = [];
    for (let at = Math.ceil(this.from / step) * step; at <= this.to + 1e-6; at += step) {
      const node = el("span", {}, this.data.isLive ? `${Math.round(at)} s` : clock(at).replace(/\.0$/, ""));
      const share = (at - this.from) / span;
      node.style.left = `${100 * share}%`;
      if (share > 0.97) node.classList.add("last");
      if (share < 0.03) node.classList.add("first");
      nodes.push(node);
    }
    this.ticks.replaceChildren(...nodes);
  }

  /** Move the playhead, and the scores beside the rows. */
  at(seconds) {
    this.now = seconds;
    const place = Math.min(1, Math.max(0, (seconds - this.from) / (this.to - this.from)));
    this.root.style.setProperty("--at", String(place));
    this.slider.value = String(seconds - this.from);
    this.slider.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(this.to)}`);
    if (!this.data?.windows.length) return;
    const { scores } = this.data.windows[nearest(this.middles, seconds)];
    for (const { index, value } of this.rows) {
      const score = scores[index];
      value.textContent = score === undefined || score === null ? "–" : percent(score);
    }
  }
}

/** Fewer points, the highest of each stretch, so that no peak is lost. */
function highestOf(points) {
  const size = Math.ceil(points.length / MOST_POINTS);
  const kept = [];
  for (let start = 0; start < points.length; start += size) {
    kept.push(points.slice(start, start + size).reduce((a, b) => ((b[1] ?? -1) > (a[1] ?? -1) ? b : a)));
  }
  return kept;
}
