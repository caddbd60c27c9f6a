// The page: a file or the camera in, scores out. What computes them is recognise.js.

import { load } from "./recognise.js";

const FEW_CLASSES = 40;
const element = (id) => document.getElementById(id);
const video = element("video");
let model = null;
let running = null; // of model.stream
let looking = null; // AbortController of what is shown
let objectUrl = null;

element("as-file").hidden = location.protocol !== "file:";
start();

async function start() {
  try {
    model = await load({
      onProgress: ({ loaded, total }) => {
        element("loading-bar").value = loaded / total;
        element("loading-text").textContent = loaded < total
          ? `Loading the model: ${megabytes(loaded)} of ${megabytes(total)} MB`
          : "Starting the runtime and checking a stored answer …";
      },
    });
  } catch (error) {
    element("loading").hidden = true;
    refuse(`The model cannot run here: ${error.message}.`);
    return;
  }
  element("loading").hidden = true;
  element("drop").hidden = false;
  describe();
  element("choose").onclick = element("another").onclick = () => element("file").click();
  element("use-camera").onclick = element("to-camera").onclick = useCamera;
  element("stop").onclick = stopCamera;
  element("file").onchange = () => {
    const [file] = element("file").files;
    element("file").value = "";
    if (file) useFile(file);
  };
  takeDrops();
  video.addEventListener("play", follow);
  document.documentElement.dataset.ready = "yes";
}

function describe() {
  const { config, backend, labels } = model;
  const threads = backend.threads > 1 ? `${backend.threads} threads` : "one thread";
  const where = backend.name === "webgpu" ? "WebGPU" : `WebAssembly, ${threads}`;
  const notes = [backend.note, isolation(backend)].filter(Boolean);
  element("backend").textContent = `${where}; a stored answer was reproduced in ${milliseconds(backend.milliseconds)}.`
    + `${notes.map((note) => ` ${note}.`).join("")}`;
  const kind = config.stream ? "step by step" : `${config.clip.num_frames} frames a clip`;
  const licence = config.model_info.license ? ` Licence of the weights: ${config.model_info.license}.` : "";
  element("about").textContent = `Model: ${config.architecture.class}, ${(config.parameters / 1e6).toFixed(2)} M parameters, ${kind}, `
    + `${config.clip.crop_size} × ${config.clip.crop_size} pixels.${licence}`;
  element("knows").hidden = false;
  showClasses(labels.slice(0, FEW_CLASSES));
  const rest = labels.length - FEW_CLASSES;
  const all = element("all-classes");
  all.hidden = rest <= 0;
  all.textContent = `Show ${rest} more`;
  all.onclick = () => {
    showClasses(labels);
    all.hidden = true;
  };
}

function isolation(backend) {
  if (backend.name === "webgpu" || globalThis.crossOriginIsolated || !(navigator.hardwareConcurrency > 1)) return null;
  return "The server sends no headers for threads, see HOSTING.md";
}

function showClasses(labels) {
  element("classes").replaceChildren(...labels.map((label) => {
    const item = document.createElement("li");
    item.textContent = label;
    return item;
  }));
}

// A file

async function useFile(file) {
  const signal = begin(file.name);
  objectUrl = URL.createObjectURL(file);
  video.srcObject = null;
  video.controls = true;
  video.muted = true;
  video.src = objectUrl;
  element("whole").hidden = false;
  element("whole-hint").textContent = "Reading frames …";
  element("player-hint").textContent = "Play it to follow the scores as they change.";
  try {
    const found = await model.predict(file, {
      signal,
      onFrame: (done, total) => {
        element("whole-hint").textContent = done < total
          ? `Reading frames: ${done} of ${total}`
          : "Computing …";
      },
    });
    if (signal.aborted) return;
    showScores("whole-scores", found.predictions);
    const short = found.padded ? " The video is shorter than one clip of the model: its last frame was repeated." : "";
    element("whole-hint").textContent = `${found.numFrames} frames, ${milliseconds(found.milliseconds)} to compute.${short}`;
  } catch (error) {
    if (signal.aborted) return;
    leave();
    refuse(`${file.name}: ${error.message}.`);
  }
}

