// Which frames of a video a model sees, and their pixels: as vmf chooses and resizes them.

const SLACK_SECONDS = 5e-4; // a seek to the very time of a frame must not show the one before
const LARGEST_REGION = 1280; // pixels a side that are read back; larger pictures are halved first

/** Reads the centre of a picture: short side resized, antialiased, square cut out. */
export class FrameReader {
  #canvas = document.createElement("canvas");
  #context = this.#canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  #weights = new Map();

  constructor(clip) {
    this.size = clip.crop_size;
    this.short = clip.resize_size;
  }

  /**
   * @param {HTMLVideoElement|ImageBitmap|HTMLCanvasElement} picture
   * @returns {Uint8Array} (S, S, 3) RGB.
   */
  read(picture) {
    const width = picture.videoWidth ?? picture.width;
    const height = picture.videoHeight ?? picture.height;
    const scale = this.short / Math.min(width, height);
    const across = axis(width, scale, this.short, this.size);
    const down = axis(height, scale, this.short, this.size);
    const shrink = Math.max(1, (across.end - across.begin) / LARGEST_REGION, (down.end - down.begin) / LARGEST_REGION);
    const w = Math.round((across.end - across.begin) / shrink);
    const h = Math.round((down.end - down.begin) / shrink);
    if (this.#canvas.width !== w || this.#canvas.height !== h) {
      this.#canvas.width = w;
      this.#canvas.height = h;
    }
    this.#context.imageSmoothingQuality = "high";
    this.#context.drawImage(
      picture, across.begin, down.begin, across.end - across.begin, down.end - down.begin, 0, 0, w, h,
    );
    const { data } = this.#context.getImageData(0, 0, w, h);
    const columns = this.#weightsOf(across, w / (across.end - across.begin), w);
    const rows = this.#weightsOf(down, h / (down.end - down.begin), h);
    return resized(data, w, h, columns, rows, this.size);
  }

  #weightsOf({ begin, first, step }, shrunk, length) {
    const key = `${begin} ${first} ${step} ${shrunk} ${length}`;
    let found = this.#weights.get(key);
    if (!found) {
      if (this.#weights.size > 8) this.#weights.clear();
      found = triangle((first - begin) * shrunk, step * shrunk, length, this.size);
      this.#weights.set(key, found);
    }
    return found;
  }
}

/** Along one side: which pixels are needed, where the first one of the result lies, and the step. */
function axis(length, scale, short, size) {
  const whole = Math.max(short, roundHalfEven(length * scale));
  const step = length / whole;
  const cut = roundHalfEven((whole - size) / 2);
  const reach = Math.max(1, step);
  const first = (cut + 0.5) * step;
  const begin = Math.max(0, Math.floor(first - reach));
  const end = Math.min(length, Math.ceil(first + (size - 1) * step + reach));
  return { begin, end, first, step };
}

/** Weights of a triangle filter that widens where pictures shrink, as torch's antialiasing. */
function triangle(first, step, length, size) {
  const reach = Math.max(1, step);
  const taps = Math.ceil(reach) * 2 + 1;
  const starts = new Int32Array(size);
  const weights = new Float32Array(size * taps);
  for (let i = 0; i < size; i += 1) {
    const centre = first + i * step;
    const from = Math.max(0, Math.trunc(centre - reach + 0.5));
    const to = Math.min(length, Math.trunc(centre + reach + 0.5));
    starts[i] = Math.min(from, Math.max(0, length - taps));
    let sum = 0;
    for (let j = from; j < to; j += 1) {
      const weight = Math.max(0, 1 - Math.abs((j + 0.5 - centre) / reach));
      weights[i * taps + j - starts[i]] = weight;
      sum += weight;
    }
    for (let j = 0; j < taps; j += 1) weights[i * taps + j] /= sum;
  }
  return { starts, weights, taps };
}

