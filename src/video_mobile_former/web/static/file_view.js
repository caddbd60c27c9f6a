// One video: it plays, and what one model or two say of it stands beside and below.

import { arrange, Timeline } from "./timeline.js";
import { Attention } from "./attention.js";
import { Bars, bestOf, coloursOf, comparison, eventTable, summary } from "./answers.js";
import { byId, clock, el, length, nearest, percent, plural, short, show, wait } from "./dom.js";
import { saveResult } from "./downloads.js";

const KINDS = [
  ["json", "JSON", "All scores and events as JSON"],
  ["csv", "CSV", "Events as CSV"],
  ["vtt", "WebVTT", "Events as WebVTT subtitles"],
];

/** Buttons that save a result. */
export function downloadButtons(name, resultOf) {
  return KINDS.map(([kind, text, words]) => {
    const button = el("button", { type: "button", class: "plain", "aria-label": `Download: ${words}`, title: words }, text);
    button.addEventListener("click", () => saveResult(kind, name(), resultOf()));
    return button;
  });
}

/** Cost and length of a model, in a few words. */
export function factsOf(model) {
  if (!model) return "";
  const facts = [];
  if (model.parameters) facts.push(`${short(model.parameters)} parameters`);
  if (model.macs_per_view) facts.push(`${short(model.macs_per_view)} MACs a window`);
  return facts.join(", ");
}

export class FileView {
  /** @param {{cancel: (run) => void, retry: (run) => void}} acts */
  constructor(acts) {
    this.acts = acts;
    this.video = byId("video");
    this.overlay = byId("overlay");
    this.entry = null;
    this.parts = [];
    this.token = null;
    this.clockNow = 0;
    const tick = () => this.moment();
    for (const name of ["timeupdate", "seeked", "loadedmetadata"]) this.video.addEventListener(name, tick);
    this.video.addEventListener("play", () => this.follow());
    this.video.addEventListener("error", () => this.unplayable());
    // A file whose sound alone the browser knows has no picture.
    this.video.addEventListener("loadeddata", () => this.video.videoWidth === 0 && this.unplayable());
    byId("look").addEventListener("change", () => this.look());
    new ResizeObserver(() => this.drawAttention()).observe(this.overlay.parentElement);
  }

  /** Show a video and the runs of its models, done or not. */
  show(entry, runs) {
    if (entry !== this.entry) this.load(entry);
    this.runs = runs;
    byId("name").textContent = entry.file.name;
    this.draw();
  }

  load(entry) {
    this.leave();
    this.entry = entry;
    this.clockNow = 0;
    show(byId("unplayable"), false);
    show(this.video.parentElement, true);
    this.video.src = entry.url;
    this.video.muted = true;
    this.video.loop = false;
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.video.play().catch(() => {});
  }

  /** Forget the video; nothing plays on unseen. */
  leave() {
    this.entry = null;
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }

  unplayable() {
    if (!this.entry || !this.video.hasAttribute("src")) return;
    show(this.video.parentElement, false);
    const note = byId("unplayable");
    note.textContent =
      "This browser cannot play the file. The model reads it all the same: scores and events below are whole, and the timeline can still be walked through.";
    show(note, true);
    show(byId("tokens"), false);
  }

  get isPlayable() {
    return !this.video.parentElement.hidden;
  }

  get seconds() {
    return this.isPlayable ? this.video.currentTime : this.clockNow;
  }

  seek(seconds) {
    this.clockNow = seconds;
    if (this.isPlayable) this.video.currentTime = seconds;
    this.moment();
  }

  draw() {
    const several = this.runs.length > 1;
    const results = this.runs.map((run) => run.result).filter(Boolean);
    this.order = arrange(results);
    this.parts = this.runs.map((run, place) => this.part(run, several, place));
    byId("stage").classList.toggle("several", several);
    byId("answers").replaceChildren(...this.parts.map((part) => part.answer));
    byId("lines").replaceChildren(...this.parts.flatMap((part) => part.line ?? []));
    byId("tables").replaceChildren(...this.parts.flatMap((part) => part.table ?? []));
    byId("tables").classList.toggle("single", this.parts.length < 2);
    show(byId("settings"), results.length > 0);
    const verdict = byId("comparison");
    show(verdict, results.length === 2);
    if (results.length === 2) verdict.textContent = comparison(...results);
    const [first] = results;
    const facts = first ? [length(first.duration_seconds), plural(first.windows.length, "window")] : [];
    if (!several) facts.push(this.runs[0].model.name, factsOf(this.runs[0].model));
    byId("about").textContent = facts.filter(Boolean).join(" · ");
    this.offerTokens();
    this.moment();
  }

