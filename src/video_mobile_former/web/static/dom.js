// Elements and words: what every part of the page uses.

/** The element with this id, which the page has. */
export const byId = (id) => document.getElementById(id);

/**
 * A new element. Text is always text: names of files and classes never become markup.
 * `set` holds properties; `class`, `aria-…` and `data-…` are attributes.
 */
export function el(tag, set = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(set)) {
    if (value === undefined || value === null) continue;
    if (name === "class" || name.includes("-")) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A name of a class, which may break after its joints. */
export function label(text) {
  const parts = text.split(/(?<=[_/.-])/);
  return el("bdi", {}, ...parts.flatMap((part, i) => (i ? [document.createElement("wbr"), part] : [part])));
}

const SVG = "http://www.w3.org/2000/svg";

/** A new element of SVG. */
export function svg(tag, set = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(set)) node.setAttribute(name, value);
  return node;
}

/** Seconds as 0:04.2, or 1:02:03 from an hour on. */
export function clock(seconds) {
  const tenths = Math.max(0, Math.round(10 * (Number.isFinite(seconds) ? seconds : 0)));
  const whole = Math.floor(tenths / 10);
  const two = (n) => String(n).padStart(2, "0");
  if (whole >= 3600) {
    return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  }
  return `${Math.floor(whole / 60)}:${two(whole % 60)}.${tenths % 10}`;
}

/** A score in [0, 1] as a percentage. */
export function percent(score) {
  if (score > 0 && score < 0.01) return "<1 %";
  return `${Math.min(score < 1 ? 99 : 100, Math.round(100 * score))} %`;
}

/** About how long, for people who wait. */
export function wait(seconds) {
  if (seconds < 1.5) return "1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}

/** A length of video. */
export function length(seconds) {
  return seconds < 60 ? `${seconds.toFixed(1)} s` : clock(seconds);
}

/** Bytes as MB or kB. */
export function bytes(count) {
  const [size, unit] = count >= 1e9 ? [1e9, "GB"] : count >= 1e6 ? [1e6, "MB"] : [1e3, "kB"];
  const value = Math.max(0.1, count / size);
  return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)} ${unit}`;
}

/** A large number as 1.2 M. */
export function short(count) {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (count >= size) return `${(count / size).toPrecision(3)} ${unit}`;
  }
  return String(count);
}

/** "1 event", "3 events". */
export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

/** Show or hide. */
export function show(node, shown) {
  node.hidden = !shown;
}

/** Position of the value nearest to `wanted` among rising numbers. */
export function nearest(values, wanted) {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && wanted - values[low - 1] <= values[low] - wanted) return low - 1;
  return low;
}
