// The page: which videos there are, which models look at them, and what is shown.

import { asking, findEvents, models, Problem, useToken } from "./api.js";
import { inShort } from "./answers.js";
import { byId, bytes, el, plural, show } from "./dom.js";
import { FileView, factsOf, stepWords } from "./file_view.js";
import { LiveView } from "./live_view.js";

const FEW_CLASSES = 16;

/**
 * A video that was dropped, and its runs: one a model and settings.
 * @typedef {{file: File, url: string, runs: Map<string, Run>}} Entry
 * @typedef {{entry: Entry, model: Object, step: Object|null, result: Object|null,
 *   problem: Problem|null, stopping: AbortController}} Run
 */

const state = {
  models: [],
  limits: {},
  /** @type {Entry[]} */
  entries: [],
  entry: null,
  other: "",
  settings: {},
  isBusy: false,
  queue: [],
};
const files = new FileView({ cancel, retry });
const live = new LiveView();

// ---- Views

function view(name) {
  for (const id of ["start", "seen", "live"]) show(byId(id), id === name);
  if (name !== "seen") files.leave();
  if (name !== "live") live.stop();
  if (name === "start") document.title = "Video Mobile-Former";
}

const focus = (id) => byId(id).querySelector("h1").focus({ preventScroll: true });

function goHome() {
  state.entry = null;
  refuse(null);
  view("start");
  drawVideos();
  focus("start");
}

function say(text) {
  byId("said").textContent = text;
}

// ---- Models

const currentModel = () => state.models[byId("model").selectedIndex] ?? null;

async function loadModels() {
  try {
    const answer = await models();
    state.models = answer.models;
    state.limits = answer.limits ?? {};
  } catch (error) {
    byId("knows-hint").textContent = "The service did not say.";
    refuse({ message: error.message, again: loadModels });
    return;
  }
  refuse(null);
  const options = () => state.models.map(({ name }) => el("option", { value: name }, name));
  byId("model").replaceChildren(...options());
  show(byId("model-choice"), state.models.length > 1);
  byId("limits").textContent = limitWords();
  drawModel();
}

function limitWords() {
  const most = [];
  if (state.limits.bytes) most.push(bytes(state.limits.bytes));
  if (state.limits.seconds) most.push(`${Math.round(state.limits.seconds / 60)} minutes`);
  const upTo = most.length ? `, up to ${most.join(" and ")}` : "";
  return `MP4, MOV, WebM, MKV, AVI and more${upTo}. Several at once are looked at in turn.`;
}

function drawModel() {
  const model = currentModel();
  if (!model) return;
  const { classes } = model;
  const several = model.multi_label ? "; several may hold at once" : "";
  byId("knows-hint").replaceChildren(el("bdi", {}, model.name), ` knows ${classes.length === 1 ? "1 class" : `${classes.length} classes`}${several}. ${factsOf(model)}`);
  const all = byId("knows-all");
  const draw = (whole) => {
    const names = whole ? classes : classes.slice(0, FEW_CLASSES);
    byId("knows").replaceChildren(...names.map((name) => el("li", {}, el("bdi", {}, name))));
    all.textContent = whole ? "Fewer" : `All ${classes.length}`;
    all.setAttribute("aria-expanded", String(whole));
    all.onclick = () => draw(!whole);
  };
  draw(false);
  show(all, classes.length > FEW_CLASSES);
  const place = new URL(`v1/predict?model=${encodeURIComponent(model.name)}`, document.baseURI);
  byId("curl").textContent = `curl -F file=@clip.mp4 \\\n  '${place.href.replaceAll("'", "%27")}'`;
  const others = state.models.filter((one) => one !== model);
  if (!others.some(({ name }) => name === state.other)) state.other = "";
  byId("other").replaceChildren(el("option", { value: "" }, "no other model"),
    ...others.map(({ name }) => el("option", { value: name, selected: name === state.other }, name)));
  show(byId("other-choice"), others.length > 0);
}

// ---- Videos

