// Recognises actions in a video or a camera's stream, on the visitor's device.
//
//   import { load } from "./recognise.js";
//   const model = await load();
//   const { predictions } = await model.predict(document.querySelector("video"));
//   const running = model.stream(mediaStream, (scores) => console.log(scores.predictions[0]));
//   running.stop();
//
// The model runs in a worker (worker.js), so that the page stays smooth. Nothing is sent anywhere.

import { FrameChooser, FrameReader, clipFrames, playable } from "./frames.js";

const UNIFORM_SECONDS = 2; // window of a model whose clips have no length of their own
const WINDOWS_A_LENGTH = 4;
const LEAST_GAP_SECONDS = 2;
const WAITING_SECONDS = 1; // steps of a streaming model that wait for their turn

/**
 * Load the model of this folder.
 *
 * @param {object} [options]
 * @param {string|URL} [options.base] Folder of the model; that of this module unless given.
 * @param {number} [options.threads] Threads of WebAssembly. More than one are had only where the
 *     page is cross-origin isolated; then up to 4 unless given.
 * @param {boolean|"software"} [options.webgpu] false: do not try it. "software": try it on an
 *     adapter that is no GPU, too; for tests.
 * @param {(part: {name: string, loaded: number, total: number}) => void} [options.onProgress]
 * @returns {Promise<Recogniser>} Rejects with an Error of one sentence.
 */
export async function load(options = {}) {
  const base = new URL(options.base ?? ".", options.base ? document.baseURI : import.meta.url);
  const config = await readDescription(new URL("model.json", base));
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  const calls = new Calls(worker);
  try {
    const isolated = globalThis.crossOriginIsolated === true;
    const cores = navigator.hardwareConcurrency || 1;
    const threads = isolated ? Math.max(1, Math.trunc(options.threads ?? Math.min(4, cores))) : 1;
    const backend = await calls.call("load", {
      base: base.href, config, threads, webgpu: options.webgpu ?? true,
    }, { onProgress: options.onProgress });
    return new Recogniser(config, calls, backend);
  } catch (error) {
    worker.terminate();
    throw error;
  }
}

/** A model that is ready. */
export class Recogniser {
  #calls;
  #nextStream = 1;

  constructor(config, calls, backend) {
    this.config = config;
    /** Where it runs: {name: "wasm" | "webgpu", threads, note, milliseconds}. */
    this.backend = backend;
    this.clip = config.clip;
    this.isStreaming = Boolean(config.stream);
    this.framesPerStep = config.stream ? config.stream.frames_per_update : config.clip.num_frames;
    this.labels = config.class_names
      ?? Array.from({ length: config.num_classes }, (_, number) => `class ${number}`);
    this.#calls = calls;
  }

  /**
   * Recognise a whole video, as `vmf predict` does: one clip of it.
   *
   * @param {HTMLVideoElement|Blob} source A video that has a file (it is not disturbed), or a file.
   * @param {object} [options]
   * @param {number} [options.topK] Classes to return.
   * @param {AbortSignal} [options.signal]
   * @param {(done: number, total: number) => void} [options.onFrame]
   * @returns {Promise<{predictions, probabilities, logits, numFrames, padded, milliseconds}>}
   */
  async predict(source, { topK = 5, signal, onFrame } = {}) {
    const { video, release } = await playable(source, signal);
    try {
      const reader = new FrameReader(this.clip);
      const { pixels, padded } = await clipFrames(video, this.clip, reader, { signal, onFrame });
      const found = await this.classify(pixels, { topK });
      return { ...found, numFrames: this.clip.num_frames, padded };
    } finally {
      release();
    }
  }

  /**
   * Score a stream as it plays.
   *
   * @param {MediaStream|HTMLVideoElement} source A camera's stream, or a video that plays. Of an
   *     element that shows a camera give the element: the stream is then decoded once.
   * @param {(scores: object) => void} onScores Gets {predictions, probabilities, startSeconds,
   *     endSeconds, restart, passedOver, milliseconds}.
   * @param {object} [options]
   * @param {number} [options.topK]
   * @param {number} [options.windowSeconds] Of a clip model with uniform sampling.
   * @param {number} [options.strideSeconds] From one answer to the next.
   * @param {(error: Error) => void} [options.onError]
   * @returns {{stop: () => void}}
   */
  stream(source, onScores, options = {}) {
    return new RunningStream(this, source, onScores, options);
  }

