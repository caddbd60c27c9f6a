// Runs the model, off the page's thread. Asked by recognise.js.

let ort = null;
let session = null;
let config = null;
let tables = null; // normalised value of each byte, by channel; null where the graph normalises
const streams = new Map(); // states by the number of a stream

self.onmessage = async ({ data }) => {
  const { id, kind } = data;
  try {
    const result = await ACTIONS[kind](data);
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: sentence(error) });
  }
};

const ACTIONS = { load: start, classify, step, forget: ({ number }) => streams.delete(number) };

async function start({ id, base, config: given, threads, webgpu }) {
  config = given;
  tables = config.input.dtype === "uint8" ? null : normalisedValues(config.clip);
  const content = await modelBytes(new URL("model.onnx", base), (progress) => {
    self.postMessage({ id, progress });
  });
  const runtime = new URL("runtime/", base);
  let note = null;
  if (webgpu && config.options.runtime.webgpu) {
    note = await withoutGpu(webgpu);
    if (note === null) {
      const found = await tried(() => open(runtime, "webgpu", 1, content));
      if (!found.error) return { name: "webgpu", threads: 1, note: null, ...found };
      note = `WebGPU is not used: ${found.error}`;
    }
  }
  const found = await tried(() => open(runtime, "wasm", threads, content));
  if (found.error) throw new Error(found.error);
  return { name: "wasm", threads, note, ...found };
}

/** Why WebGPU is not to be tried; null where it is. */
async function withoutGpu(wanted) {
  if (!self.navigator.gpu) return "WebGPU is not used: this browser has none";
  if (!("Suspending" in WebAssembly)) return "WebGPU is not used: this browser lacks JSPI";
  const adapter = await self.navigator.gpu.requestAdapter().catch(() => null);
  if (!adapter) return "WebGPU is not used: this device has no adapter for it";
  const software = adapter.info?.isFallbackAdapter || adapter.isFallbackAdapter
    || /swiftshader|llvmpipe|software/i.test(`${adapter.info?.architecture} ${adapter.info?.description}`);
  if (software && wanted !== "software") return "WebGPU is not used: its adapter is no GPU";
  return null;
}

async function tried(work) {
  try {
    return await work();
  } catch (error) {
    return { error: sentence(error) };
  }
}

/** Open a session and reproduce the stored answer. */
async function open(runtime, provider, threads, content) {
  const name = provider === "webgpu" ? "jspi" : "wasm";
  const part = provider === "webgpu" ? ".jspi" : "";
  // After WebGPU has failed its runtime stays: it has WebAssembly as well.
  if (ort === null) {
    try {
      ort = await import(new URL(`ort.${name}.min.mjs`, runtime).href);
    } catch {
      throw new Error(`runtime/ort.${name}.min.mjs is missing or damaged: upload the folder again`);
    }
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = {
      mjs: new URL(`ort-wasm-simd-threaded${part}.mjs`, runtime).href,
      wasm: new URL(`ort-wasm-simd-threaded${part}.wasm`, runtime).href,
    };
  }
  const options = { executionProviders: [provider], graphOptimizationLevel: "all" };
  try {
    session = await ort.InferenceSession.create(content, options);
  } catch (error) {
    throw new Error(`the runtime cannot open the model: ${sentence(error)}`);
  }
  try {
    const milliseconds = await reproduce();
    return { milliseconds };
  } catch (error) {
    await session.release();
    session = null;
    throw error;
  }
}

/** Score the drawn clip of checkPixels and compare with the scores that were stored. */
async function reproduce() {
  const { logits, difference, steps } = config.options.check;
  const frames = steps === null ? config.clip.num_frames : steps * config.stream.frames_per_update;
  const pixels = checkPixels(frames, config.clip.crop_size);
  const found = steps === null ? await classify({ pixels }) : await run(pixels, new Map());
  let worst = 0;
  for (let i = 0; i < logits.length; i += 1) {
    const off = Math.abs(found.logits[i] - logits[i]);
    worst = off <= worst ? worst : off; // not a number counts as worst
  }
  if (!(worst <= difference) || found.logits.length !== logits.length) {
    const by = Number.isFinite(worst) ? worst.toPrecision(2) : "no number";
    throw new Error(`a stored answer comes out wrong here (off by ${by}, allowed ${difference.toPrecision(2)})`);
  }
  return found.milliseconds;
}

