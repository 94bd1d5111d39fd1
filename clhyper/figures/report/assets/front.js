// The Pareto front of a chart, how surely a configuration is on it, and what stands beside points.

/** The best value within each budget, as steps; what learned all experiences at once can't be on it. */
function frontTrace(shown, x, y, notes) {
  const stream = ofStream(shown);
  if (stream.length < 2 || x === y) return null;
  if (stream.length < shown.length) notes.add("The front leaves out what has no forgetting: it learns all experiences at once.");
  const [sx, sy] = [x, y].map((one) => (one.better === "higher" ? -1 : 1));
  const points = stream.map((one) => cornerOf(one, x, y));
  const best = frontOf(shown, x, y);
  const corners = best.map((one) => cornerOf(one, x, y));
  if (new Set(corners.map(String)).size < 2) {
    notes.add(`${names(best)}: none other is as good for as little, so that the front is this point.`);
    return null;
  }
  const path = corners.flatMap(([u, v], place) => (place ? [[u, corners[place - 1][1]], [u, v]] : [[u, v]]));
  const edge = Math.max(...points.map(([u]) => u));
  path.push([edge, corners.at(-1)[1]]);
  return {
    type: "scatter",
    mode: "lines",
    name: "Pareto front",
    meta: "Pareto front",
    x: path.map(([u]) => sx * u),
    y: path.map(([, v]) => sy * v),
    hoverinfo: "skip",
    opacity: 0.45,
    line: { color: "#b8a33a", width: 6 },
  };
}

const UP = 350; // pixels, about, that the vertical axis has

/** What may be on a front: not what learned all experiences at once. */
function ofStream(shown) {
  const some = shown.some((one) => isKnown(mean(one, "forgetting")));
  return shown.filter((one) => !some || isKnown(mean(one, "forgetting")));
}

/** Configurations that no other beats. */
function frontOf(shown, x, y) {
  const stream = ofStream(shown);
  return paretoFront(stream.map((one) => cornerOf(one, x, y))).map((place) => stream[place]);
}

/** Both to be small; digits beyond are what is left of rounding. */
function cornerOf(configuration, x, y) {
  return [x, y].map((one) => (one.better === "higher" ? -1 : 1) * Number(onAxis(one, mean(configuration, one.name)).toPrecision(12)));
}

/** The probabilities for two axes, either of them across; null where there are none. */
function chancesOf(x, y) {
  return report.chances.find((one) => (one.metric === y.name && one.cost === x.name) || (one.metric === x.name && one.cost === y.name)) ?? null;
}

function chance(configuration, x, y) {
  return chancesOf(x, y)?.probabilities[configuration.index] ?? null;
}

function chanceText(configuration, x, y) {
  const probability = chance(configuration, x, y);
  return isKnown(probability) ? `on the Pareto front with probability ${probability.toFixed(2)}` : "";
}

function chanceNote(x, y) {
  if (!report.chances.length) return "";
  const several = visible().length < report.configurations.length ? ", among all configurations of the stream" : "";
  if (chancesOf(x, y)) return `Percentages: the probability that a point is on the front, over resampled repetitions${several}.`;
  const list = (name) => [...new Set(report.chances.map((one) => measureOf(one[name]).short))].join(" or ");
  return `The probability that a point is on the front is known for ${list("metric")} against ${list("cost")} only.`;
}

/** Freeze depths, and probabilities of points on the front, where they don't lie over each other. */
function writeBeside(element, shown, traces, x, y, acrossScale, upScale) {
  const several = new Set(shown.map((one) => one.fields.freeze_depth)).size > 1;
  const onFront = new Set(state.front ? frontOf(shown, x, y) : []);
  const words = (one) => {
    const probability = onFront.has(one) ? chance(one, x, y) : null;
    const depth = several && one.fields.freeze_depth !== null ? `k=${one.fields.freeze_depth}` : "";
    return [depth, isKnown(probability) ? `${Math.round(100 * probability)} %` : ""].filter(Boolean).join(", ");
  };
  const [across, up] = [pixels(shown, x, acrossScale, element.clientWidth - 90), pixels(shown, y, upScale, UP)];
  const points = new Map(shown.map((one) => [one, { left: across(one) - 5, right: across(one) + 5, bottom: up(one) - 5, top: up(one) + 5 }]));
  const places = freePlaces([...shown].sort((one, other) => onFront.has(other) - onFront.has(one)), points, words);
  for (const trace of traces) {
    trace.text = trace.on.map((one) => (places.has(one) ? words(one) : ""));
    trace.textposition = trace.on.map((one) => places.get(one) ?? "top right");
  }
}

/** Where the words of each stand that have room; earlier ones take it first. */
function freePlaces(order, points, words) {
  const taken = [...points.values()];
  const isFree = (box) => box.left > 0 && box.bottom > -20 && box.top < UP && taken.every((other) => box.left > other.right || other.left > box.right || box.bottom > other.top || other.bottom > box.top);
  const found = new Map();
  for (const one of order.filter(words)) {
    const { left, right, bottom, top } = points.get(one);
    const text = words(one);
    const width = 6.5 * text.length;
    if (taken.some((other) => other.text === text && Math.abs(other.left - right) < 45 && Math.abs(other.top - top) < 30)) continue;
    const boxAt = (place) => ({
      ...(place.endsWith("right") ? { left: right + 1, right: right + width } : { left: left - width, right: left - 1 }),
      ...(place.startsWith("top") ? { bottom: top - 4, top: top + 9 } : { bottom: bottom - 9, top: bottom + 4 }),
    });
    const place = ["top right", "bottom right", "top left", "bottom left"].find((name) => isFree(boxAt(name)));
    if (!place) continue;
    taken.push({ ...boxAt(place), text });
    found.set(one, place);
  }
  return found;
}

/** About where on its axis a configuration stands, in pixels. */
function pixels(shown, measure, scale, length) {
  const at = (one) => (scale === "log" ? Math.log(mean(one, measure.name)) : onAxis(measure, mean(one, measure.name)));
  const ends = scale === "log" ? [Math.min(...shown.map(at)), Math.max(...shown.map(at))] : (rangeOf(measure, shown) ?? [0, 1]);
  return (one) => (length * (at(one) - ends[0])) / (ends[1] - ends[0] || 1);
}