function follow() {
  if (!model || video.srcObject || running) return;
  element("now").hidden = false;
  run();
}

// The camera

async function useCamera() {
  const signal = begin("Camera");
  element("whole").hidden = true;
  element("now").hidden = false;
  element("now-hint").textContent = "Waiting for the camera …";
  let stream;
  try {
    if (!navigator.mediaDevices) throw new Error("this page has no camera: it must come from https:// or localhost");
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: { ideal: "environment" }, width: { ideal: 640 }, height: { ideal: 480 } },
      audio: false,
    });
  } catch (error) {
    if (signal.aborted) return;
    leave();
    refuse(`No camera: ${cameraReason(error)}.`);
    return;
  }
  if (signal.aborted) {
    release(stream);
    return;
  }
  stream.getVideoTracks()[0].onended = () => {
    if (video.srcObject !== stream) return;
    stopCamera();
    refuse("The camera was taken away.");
  };
  video.controls = false;
  video.muted = true;
  video.srcObject = stream;
  element("stop").hidden = false;
  element("to-camera").hidden = true;
  element("player-hint").textContent = "";
  run();
  video.play().catch(() => {});
}

function stopCamera() {
  leave();
  element("use-camera").focus();
}

function run() {
  const begun = performance.now();
  let windows = 0;
  element("now-hint").textContent = model.isStreaming ? "Watching …" : "Gathering the first window …";
  running = model.stream(video, (scores) => {
    windows += 1;
    showScores("now-scores", scores.predictions);
    const missed = scores.passedOver > 0
      ? `; this device scores ${windows} of ${windows + scores.passedOver} windows`
      : "";
    const rate = windows / Math.max(0.001, (performance.now() - begun) / 1000);
    element("now-hint").textContent = `${milliseconds(scores.milliseconds)} a window, ${rate.toFixed(1)} answers a second${missed}`;
  }, {
    onError: (error) => {
      leave();
      refuse(`The model failed: ${error.message}.`);
    },
  });
}

// What both share

function begin(name) {
  leave();
  element("refused").hidden = true;
  element("drop").hidden = true;
  element("seen").hidden = false;
  element("now").hidden = true;
  element("seen-title").textContent = name;
  element("seen-title").focus();
  element("stop").hidden = true;
  element("to-camera").hidden = false;
  element("whole-scores").replaceChildren();
  element("now-scores").replaceChildren();
  looking = new AbortController();
  return looking.signal;
}

function leave() {
  looking?.abort();
  looking = null;
  running?.stop();
  running = null;
  release(video.srcObject);
  video.srcObject = null;
  video.removeAttribute("src");
  video.load();
  if (objectUrl) URL.revokeObjectURL(objectUrl);
  objectUrl = null;
  element("seen").hidden = true;
  element("drop").hidden = false;
}

function release(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

function showScores(id, predictions) {
  const list = element(id);
  while (list.children.length > predictions.length) list.lastChild.remove();
  predictions.forEach(({ label, score }, place) => {
    if (!list.children[place]) {
      const item = document.createElement("li");
      item.append(document.createElement("bdi"), document.createElement("span"), document.createElement("meter"));
      list.append(item);
    }
    const [name, share, meter] = list.children[place].children;
    name.textContent = label;
    share.textContent = `${(100 * score).toFixed(1)} %`;
    meter.value = score;
    meter.setAttribute("aria-label", label);
  });
}

function refuse(text) {
  const box = element("refused");
  box.hidden = false;
  box.textContent = text.replace(/\.+$/, ".");
}

function takeDrops() {
  const over = (on) => document.body.classList.toggle("over", on);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) over(false);
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const [file] = event.dataTransfer.files;
    if (file) useFile(file);
    else refuse("What was dropped is no file.");
  });
}

function cameraReason(error) {
  return {
    NotAllowedError: "its use was not allowed",
    NotFoundError: "this device has none",
    NotReadableError: "another program uses it",
  }[error.name] ?? error.message;
}

function milliseconds(value) {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

function megabytes(value) {
  return (value / 1e6).toFixed(1);
}