  /**
   * Score one clip of pixels.
   *
   * @param {Uint8Array|Uint8ClampedArray} pixels (T, S, S, 3) RGB. A streaming model starts anew
   *     and gives its scores after the last step.
   */
  async classify(pixels, { topK = 5 } = {}) {
    this.#check(pixels, this.clip.num_frames);
    const found = await this.#calls.call("classify", { pixels });
    return this.#scored(found, topK);
  }

  /** A new stream of a streaming model: its `step(pixels)` takes (P, S, S, 3) and keeps the state. */
  open() {
    if (!this.isStreaming) throw new Error("this model takes clips, not steps");
    const number = this.#nextStream++;
    return {
      step: async (pixels, { topK = 5 } = {}) => {
        this.#check(pixels, this.framesPerStep);
        return this.#scored(await this.#calls.call("step", { pixels, number }), topK);
      },
      close: () => this.#calls.call("forget", { number }),
    };
  }

  /** End the worker and free its memory. */
  close() {
    this.#calls.end();
  }

  #scored({ logits, milliseconds }, topK) {
    const probabilities = this.config.multi_label ? sigmoid(logits) : softmax(logits);
    if (!probabilities.every(Number.isFinite)) throw new Error("the model's scores are not finite");
    const order = Array.from(probabilities.keys());
    order.sort((a, b) => probabilities[b] - probabilities[a] || a - b);
    const predictions = order.slice(0, topK).map((number) => (
      { label: this.labels[number], class: number, score: probabilities[number] }
    ));
    return { predictions, probabilities, logits, milliseconds };
  }

  #check(pixels, frames) {
    const wanted = frames * this.clip.crop_size ** 2 * 3;
    if (pixels.length !== wanted) {
      throw new Error(`pixels must hold ${wanted} values (${frames} frames), not ${pixels.length}`);
    }
  }
}

/** Windows of a stream, scored one at a time; the newest count. */
class RunningStream {
  #model; #video; #own; #isCamera; #onScores; #options; #chooser; #length; #hop; #waiting;
  #stepper = null; #slots = []; #unseen = 0; #fresh = true; #due = []; #busy = false;
  #passedOver = 0; #stopped = false; #handle = null;

