// The camera: what it sees, what the model says now, and the last half minute.

import { Bars, coloursOf, eventTable, headline } from "./answers.js";
import { Camera } from "./camera.js";
import { byId, el, percent, show } from "./dom.js";
import { downloadButtons, factsOf } from "./file_view.js";
import { arrange, Timeline } from "./timeline.js";

const SHOWN_SECONDS = 30;
const MOST_ROWS = 5;
const MOST_WINDOWS = 36_000;
const NOTEWORTHY = 0.3;

export class LiveView {
  constructor() {
    this.camera = null;
    this.video = byId("live-video");
    this.bars = new Bars(byId("live-bars"), "The five best classes at this moment");
    this.line = new Timeline(byId("live-line"), { name: "Scores of the last 30 seconds" });
    byId("stop").addEventListener("click", () => this.camera?.stop());
    byId("again").addEventListener("click", () => this.start(this.model));
    byId("camera").addEventListener("change", () => this.start(this.model, byId("camera").value));
    byId("live-downloads").append(el("span", { class: "hint" }, "Download"),
      ...downloadButtons(() => "camera", () => this.result()));
  }

  async start(model, deviceId = null) {
    this.stop();
    Object.assign(this, { model, deviceId, labels: [], windows: [], events: [], rows: [], lag: 0, passedOver: 0 });
    this.isDrawing = false;
    byId("live-about").textContent = [model.name, factsOf(model)].filter(Boolean).join(" · ");
    byId("live-headline").replaceChildren(el("p", { class: "detail" }, "The first scores come once the model has seen enough."));
    this.bars.show([]);
    show(byId("live-problem"), false);
    show(byId("live-asleep"), true);
    byId("live-asleep").textContent = "Waiting for the camera …";
    byId("lag").textContent = "";
    this.running(true);
    this.draw();
    const camera = new Camera(this.video, model, (message) => camera === this.camera && this.heard(message),
      (problem) => camera === this.camera && this.ended(problem));
    this.camera = camera;
    await camera.start(deviceId);
    if (!camera.isOver) {
      show(byId("live-asleep"), false);
      await this.offerCameras();
    }
  }

  /** Stop without a word, as when the page shows something else. */
  stop() {
    const { camera } = this;
    this.camera = null;
    camera?.stop();
  }

  running(isRunning) {
    show(byId("stop"), isRunning);
    show(byId("again"), !isRunning);
    byId("live-line-title").textContent = isRunning ? "The last 30 seconds" : "The whole session";
    show(byId("live-downloads"), !isRunning && this.windows.length > 0);
  }

  async offerCameras() {
    const devices = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
    const current = this.video.srcObject?.getVideoTracks()[0]?.getSettings().deviceId;
    byId("camera").replaceChildren(...devices.map((one, place) =>
      el("option", { value: one.deviceId, selected: one.deviceId === current }, one.label || `Camera ${place + 1}`)));
    show(byId("camera-choice"), devices.length > 1);
  }

