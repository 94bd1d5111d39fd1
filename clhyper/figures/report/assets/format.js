// Numbers as people read them: the texts of `clhyper table`, and markup that Plotly would read made harmless.

const PREFIXES = ["", "k", "M", "G", "T", "P", "E"];
const NOTHING = "–";

/** Like Python's format: what lies halfway goes to the even digit. */
function fixed(value, digits) {
  const text = value.toFixed(digits);
  const halfway = (Math.abs(value) * 2 ** (digits + 1)) % 2 === 1;
  if (!halfway || Number(text.at(-1)) % 2 === 0) return text;
  return (Math.sign(value) * (Math.abs(value) - 0.5 * 10 ** -digits)).toFixed(digits);
}

function isKnown(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** A count with three digits and a decimal prefix, such as `1.23 G`. */
function countText(value, unit = "") {
  let power = 0;
  while (Math.abs(value) >= 999.5 && power < PREFIXES.length - 1) {
    value /= 1000;
    power += 1;
  }
  const whole = String(Math.trunc(Math.abs(value))).length;
  const digits = power === 0 && Number.isInteger(value) ? 0 : Math.max(0, 3 - whole);
  return `${fixed(value, digits)} ${PREFIXES[power]}${unit}`.trimEnd();
}

function secondsText(value) {
  if (value < 120) return `${fixed(value, 1)} s`;
  return value < 7200 ? `${fixed(value / 60, 1)} min` : `${fixed(value / 3600, 1)} h`;
}

function percentText(value, signed = false) {
  const text = fixed(100 * value, 1).replace(/^-0\.0$/, "0.0");
  return signed && Number(text) > 0 ? `+${text}` : text;
}

/** A value of a measure, and its half-width where accuracies have one. */
function valueText(measure, value, interval = null) {
  if (!isKnown(value)) return NOTHING;
  if (measure.kind === "seconds") return secondsText(value);
  if (measure.kind === "milliseconds") return `${Number(value.toPrecision(3))} ms`;
  if (measure.kind === "count") return countText(value, measure.unit);
  if (measure.kind === "bits") {
    const sign = measure.signed && value > 0 ? "+" : "";
    return `${sign}${fixed(value, 3)}${isKnown(interval) ? ` ± ${fixed(interval, 3)}` : ""}`;
  }
  const text = percentText(value, measure.signed);
  return isKnown(interval) ? `${text} ± ${fixed(100 * interval, 1)}` : text;
}

/** The value as it is in the result files, in their unit. */
function exactText(measure, value, interval = null) {
  if (!isKnown(value)) return "not measured";
  const unit = measure.kind === "fraction" ? "" : ` ${measure.unit}`.trimEnd();
  return isKnown(interval) ? `${value}${unit} ± ${interval}` : `${value}${unit}`;
}

/** Text for Plotly, which reads tags and entities in what it draws. */
function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function shortened(text, most) {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}