function resized(data, width, height, columns, rows, size) {
  const narrow = new Float32Array(height * size * 3);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < size; x += 1) {
      let red = 0;
      let green = 0;
      let blue = 0;
      const last = Math.min(columns.taps, width - columns.starts[x]);
      let from = (y * width + columns.starts[x]) * 4;
      for (let j = 0; j < last; j += 1) {
        const weight = columns.weights[x * columns.taps + j];
        red += weight * data[from];
        green += weight * data[from + 1];
        blue += weight * data[from + 2];
        from += 4;
      }
      const to = (y * size + x) * 3;
      narrow[to] = red;
      narrow[to + 1] = green;
      narrow[to + 2] = blue;
    }
  }
  const line = size * 3;
  const sums = new Float32Array(line);
  const out = new Uint8ClampedArray(size * line);
  for (let y = 0; y < size; y += 1) {
    sums.fill(0);
    const last = Math.min(rows.taps, height - rows.starts[y]);
    for (let j = 0; j < last; j += 1) {
      const weight = rows.weights[y * rows.taps + j];
      if (weight === 0) continue;
      const from = (rows.starts[y] + j) * line;
      for (let i = 0; i < line; i += 1) sums[i] += weight * narrow[from + i];
    }
    out.set(sums, y * line);
  }
  return new Uint8Array(out.buffer);
}

/** Picks the frame nearest to each tick of a model's clock, as StreamPredictor does. */
export class FrameChooser {
  #reader; #step; #gap; #start = 0; #ticks = 0; #last = null; #kept = null;

  constructor(reader, frameSeconds, gapSeconds) {
    this.#reader = reader;
    this.#step = frameSeconds;
    this.#gap = gapSeconds;
  }