  /** What stands for one run: its answer, its timeline, its events. */
  part(run, several, place) {
    const title = several ? run.model.name : "The whole video";
    const head = el("h2", {}, el("bdi", {}, title));
    const answer = el("section", { class: "panel answer", "aria-label": title }, head);
    if (several) answer.append(el("p", { class: "hint" }, factsOf(run.model)));
    if (!run.result) {
      answer.append(...(run.problem ? this.failed(run) : this.working(run)));
      return { answer, run };
    }
    const { result } = run;
    const now = el("p", { class: "at-now" });
    const bars = el("ol");
    new Bars(bars, "The five best classes").show(result.predictions);
    answer.append(el("div", { class: "headline" }, ...summary(result)), bars, now);

    const from = 0;
    const last = result.windows.at(-1)?.end_seconds ?? 0;
    const to = Math.max(result.duration_seconds || 0, last) || 1;
    const body = el("div");
    const line = new Timeline(body, {
      name: several ? `Scores of ${run.model.name} over time` : "Scores over time",
      seek: (seconds) => this.seek(seconds),
      slider: place === 0,
    });
    line.show({ ...result, from, to, order: this.order });
    const words = several ? run.model.name : "Over time";
    const buttons = downloadButtons(() => this.entry.file.name, () => result);
    const tools = el("div", { class: "buttons downloads", role: "group", "aria-label": `Download results of ${run.model.name}` },
      el("span", { class: "hint" }, "Download"), ...buttons);
    const hint = place === 0 ? el("p", { class: "hint" }, "A curve is the score of a class; click it to go to that moment. A bar is an event; click it to go to its begin.") : null;
    const panel = el("section", { class: "panel line" },
      el("div", { class: "head" }, el("h2", {}, el("bdi", {}, words)), tools), hint, body);
    const table = el("section", { class: "panel" },
      el("h2", {}, plural(result.events.length, "event"), several ? el("small", {}, " · ", el("bdi", {}, run.model.name)) : null),
      eventTable(result.events, coloursOf(this.order), `Events of ${run.model.name}`, (seconds) => this.seek(seconds)));
    const middles = result.windows.map((w) => (w.start_seconds + w.end_seconds) / 2);
    return { answer, run, line: panel, timeline: line, table, now, middles };
  }

  working(run) {
    const words = el("p", { class: "step" }, stepWords(run));
    const bar = el("progress", { max: 1, "aria-label": `Progress of ${run.model.name}` });
    const share = run.step?.share;
    const button = el("button", { type: "button", class: "cancel" }, "Cancel");
    button.addEventListener("click", () => this.acts.cancel(run));
    run.shown = { words, bar };
    this.progress(run);
    return [words, bar, button];
  }

  failed(run) {
    const button = el("button", { type: "button" }, "Try again");
    button.addEventListener("click", () => this.acts.retry(run));
    return [el("p", { class: "refused", role: "alert" }, run.problem.message), button];
  }

  /** Progress of a run that is on the page; nothing is drawn anew. */
  progress(run) {
    if (!run.shown) return;
    run.shown.words.textContent = stepWords(run);
    const { step, share = 0 } = run.step ?? {};
    // Without a value the bar moves back and forth: how long it takes is not known.
    if (share > 0 && step !== "waiting" && step !== "busy") run.shown.bar.value = share;
    else run.shown.bar.removeAttribute("value");
  }

  /** While the video plays: every picture. */
  follow() {
    const next = this.video.requestVideoFrameCallback
      ? (then) => this.video.requestVideoFrameCallback(then)
      : (then) => requestAnimationFrame(then);
    const step = () => {
      this.moment();
      if (!this.video.paused && this.entry) next(step);
    };
    next(step);
  }

  /** Everything that depends on where the video is. */
  moment() {
    const { seconds } = this;
    for (const { timeline, run, now, middles } of this.parts) {
      if (!timeline) continue;
      timeline.at(seconds);
      const window = run.result.windows[nearest(middles, seconds)];
      if (!window) continue;
      const [best] = bestOf(run.result.labels, window.scores);
      now.replaceChildren(`At ${clock(seconds)}: `, el("b", {}, el("bdi", {}, best.label)), ` ${percent(best.score)}`);
    }
    this.drawAttention();
  }

  offerTokens() {
    const shown = this.parts.find((part) => part.run.result?.attention);
    show(byId("tokens"), Boolean(shown) && this.isPlayable);
    const result = shown?.run.result ?? null;
    if (this.attentionOf === result) return;
    this.attentionOf = result;
    this.attention = result ? new Attention(result.attention) : null;
    this.token = null;
    if (!this.attention) return;
    const chips = [null, ...Array(this.attention.tokens).keys()].map((token) => {
      const radio = el("input", { type: "radio", name: "token", checked: token === null });
      radio.addEventListener("change", () => {
        this.token = token;
        this.drawAttention();
      });
      const words = token === null ? "All tokens" : String(token + 1);
      return el("label", { class: "chip" }, radio, el("span", { "aria-label": token === null ? words : `Token ${words}` }, words));
    });
    const of = this.runs.length > 1 ? ` of ${shown.run.model.name}` : "";
    byId("token-choice").replaceChildren(el("legend", { class: "unseen" }, `Token${of}`), ...chips);
    this.look();
  }

  look() {
    const isOn = byId("look").checked && Boolean(this.attention);
    for (const id of ["overlay", "token-choice", "tokens-hint"]) show(byId(id), isOn);
    this.drawAttention();
  }

  drawAttention() {
    if (!this.overlay.hidden && this.attention && this.isPlayable) {
      this.attention.draw(this.overlay, this.video, this.token);
    }
  }
}

/** What happens to a file, in words. */
export function stepWords(run) {
  const { step = "queued", share = 0, seconds = null } = run.step ?? {};
  const left = typeof seconds === "number" ? `, ${wait(seconds)} left` : "";
  switch (step) {
    case "queued": return "Waits for the video before it";
    case "sending": return share >= 1 ? "Sent; the service looks at it" : `Sending, ${percent(share)}`;
    case "busy": return `The service is busy; it is asked again in ${wait(seconds)}`;
    case "waiting": return "Waits for its turn on the service";
    default: return share > 0 ? `Reading and recognising, ${percent(share)}${left}` : "Reading and recognising";
  }
}