  constructor(model, source, onScores, options) {
    const { clip } = model;
    this.#model = model;
    this.#onScores = onScores;
    this.#options = options;
    this.#own = !(source instanceof HTMLVideoElement);
    this.#video = this.#own ? document.createElement("video") : source;
    if (this.#own) {
      this.#video.muted = true;
      this.#video.playsInline = true;
      this.#video.srcObject = source;
      this.#video.play().catch((error) => this.#fail(error));
    }
    this.#isCamera = Boolean(this.#video.srcObject);
    const dense = clip.sampling === "dense";
    const seconds = dense
      ? clip.num_frames * clip.stride / clip.stride_fps
      : options.windowSeconds ?? UNIFORM_SECONDS;
    const frameSeconds = seconds / clip.num_frames;
    const update = model.isStreaming ? model.framesPerStep : 1;
    const usual = model.isStreaming ? update * frameSeconds : seconds / WINDOWS_A_LENGTH;
    const updates = Math.round((options.strideSeconds ?? usual) / (update * frameSeconds));
    this.#hop = Math.max(1, updates) * update;
    this.#length = model.isStreaming ? this.#hop : clip.num_frames;
    this.#waiting = model.isStreaming
      ? Math.max(1, Math.round(WAITING_SECONDS / (this.#hop * frameSeconds)))
      : 1;
    const gap = Math.max(this.#length * frameSeconds, LEAST_GAP_SECONDS);
    this.#chooser = new FrameChooser(new FrameReader(clip), frameSeconds, gap);
    this.#wait();
  }

  stop() {
    this.#stopped = true;
    const video = this.#video;
    if ("requestVideoFrameCallback" in video) video.cancelVideoFrameCallback(this.#handle);
    else cancelAnimationFrame(this.#handle);
    if (this.#own) video.srcObject = null;
    this.#stepper?.close().catch(() => {}); // the model may be closed already
    this.#stepper = null;
  }

  #wait() {
    if (this.#stopped) return;
    const video = this.#video;
    const seen = (now, frame) => {
      try {
        this.#take(this.#isCamera ? now / 1000 : frame?.mediaTime ?? video.currentTime);
        this.#wait();
      } catch (error) {
        this.#fail(error);
      }
    };
    this.#handle = "requestVideoFrameCallback" in video
      ? video.requestVideoFrameCallback(seen)
      : requestAnimationFrame((now) => seen(now, null));
  }

  #take(seconds) {
    const video = this.#video;
    if (video.readyState < 2 || !video.videoWidth) return;
    for (const slot of this.#chooser.take(seconds, video)) {
      if (slot.restart) {
        this.#slots = [];
        this.#unseen = 0;
        this.#fresh = true;
      }
      this.#slots.push(slot);
      this.#unseen += 1;
      if (this.#slots.length > this.#length) this.#slots.shift();
      const full = this.#slots.length === this.#length;
      if (full && (this.#fresh || this.#unseen >= this.#hop)) this.#add();
    }
  }

  #add() {
    let restart = this.#fresh;
    while (this.#due.length >= this.#waiting) {
      this.#passedOver += 1;
      const dropped = this.#due.shift();
      if (dropped.restart && this.#due.length) this.#due[0].restart = true;
      restart = restart || (dropped.restart && !this.#due.length);
    }
    this.#due.push({ slots: this.#slots.slice(), restart });
    this.#unseen = 0;
    this.#fresh = false;
    this.#score();
  }

  async #score() {
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#due.length && !this.#stopped) {
        const { slots, restart } = this.#due.shift();
        const found = await this.#run(slots, restart);
        if (this.#stopped) break;
        this.#onScores({
          ...found,
          startSeconds: slots[0].seconds,
          endSeconds: slots[slots.length - 1].seconds,
          restart,
          passedOver: this.#passedOver,
        });
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#busy = false;
    }
  }

  async #run(slots, restart) {
    const options = { topK: this.#options.topK ?? 5 };
    const model = this.#model;
    if (!model.isStreaming) return model.classify(joined(slots), options);
    if (restart || !this.#stepper) {
      this.#stepper?.close().catch(() => {});
      this.#stepper = model.open();
    }
    const stepper = this.#stepper;
    let found = null;
    let milliseconds = 0;
    for (let at = 0; at < slots.length; at += model.framesPerStep) {
      found = await stepper.step(joined(slots.slice(at, at + model.framesPerStep)), options);
      milliseconds += found.milliseconds;
    }
    return { ...found, milliseconds };
  }

  #fail(error) {
    if (this.#stopped) return;
    this.stop();
    (this.#options.onError ?? console.error)(error);
  }
}

/** Questions to the worker, answered in order. */
class Calls {
  #worker; #open = new Map(); #next = 1; #ended = null;

  constructor(worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }) => {
      const call = this.#open.get(data.id);
      if (!call) return;
      if (data.progress) {
        call.onProgress?.(data.progress);
        return;
      }
      this.#open.delete(data.id);
      if (data.error) call.reject(new Error(data.error));
      else call.resolve(data.result);
    };
    worker.onerror = (event) => {
      event.preventDefault?.();
      const why = event.message || "worker.js is missing or this browser runs no module workers";
      this.end(new Error(`the model's worker failed: ${why}`));
    };
  }

  call(kind, given, { onProgress } = {}) {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject, onProgress });
      this.#worker.postMessage({ id, kind, ...given });
    });
  }

  end(error = new Error("the model was closed")) {
    this.#ended = error;
    this.#worker.terminate();
    for (const { reject } of this.#open.values()) reject(error);
    this.#open.clear();
  }
}

async function readDescription(url) {
  let answer;
  try {
    answer = await fetch(url, { cache: "no-cache" });
  } catch {
    throw new Error("model.json cannot be fetched: is the server still there?");
  }
  if (!answer.ok) throw new Error(`model.json cannot be fetched: the server says ${answer.status}`);
  let config;
  try {
    config = await answer.json();
  } catch {
    throw new Error("model.json is damaged: upload the folder again");
  }
  if (config?.target !== "web" || !config.clip || !config.options?.check) {
    throw new Error("model.json does not describe a model of `vmf export --to web`");
  }
  return config;
}

function joined(slots) {
  const size = slots[0].pixels.length;
  const all = new Uint8Array(size * slots.length);
  slots.forEach((slot, place) => all.set(slot.pixels, place * size));
  return all;
}

function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = Float32Array.from(logits, (value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

function sigmoid(logits) {
  return Float32Array.from(logits, (value) => 1 / (1 + Math.exp(-value)));
}
