// From the camera to the service: JPEG frames with their times over a WebSocket.

import { currentToken, Problem } from "./api.js";

const MOST_BUFFERED = 400_000;
const QUALITY = 0.85;
const WHY = {
  NotAllowedError: "The browser was not allowed to use the camera. Allow it for this page, usually by the sign left of the address, and start again.",
  NotFoundError: "There is no camera on this device.",
  NotReadableError: "The camera is there but gives no picture: another program may be using it.",
  OverconstrainedError: "That camera is not there any more: choose another.",
};

/** Why this page may not ask for a camera at all, or null. */
export function cameraMissing() {
  if (navigator.mediaDevices?.getUserMedia) return null;
  return "Browsers give the camera only to pages from https:// or localhost. Open this page on the computer that runs vmf serve, or put it behind https.";
}

export class Camera {
  /**
   * @param {HTMLVideoElement} video  shows the camera
   * @param {Object} model  an entry of /v1/models
   * @param {(message: Object) => void} heard  every message of the service
   * @param {(problem: Problem|null) => void} ended  once, with what went wrong
   */
  constructor(video, model, heard, ended) {
    Object.assign(this, { video, model, heard, ended });
    this.skipped = 0;
    this.sent = 0;
    this.isOver = false;
    this.isEncoding = false;
    this.canvas = document.createElement("canvas");
  }

  /** Seconds since the first frame. */
  now() {
    return (performance.now() - this.zero) / 1000;
  }

  async start(deviceId = null) {
    const missing = cameraMissing();
    if (missing) return this.stop(new Problem(0, missing));
    const wanted = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: { ideal: "environment" } };
    try {
      const size = { width: { ideal: 640 }, height: { ideal: 480 } };
      const media = await navigator.mediaDevices.getUserMedia({ video: { ...wanted, ...size }, audio: false });
      if (this.isOver) return stopTracks(media);
      this.media = media;
      for (const track of this.media.getVideoTracks()) {
        track.onended = () => this.stop(new Problem(0, "The camera was unplugged or taken away."));
      }
      this.video.srcObject = this.media;
      await this.video.play();
    } catch (error) {
      if (this.isOver) return;
      return this.stop(new Problem(0, WHY[error.name] ?? `The camera could not be started: ${error.message}`));
    }
    if (!this.isOver) this.connect();
  }

  connect() {
    const url = new URL(`v1/stream?${new URLSearchParams({ model: this.model.name })}`, document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const { crop = 0.875, size, frames, seconds } = this.model.clip;
    // The short side that the model's own resizing asks for; more would be thrown away.
    const side = Math.min(480, Math.max(96, Math.ceil(size / crop)), this.video.videoWidth, this.video.videoHeight);
    const scale = side / Math.min(this.video.videoWidth, this.video.videoHeight);
    this.canvas.width = Math.round(scale * this.video.videoWidth);
    this.canvas.height = Math.round(scale * this.video.videoHeight);
    const rate = Math.min(30, Math.max(10, seconds ? (2 * frames) / seconds : 15));
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      if (currentToken() !== null) this.tell({ token: currentToken() });
      this.tell({ type: "start", format: "jpeg", width: this.canvas.width, height: this.canvas.height });
      this.zero = performance.now();
      this.timer = setInterval(() => this.frame(), 1000 / rate);
    };
    this.socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "problem") this.stop(new Problem(message.status ?? 0, message.detail ?? message.title));
      else this.heard(message);
    };
    this.socket.onclose = ({ reason }) =>
      this.stop(new Problem(0, reason || "The service ended the stream, or could not be reached."));
  }

  tell(message) {
    this.socket.send(JSON.stringify(message));
  }

  frame() {
    if (this.isEncoding || this.socket.bufferedAmount > MOST_BUFFERED) {
      this.skipped += 1;
      return;
    }
    const seconds = this.now();
    this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    this.isEncoding = true;
    this.canvas.toBlob(async (picture) => {
      const head = new DataView(new ArrayBuffer(8));
      head.setFloat64(0, seconds, true);
      const message = picture && (await new Blob([head.buffer, picture]).arrayBuffer());
      this.isEncoding = false;
      if (!message || this.socket.readyState !== WebSocket.OPEN) return;
      this.socket.send(message);
      this.sent += 1;
    }, "image/jpeg", QUALITY);
  }

  /** End it; the camera's light goes out. */
  stop(problem = null) {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.timer);
    if (this.media) stopTracks(this.media);
    this.video.srcObject = null;
    if (this.socket) {
      this.socket.onclose = null;
      this.socket.onmessage = null;
      this.socket.close();
    }
    this.ended(problem);
  }
}

function stopTracks(media) {
  for (const track of media.getTracks()) track.stop();
}
