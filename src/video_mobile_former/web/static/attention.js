// Where the tokens of a model look, laid over the video: bright and warm is looked at.

import { nearest } from "./dom.js";

const DARK = [10, 16, 34];
const WARM = [255, 176, 32];

/** Attention maps of a result, decoded once. */
export class Attention {
  constructor({ tokens, rows, columns, times, maps, crop = 1 }) {
    Object.assign(this, { tokens, rows, columns, times, crop });
    this.maps = Uint8Array.from(atob(maps), (character) => character.charCodeAt(0));
    this.small = document.createElement("canvas");
    this.small.width = columns;
    this.small.height = rows;
  }

  /** Values of one token at a moment, or the highest of all tokens where `token` is null. */
  values(seconds, token) {
    const size = this.rows * this.columns;
    const at = nearest(this.times, seconds) * this.tokens * size;
    if (token !== null) return this.maps.subarray(at + token * size, at + (token + 1) * size);
    const all = new Uint8Array(size);
    for (let one = 0; one < this.tokens; one += 1) {
      for (let i = 0; i < size; i += 1) all[i] = Math.max(all[i], this.maps[at + one * size + i]);
    }
    return all;
  }

  /** Draw over a video that shows `width` × `height` pixels somewhere in its box. */
  draw(canvas, video, token) {
    const box = canvas.getBoundingClientRect();
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(box.width * ratio));
    canvas.height = Math.max(1, Math.round(box.height * ratio));
    const { videoWidth: width, videoHeight: height } = video;
    if (!width || !this.times.length) return;
    const scale = Math.min(canvas.width / width, canvas.height / height);
    const left = (canvas.width - width * scale) / 2;
    const top = (canvas.height - height * scale) / 2;
    // What the model sees: a square in the middle.
    const side = Math.min(width, height) * this.crop * scale;
    const x = left + (width * scale - side) / 2;
    const y = top + (height * scale - side) / 2;
    const brush = canvas.getContext("2d");
    brush.fillStyle = `rgb(${DARK.join(" ")} / 0.72)`;
    brush.fillRect(left, top, width * scale, height * scale);
    brush.clearRect(x, y, side, side);
    this.paint(this.values(video.currentTime, token));
    brush.imageSmoothingEnabled = true;
    brush.imageSmoothingQuality = "high";
    brush.save();
    brush.beginPath();
    brush.rect(x, y, side, side);
    brush.clip();
    // Half a cell further on each side, so that smoothing has no hard edge.
    brush.drawImage(this.small, x, y, side, side);
    brush.restore();
    brush.strokeStyle = "rgb(255 255 255 / 0.6)";
    brush.lineWidth = ratio;
    brush.strokeRect(x + ratio / 2, y + ratio / 2, side - ratio, side - ratio);
  }

  paint(values) {
    const brush = this.small.getContext("2d");
    const picture = brush.createImageData(this.columns, this.rows);
    for (let i = 0; i < values.length; i += 1) {
      const value = values[i] / 255;
      const [colour, alpha] = value < 0.5 ? [DARK, 0.72 * (1 - 2 * value)] : [WARM, 0.62 * (2 * value - 1)];
      picture.data.set([...colour, Math.round(255 * alpha)], 4 * i);
    }
    brush.putImageData(picture, 0, 0);
  }
}