/** The clip that `vmf export` stored an answer for: blocks of colour that move. */
function checkPixels(frames, size) {
  const pixels = new Uint8Array(frames * size * size * 3);
  let at = 0;
  for (let t = 0; t < frames; t += 1) {
    for (let y = 0; y < size; y += 1) {
      for (let x = 0; x < size; x += 1) {
        for (let c = 0; c < 3; c += 1) {
          const mixed = Math.imul((x + 4 * t) >> 3, 73856093) ^ Math.imul(y >> 3, 19349663) ^ Math.imul(c + 1, 83492791);
          pixels[at] = Math.imul(mixed, 2654435761) >>> 24;
          at += 1;
        }
      }
    }
  }
  return pixels;
}

/** Logits of a clip; a streaming model starts anew. */
async function classify({ pixels }) {
  return run(pixels, config.stream ? new Map() : null);
}

async function step({ pixels, number }) {
  if (!streams.has(number)) streams.set(number, new Map());
  return run(pixels, streams.get(number));
}

/** One call, or as many steps as there are frames for; `states` is brought up to date. */
async function run(pixels, states) {
  const begin = performance.now();
  const size = config.clip.crop_size;
  const count = config.stream ? config.stream.frames_per_update : config.clip.num_frames;
  const length = count * size * size * 3;
  let logits = null;
  for (let at = 0; at < pixels.length; at += length) {
    const feeds = { [config.input.name]: input(pixels.subarray(at, at + length), count, size) };
    for (const { name, shape } of config.stream?.states ?? []) {
      feeds[name] = states.get(name)
        ?? new ort.Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
    }
    const found = await session.run(feeds);
    for (const { name } of config.stream?.states ?? []) states.set(name, found[`next_${name}`]);
    logits = found.logits.data;
  }
  return { logits: Float32Array.from(logits), milliseconds: performance.now() - begin };
}

/** Pixels (T, S, S, 3) as the graph takes them: its layout and type. */
function input(pixels, frames, size) {
  const places = size * size;
  const { layout, dtype } = config.input;
  const out = tables ? new Float32Array(pixels.length) : new Uint8Array(pixels.length);
  const last = layout.endsWith("C");
  for (let t = 0; t < frames; t += 1) {
    for (let c = 0; c < 3; c += 1) {
      const table = tables?.[c];
      let from = t * places * 3 + c;
      // Channels last: the order of the pixels. Else planes: by frame and channel, or by channel
      // and frame.
      let to = last ? from : places * (layout === "BCTHW" ? c * frames + t : t * 3 + c);
      const stride = last ? 3 : 1;
      for (let i = 0; i < places; i += 1) {
        out[to] = table ? table[pixels[from]] : pixels[from];
        from += 3;
        to += stride;
      }
    }
  }
  return new ort.Tensor(dtype, out, shapeOf(layout, frames, size));
}

function shapeOf(layout, frames, size) {
  return {
    BCTHW: [1, 3, frames, size, size],
    BTHWC: [1, frames, size, size, 3],
    "(BT)CHW": [frames, 3, size, size],
    "(BT)HWC": [frames, size, size, 3],
  }[layout];
}

/** As data.transforms.normalize computes them, rounded after each step as float32 is. */
function normalisedValues({ mean, std }) {
  const { fround } = Math;
  return mean.map((centre, c) => {
    const width = fround(std[c]);
    const scale = fround(1 / fround(255 * width));
    const shift = fround(fround(centre) / width);
    return Float32Array.from({ length: 256 }, (_, value) => fround(fround(value * scale) - shift));
  });
}

async function modelBytes(url, onProgress) {
  let answer;
  try {
    answer = await fetch(url);
  } catch {
    throw new Error("model.onnx cannot be fetched: is the server still there?");
  }
  if (!answer.ok) throw new Error(`model.onnx cannot be fetched: the server says ${answer.status}`);
  const total = config.options.files["model.onnx"].bytes;
  const content = new Uint8Array(total);
  let loaded = 0;
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Error("the connection broke while model.onnx was fetched: load the page again");
    });
    if (done) break;
    if (loaded + value.length > total) throw damaged();
    content.set(value, loaded);
    loaded += value.length;
    onProgress({ name: "model.onnx", loaded, total });
  }
  if (loaded !== total) throw damaged();
  // Digests are there on https:// and localhost only.
  if (self.crypto?.subtle) {
    const digest = new Uint8Array(await self.crypto.subtle.digest("SHA-256", content));
    const text = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (text !== config.sha256) throw damaged();
  }
  return content;
}

function damaged() {
  return new Error("model.onnx is damaged, or not the file that model.json describes: upload the folder again");
}

function sentence(error) {
  return String(error?.message ?? error).split("\n")[0].slice(0, 300);
}