function take(list) {
  const given = [...list];
  if (!given.length) return;
  if (!state.models.length) {
    refuse({ message: "The service has not answered yet, so no model can look at it.", again: loadModels });
    return;
  }
  const entries = given.map((file) => ({ file, url: URL.createObjectURL(file), runs: new Map() }));
  state.entries.push(...entries);
  const model = currentModel();
  for (const entry of entries) runOf(entry, model);
  look(entries[0]);
}

const keyOf = (model) => JSON.stringify([model.name, state.settings]);

/** The run of a model on a video with the settings of now; begun if there is none. */
function runOf(entry, model) {
  const key = keyOf(model);
  let run = entry.runs.get(key);
  if (!run) {
    run = { entry, model, step: null, result: null, problem: null, stopping: new AbortController() };
    entry.runs.set(key, run);
    state.queue.push({ run, key, settings: state.settings });
    work();
  }
  return run;
}

function shownRuns(entry) {
  const other = state.models.find(({ name }) => name === state.other);
  return [currentModel(), ...(other ? [other] : [])].map((model) => runOf(entry, model));
}

/** One run at a time: the service is not asked for more than one person needs. */
async function work() {
  if (state.isBusy) return;
  state.isBusy = true;
  while (state.queue.length) await carryOut(state.queue.shift());
  state.isBusy = false;
}

async function carryOut({ run, key, settings }) {
  if (run.stopping.signal.aborted) return;
  try {
    const { bytes: most } = state.limits;
    if (most && run.entry.file.size > most) {
      throw new Problem(413, `It has ${bytes(run.entry.file.size)}; this service takes ${bytes(most)} at most.`);
    }
    const query = { model: run.model.name, ...settings };
    if (run.model.attention) query.attention = "true";
    run.result = await findEvents(run.entry.file, query, run.stopping.signal, (step) => {
      const isNew = run.step?.step !== step.step;
      run.step = step;
      if (state.entry === run.entry) files.progress(run);
      if (isNew) drawVideos();
    });
  } catch (error) {
    if (error.name === "AbortError") {
      forget(run, key);
      return;
    }
    run.problem = error instanceof Problem ? error : new Problem(0, `This page failed: ${error.message}`);
  }
  run.step = null;
  run.shown = null;
  drawVideos();
  if (state.entry !== run.entry) return;
  draw();
  if (run.result) {
    say(`Done: ${inShort(run.result)}, ${plural(run.result.events.length, "event")} in all`);
  }
}

function cancel(run) {
  run.stopping.abort();
  const waiting = state.queue.find((one) => one.run === run);
  if (waiting) forget(run, waiting.key);
}

function forget(run, key) {
  const { entry } = run;
  entry.runs.delete(key);
  state.queue = state.queue.filter((one) => one.run !== run);
  if (run.model.name === state.other) {
    state.other = "";
    drawModel();
  }
  const rest = [...entry.runs.values()].some((one) => !one.problem);
  if (!rest) {
    state.entries = state.entries.filter((one) => one !== entry);
    URL.revokeObjectURL(entry.url);
  }
  say("Cancelled");
  if (state.entry !== entry) drawVideos();
  else if (rest) {
    // Back to the model that has a result.
    const done = [...entry.runs.values()].find((one) => !one.problem);
    byId("model").value = done.model.name;
    drawModel();
    draw();
  } else goHome();
}

function retry(run) {
  for (const [key, one] of run.entry.runs) if (one === run) run.entry.runs.delete(key);
  look(run.entry);
}

function look(entry) {
  state.entry = entry;
  draw();
  focus(byId("seen").hidden ? "start" : "seen");
  scrollTo({ top: 0 });
}

function draw() {
  const { entry } = state;
  if (!entry) return;
  const runs = shownRuns(entry);
  const failed = runs.every((run) => run.problem);
  if (failed) {
    const [{ problem }] = runs;
    view("start");
    const again = problem.status === 0 || problem.status >= 500 ? () => retry(runs[0]) : null;
    refuse({ name: entry.file.name, message: problem.message, again });
  } else {
    view("seen");
    refuse(null);
    document.title = `${entry.file.name} · Video Mobile-Former`;
    files.show(entry, runs);
  }
  drawVideos();
}

