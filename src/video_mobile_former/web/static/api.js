// Calls of the service: uploads with progress, jobs, problems in the service's own words.

const SILENT = "The service does not answer. Is vmf serve still running, and is the network there?";
const BROKE_OFF =
  "The connection broke off while the file was sent. Does the file still exist, is it larger than " +
  "the service takes, is vmf serve still running?";
const KEY = "token";
const BUSY = [429, 503];

/** What a person reads when a call fails; `status` is 0 where no answer came. */
export class Problem extends Error {
  constructor(status, detail, retrySeconds = null) {
    super(detail);
    this.status = status;
    this.retrySeconds = retrySeconds;
  }
}

/** Set by the page: asks the person for the token, true when there is a new one. */
export const asking = { token: async () => false };

let token = storedToken();

/** The token that calls carry, or null. */
export const currentToken = () => token;

/** Keep a token until the tab closes. */
export function useToken(value) {
  token = value;
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // Kept for this page only.
  }
}

function storedToken() {
  const given = /[#&]token=([^&]*)/.exec(location.hash);
  try {
    if (given) {
      // Out of the address bar, history and bookmarks at once.
      history.replaceState(null, "", location.pathname + location.search);
      sessionStorage.setItem(KEY, decodeURIComponent(given[1]));
    }
    return sessionStorage.getItem(KEY);
  } catch {
    return given ? given[1] : null;
  }
}

const headers = () => (token === null ? {} : { Authorization: `Bearer ${token}` });

/** Fetch; a refusal is a Problem. A 401 asks for the token and tries again. */
export async function call(path, options = {}) {
  for (;;) {
    let answer;
    try {
      answer = await fetch(path, { ...options, headers: headers(), cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, SILENT);
    }
    if (answer.ok) return answer;
    const problem = problemOf(answer.status, await answer.text(), answer.headers);
    if (answer.status !== 401 || !(await asking.token(token !== null))) throw problem;
  }
}

function problemOf(status, text, answerHeaders) {
  let detail = "";
  try {
    const body = JSON.parse(text);
    detail = body.detail || body.title || "";
  } catch {
    // Of a proxy in between, say.
  }
  if (typeof detail !== "string" || !detail) detail = `The service answered with status ${status}.`;
  const after = Number.parseFloat(answerHeaders.get("Retry-After"));
  return new Problem(status, detail, Number.isFinite(after) ? after : null);
}

/** What the service runs: {models, limits}. */
export async function models() {
  return (await call("v1/models")).json();
}

/** One POST of a file. `told(share)` hears how much was sent. */
function post(path, file, signal, told) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) told(event.loaded / event.total);
    };
    request.onload = () => resolve(request);
    request.onerror = () => reject(new Problem(0, BROKE_OFF));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.onloadend = () => signal.removeEventListener("abort", stop);
    signal.addEventListener("abort", stop);
    const form = new FormData();
    form.append("file", file, file.name);
    request.send(form);
  });
}

/**
 * Find events in a file.
 *
 * @param {File} file
 * @param {Object} query  model, on, off, min_seconds, merge_seconds, attention
 * @param {AbortSignal} signal  cancels, on the service too
 * @param {(state: {step: string, share?: number, seconds?: number|null}) => void} told
 * @returns the job's result
 */
export async function findEvents(file, query, signal, told) {
  const path = `v1/events?${new URLSearchParams(query)}`;
  let job = null;
  while (job === null) {
    told({ step: "sending", share: 0 });
    const answer = await post(path, file, signal, (share) => told({ step: "sending", share }));
    if (answer.status >= 200 && answer.status < 300) {
      job = JSON.parse(answer.responseText);
      break;
    }
    const named = { get: (name) => answer.getResponseHeader(name) };
    const problem = problemOf(answer.status, answer.responseText, named);
    if (answer.status === 401 && (await asking.token(token !== null))) continue;
    if (!BUSY.includes(answer.status) || problem.retrySeconds === null) throw problem;
    for (let left = Math.ceil(problem.retrySeconds); left > 0; left -= 1) {
      told({ step: "busy", seconds: left });
      await pause(1000, signal);
    }
  }
  const place = `v1/jobs/${encodeURIComponent(job.id)}`;
  const forget = () => fetch(place, { method: "DELETE", headers: headers(), keepalive: true }).catch(() => {});
  addEventListener("pagehide", forget);
  try {
    let delay = 150;
    let silent = 0;
    while (job.state === "waiting" || job.state === "running") {
      const { progress: share, seconds_left: seconds } = job;
      told({ step: job.state, share, seconds });
      await pause(delay, signal);
      delay = Math.min(1000, 1.3 * delay);
      try {
        job = await (await call(place, { signal })).json();
        silent = 0;
      } catch (error) {
        // A short gap of the network loses no job.
        silent += 1;
        if (error.status !== 0 || silent > 5) throw error;
      }
    }
  } finally {
    removeEventListener("pagehide", forget);
    forget();
  }
  if (job.state === "done") return job.result;
  if (job.state === "cancelled") throw new Problem(0, "It was cancelled on the service.");
  const status = job.problem?.status ?? 500;
  throw new Problem(status, job.problem?.detail || job.problem?.title || "The service gave no reason.");
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("cancelled", "AbortError"));
    };
    if (signal.aborted) return stop();
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}