  /** Slots {seconds, pixels, restart} that are known now that this picture is shown. */
  take(seconds, picture) {
    const last = this.#last;
    if (last !== null && seconds === last) return [];
    this.#last = seconds;
    if (last === null || seconds < last || seconds - last > this.#gap) {
      this.#start = seconds;
      this.#ticks = 1;
      this.#kept = { seconds, pixels: this.#reader.read(picture), restart: true };
      return [this.#kept];
    }
    const slack = 1e-6 * this.#step;
    const step = seconds - last;
    const slots = [];
    const due = () => this.#start + this.#ticks * this.#step;
    while (this.#kept !== null && due() <= seconds - step / 2 + slack) {
      slots.push({ seconds: due(), pixels: this.#kept.pixels, restart: false });
      this.#ticks += 1;
    }
    this.#kept = null;
    while (due() <= seconds + step / 2 + slack) {
      const pixels = this.#kept === null ? this.#reader.read(picture) : this.#kept.pixels;
      this.#kept = { seconds: due(), pixels, restart: false };
      slots.push(this.#kept);
      this.#ticks += 1;
    }
    return slots;
  }
}

/** A video of our own to seek in: that of a file, or of the file another element plays. */
export async function playable(source, signal) {
  signal?.throwIfAborted();
  const isFile = source instanceof Blob;
  if (!isFile && !(source instanceof HTMLVideoElement)) {
    throw new Error("predict() takes a video element or a file; for a camera there is stream()");
  }
  if (!isFile && (source.srcObject || !source.currentSrc)) {
    throw new Error("this video element has no file: for a camera there is stream()");
  }
  const video = document.createElement("video");
  const url = isFile ? URL.createObjectURL(source) : source.currentSrc;
  const release = () => {
    video.removeAttribute("src");
    video.load();
    if (isFile) URL.revokeObjectURL(url);
  };
  video.muted = true;
  video.playsInline = true;
  video.preload = "auto";
  video.src = url;
  try {
    await until(video, "loadeddata", signal);
    if (!video.videoWidth) throw new Error("this file has sound only, no picture");
    if (!Number.isFinite(video.duration)) {
      // Recordings of browsers do not say how long they are until their end was looked for.
      video.currentTime = 1e7;
      await until(video, "seeked", signal);
    }
    return { video, release };
  } catch (error) {
    release();
    throw error;
  }
}

/** The frames of one clip: (T, S, S, 3), and whether the video is shorter than that. */
export async function clipFrames(video, clip, reader, { signal, onFrame } = {}) {
  const count = clip.num_frames;
  const first = (await shown(video, 0, signal)) ?? 0;
  const end = video.duration;
  let instants;
  let padded = false;
  if (clip.sampling === "dense") {
    const stride = clip.stride / clip.stride_fps;
    const step = await frameSeconds(video, first + (end - first) / 2, signal);
    const last = Math.max(first, end - step);
    const room = Math.max(0, last - first - (count - 1) * stride);
    padded = last - first + step / 2 < (count - 1) * stride;
    const nearest = (time) => Math.min(last, time + step / 2 - 2 * SLACK_SECONDS);
    const start = (await shown(video, nearest(first + room / 2), signal)) ?? first + room / 2;
    instants = Array.from({ length: count }, (_, i) => nearest(start + i * stride));
  } else {
    const length = end - first;
    instants = Array.from({ length: count }, (_, i) => first + (i + 0.5) * (length / count));
  }
  const frames = [];
  const times = [];
  for (const instant of instants) {
    const time = await shown(video, instant, signal);
    frames.push(reader.read(video));
    times.push(time);
    onFrame?.(frames.length, count);
  }
  if (clip.sampling !== "dense" && times.every((time) => time !== null)) {
    // Fewer frames than the clip has: each once, then the last one again.
    const unique = frames.filter((_, i) => i === 0 || times[i] !== times[i - 1]);
    padded = unique.length < count;
    while (padded && unique.length < count) unique.push(unique[unique.length - 1]);
    if (padded) frames.splice(0, count, ...unique);
  }
  const pixels = new Uint8Array(count * reader.size ** 2 * 3);
  frames.forEach((frame, i) => pixels.set(frame, i * frame.length));
  return { pixels, padded };
}

/** Seek; the time of the frame that is then on display, null where the browser does not say. */
async function shown(video, seconds, signal) {
  const aim = Math.min(Math.max(0, seconds + SLACK_SECONDS), video.duration);
  const told = "requestVideoFrameCallback" in video
    ? new Promise((resolve) => {
      video.requestVideoFrameCallback((_, { mediaTime }) => resolve(mediaTime));
    })
    : null;
  const seeked = until(video, "seeked", signal);
  video.currentTime = aim;
  await seeked;
  if (told === null) return null;
  // Nothing is told of a frame that was on display already.
  const time = await Promise.race([told, pause(120).then(() => null)]);
  if (time !== null) video.dataset.shown = time;
  return video.dataset.shown === undefined ? null : Number(video.dataset.shown);
}

/** Time from the frame at an instant to the next one. */
async function frameSeconds(video, seconds, signal) {
  const here = await shown(video, seconds, signal);
  if (here === null) return 1 / 30;
  for (let i = 1; i <= 60; i += 1) {
    const next = await shown(video, here + i / 120, signal);
    if (next > here) return next - here;
    if (here + i / 120 >= video.duration) break;
  }
  return 1 / 30;
}

function until(video, event, signal) {
  return new Promise((resolve, reject) => {
    const done = (settle, value) => {
      video.removeEventListener(event, good);
      video.removeEventListener("error", bad);
      signal?.removeEventListener("abort", gone);
      settle(value);
    };
    const good = () => done(resolve);
    const bad = () => done(reject, new Error(refusal(video.error)));
    const gone = () => done(reject, signal.reason);
    video.addEventListener(event, good);
    video.addEventListener("error", bad);
    signal?.addEventListener("abort", gone);
  });
}

function refusal(error) {
  if (error?.code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED) {
    return "this browser cannot play the file: it is no video, is damaged, or has a codec the "
      + "browser lacks (MP4 with H.264, or WebM, play nearly everywhere)";
  }
  return "the file cannot be decoded to its end: it is damaged";
}

function pause(milliseconds) {
  return new Promise((resolve) => { setTimeout(resolve, milliseconds); });
}

function roundHalfEven(value) {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
