// Results as files: JSON, and events as the same CSV and WebVTT that `vmf find` writes.

const FORMULA = /^(\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])/;

/** Everything but the attention, which is pictures. */
export function asJson(name, result) {
  const { attention, ...rest } = result;
  return `${JSON.stringify({ file: name, ...rest }, null, 1)}\n`;
}

/** One line an event; no cell that a spreadsheet would compute. */
export function asCsv(name, events) {
  const path = FORMULA.test(name) ? `./${name}` : name;
  const lines = events.map((event) => {
    const unquoted = event.label.replace(/^'+/, "");
    const label = FORMULA.test(unquoted) ? `'${event.label}` : event.label;
    const times = [event.start_seconds.toFixed(3), event.end_seconds.toFixed(3)];
    return [cell(path), cell(label), ...times, event.score.toFixed(6)].join(",");
  });
  return `${["path,label,start_seconds,end_seconds,score", ...lines].join("\n")}\n`;
}

const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Events as subtitles. */
export function asVtt(events) {
  const cues = events.map((event) => {
    const words = event.label.split(/\s+/).filter(Boolean).join(" ");
    const label = words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
    const text = `${label} (${Math.round(100 * event.score)} %)`;
    return `${mark(event.start_seconds)} --> ${mark(event.end_seconds)}\n${text}\n`;
  });
  return ["WEBVTT\n", ...cues].join("\n");
}

function mark(seconds) {
  const whole = Math.round(1000 * seconds);
  const part = (size, of, digits) => String(Math.floor(whole / size) % of).padStart(digits, "0");
  return `${part(3_600_000, 1e9, 2)}:${part(60_000, 60, 2)}:${part(1000, 60, 2)}.${part(1, 1000, 3)}`;
}

/** Hand a text to the browser as a file. */
export function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // Later, as the browser reads it after this call.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Three buttons' work: what `kind` of file of a result. */
export function saveResult(kind, name, result) {
  const stem = `${name.replace(/\.[^.]+$/, "")}.${result.model.replace(/[^\w.-]+/g, "_")}`;
  if (kind === "json") save(`${stem}.json`, "application/json", asJson(name, result));
  if (kind === "csv") save(`${stem}.csv`, "text/csv", asCsv(name, result.events));
  if (kind === "vtt") save(`${stem}.vtt`, "text/vtt", asVtt(result.events));
}