/** The videos of this session, once there are two. */
function drawVideos() {
  const { entries } = state;
  const list = byId("videos");
  show(list, entries.length > 1 && byId("live").hidden);
  list.replaceChildren(...entries.map((entry) => {
    const [run] = [...entry.runs.values()].reverse();
    const words = run?.problem ? "not read" : run?.result ? inShort(run.result) : stepWords(run ?? {}).split(/[,;]/)[0];
    const button = el("button", { type: "button", class: run?.problem ? "video failed" : "video", "aria-current": String(entry === state.entry) },
      el("bdi", {}, entry.file.name), el("small", {}, el("bdi", {}, words)));
    button.addEventListener("click", () => look(entry));
    return button;
  }));
}

/** Say in the place where videos are dropped why one was not taken; null takes it back. */
function refuse(why) {
  const place = byId("refused");
  show(place, why !== null);
  byId("drop").classList.toggle("has-refused", why !== null);
  if (why === null) {
    place.replaceChildren();
    return;
  }
  const { name = null, message, again = null } = why;
  const head = name === null ? null : el("p", {}, el("b", {}, el("bdi", {}, name), " was not recognised"));
  const button = again && el("button", { type: "button" }, "Try again");
  button?.addEventListener("click", again);
  const reason = name !== null && message.startsWith(`${name}: `) ? message.slice(name.length + 2) : message;
  place.replaceChildren(...[head, el("p", {}, reason), button].filter(Boolean));
}

// ---- Camera

function useCamera() {
  if (!currentModel()) {
    refuse({ message: "The service has not answered yet, so no model can look.", again: loadModels });
    return;
  }
  state.entry = null;
  view("live");
  drawVideos();
  document.title = "Camera · Video Mobile-Former";
  focus("live");
  byId("live-now").textContent = "At this moment";
  live.start(currentModel());
}

// ---- What people do

byId("choose").addEventListener("click", () => byId("file").click());
byId("another").addEventListener("click", () => byId("file").click());
byId("leave").addEventListener("click", goHome);
byId("use-camera").addEventListener("click", useCamera);
byId("to-camera").addEventListener("click", useCamera);
byId("home").addEventListener("click", (event) => {
  event.preventDefault();
  goHome();
});
byId("file").addEventListener("change", () => {
  take(byId("file").files);
  // The same file may be chosen again.
  byId("file").value = "";
});
byId("model").addEventListener("change", () => {
  drawModel();
  if (!byId("live").hidden) live.start(currentModel());
  else draw();
});
byId("other").addEventListener("change", () => {
  state.other = byId("other").value;
  draw();
});
byId("settings-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = [...new FormData(event.target)].filter(([, value]) => value !== "");
  state.settings = Object.fromEntries(given);
  draw();
});

// A file may be dropped anywhere; the browser would open it in place of the page.
let inside = 0;
const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
function over(isOver) {
  byId("drop").classList.toggle("over", isOver);
  show(byId("over"), isOver && byId("start").hidden);
}
addEventListener("dragenter", (event) => {
  if (!holdsFiles(event)) return;
  inside += 1;
  over(true);
});
addEventListener("dragleave", (event) => {
  if (!holdsFiles(event)) return;
  inside = Math.max(0, inside - 1);
  if (!inside) over(false);
});
addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  inside = 0;
  over(false);
  take(event.dataTransfer.files);
});

// ---- Token

let question = null;
asking.token = (wasWrong) => {
  question ??= new Promise((resolve) => {
    const dialog = byId("ask");
    show(byId("ask-wrong"), wasWrong);
    byId("token").value = "";
    dialog.onclose = () => {
      const value = byId("token").value.trim();
      question = null;
      const isGiven = dialog.returnValue === "ok" && value !== "";
      if (isGiven) useToken(value);
      resolve(isGiven);
    };
    dialog.returnValue = "cancel";
    dialog.showModal();
  });
  return question;
};

// ---- Colours

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

function drawTheme() {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
}

byId("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // Kept for this page only.
  }
  drawTheme();
});
system.addEventListener("change", drawTheme);
drawTheme();

// ---- Start

loadModels();