  heard(message) {
    if (message.type === "scores") this.addScores(message);
    if (message.type === "event") this.addEvent(message);
    if (message.type === "lag") this.passedOver = message.frames_skipped ?? this.passedOver;
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      if (this.camera) this.draw();
    });
  }

  addScores({ start_seconds, end_seconds, predictions }) {
    const scores = [];
    for (const { label, score } of predictions) {
      let index = this.labels.indexOf(label);
      if (index < 0) index = this.labels.push(label) - 1;
      scores[index] = score;
      if (score >= NOTEWORTHY || label === predictions[0].label) this.note(label);
    }
    this.windows.push({ start_seconds, end_seconds, scores });
    if (this.windows.length > MOST_WINDOWS) this.windows.shift();
    this.predictions = predictions;
    this.lag = Math.max(0, this.camera.now() - end_seconds);
  }

  /** A class gets a row, and keeps it while there is room. */
  note(label) {
    const row = this.rows.find((one) => one.label === label);
    const now = this.camera.now();
    if (row) {
      row.seen = now;
      return;
    }
    const oldest = this.rows.reduce((a, b) => (b.seen < a.seen ? b : a), this.rows[0]);
    const fresh = { label, seen: now };
    if (this.rows.length < MOST_ROWS) this.rows.push({ ...fresh, colour: this.rows.length });
    else this.rows[this.rows.indexOf(oldest)] = { ...fresh, colour: oldest.colour };
  }

  addEvent({ state, label, start_seconds, end_seconds, score }) {
    this.note(label);
    const known = this.events.find((e) => e.label === label && e.start_seconds === start_seconds);
    const fresh = { label, start_seconds, end_seconds: state === "end" ? end_seconds : null, score };
    if (known) Object.assign(known, fresh);
    else this.events.push(fresh);
  }

  draw() {
    const { windows } = this;
    const to = Math.max(SHOWN_SECONDS, windows.at(-1)?.end_seconds ?? 0);
    const from = to - SHOWN_SECONDS;
    const recent = windows.filter((w) => w.end_seconds >= from);
    // Windows of a clip model overlap: each stands for the moment at its end.
    const points = recent.map((w) => ({ ...w, start_seconds: w.end_seconds }));
    const order = this.rows.map(({ label, colour }) => ({ label, colour, hasEvents: true }));
    const last = windows.at(-1)?.end_seconds ?? 0;
    this.line.show({ labels: this.labels, windows: points, events: this.closed(last), from, to, order, isLive: true });
    this.line.at(last);
    if (windows.length) {
      byId("live-headline").replaceChildren(...headline(this.predictions, "now"));
      this.bars.show(this.predictions);
      const skipped = this.camera.skipped + this.passedOver;
      const frames = skipped ? `${skipped} of ${this.camera.sent + this.camera.skipped} frames passed over` : "no frame passed over";
      byId("lag").textContent = `Scores are ${this.lag.toFixed(1)} s behind the camera, ${frames}`;
    }
    this.drawEvents(new Map(this.rows.map((row) => [row.label, row.colour])));
  }

  drawEvents(colours) {
    const newest = [...this.events].reverse().slice(0, 50);
    const told = newest.map((e) => [e.label, colours.get(e.label), e.start_seconds, e.end_seconds, percent(e.score)]);
    const key = JSON.stringify(told);
    if (key !== this.eventsShown) {
      this.eventsShown = key;
      byId("live-events").replaceChildren(eventTable(newest, colours, "Events from the camera, newest first", null));
    }
  }

  /** Events, those that go on ending at `to`. */
  closed(to) {
    return this.events.map((e) => ({ ...e, end_seconds: e.end_seconds ?? to }));
  }

  ended(problem) {
    const to = this.windows.at(-1)?.end_seconds ?? 0;
    this.events = this.closed(to);
    this.draw();
    this.camera = null;
    this.running(false);
    byId("live-asleep").textContent = problem ? "The camera is off" : "Stopped";
    show(byId("live-asleep"), true);
    byId("live-problem").textContent = problem?.message ?? "";
    show(byId("live-problem"), problem !== null);
    if (!this.windows.length) return;
    byId("live-now").textContent = "The last moment";
    const points = this.windows.map((w) => ({ ...w, start_seconds: w.end_seconds }));
    const data = { labels: this.labels, windows: points, events: this.events };
    const order = arrange([data]);
    this.line.show({ ...data, from: this.windows[0].start_seconds, to, order });
    this.drawEvents(coloursOf(order));
  }

  /** The session in the form of a file's result, for downloads. */
  result() {
    const { labels, events, model } = this;
    const windows = this.windows.map((w) => ({ ...w, scores: labels.map((_, i) => w.scores[i] ?? null) }));
    const duration_seconds = this.windows.at(-1)?.end_seconds ?? 0;
    return { model: model.name, duration_seconds, labels, windows, events };
  }
}
