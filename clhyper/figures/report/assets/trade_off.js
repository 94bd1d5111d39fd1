// A measure against a cost, or any two: error bars, lines over depth, and the Pareto front.

const SCALES = [["auto", "automatic"], ["linear", "linear"], ["log", "logarithmic"]];
const MOST_LINES = 40;
const LOGARITHMIC_FROM = 5; // times that the largest of some costs is the smallest

function tradeOffControls() {
  const options = report.measures.map((one) => [one.name, one.long]);
  const take = (name) => (value) => {
    state[name] = value;
    drawTradeOff();
  };
  place(
    "trade-off-controls",
    select("axis-y", "vertical", options, state.y, take("y"), true),
    select("scale-y", "its scale", SCALES, state.yScale, take("yScale")),
    select("axis-x", "horizontal", options, state.x, take("x"), true),
    select("scale-x", "its scale", SCALES, state.xScale, take("xScale")),
    checkbox("show-front", "Pareto front", state.front, take("front")),
    checkbox("show-bars", "error bars", state.bars, take("bars")),
  );
}

function drawTradeOff() {
  const [x, y] = [measureOf(state.x), measureOf(state.y)];
  const notes = new Set();
  if (!x || !y) {
    drawPanels("trade-off-panels", [], String, () => {});
    byId("trade-off-note").textContent = "No complete run has been measured yet.";
    return;
  }
  byId("trade-off-title").textContent = `${capital(y.short)} against ${x.short}`;
  if (state.front) notes.add(chanceNote(x, y));
  const items = panels();
  drawPanels("trade-off-panels", items, ({ title }) => (items.length > 1 ? title : ""), (element, setting) => {
    drawOneTradeOff(element, setting, x, y, notes);
  });
  byId("trade-off-note").textContent = [...notes].join(" ");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function drawOneTradeOff(element, setting, x, y, notes) {
  const points = setting.shown.filter((one) => isKnown(mean(one, x.name)) && isKnown(mean(one, y.name)));
  const [acrossScale, upScale] = [scaleOf(state.xScale, x, points), scaleOf(state.yScale, y, points)];
  const isOn = (one) => (acrossScale === "linear" || mean(one, x.name) > 0) && (upScale === "linear" || mean(one, y.name) > 0);
  const shown = points.filter(isOn);
  if (shown.length < points.length) notes.add(`Not on a logarithmic axis, since not above 0: ${names(points.filter((one) => !isOn(one)))}.`);
  if (points.length < setting.shown.length) notes.add(`Not shown, since ${x.short} or ${y.short} is not known: ${names(setting.shown.filter((one) => !points.includes(one)))}.`);
  const shared = x.measured || y.measured ? machines(shown) : "";
  if (shared) notes.add(shared);
  const traces = pointTraces(setting, shown, x, y);
  if (traces.some((one) => one.isFamily)) notes.add("So many are drawn as points alone, a colour a strategy; filter for fewer to see lines and error bars.");
  const front = state.front && !shared.startsWith("Measured") ? frontTrace(shown, x, y, notes) : null;
  writeBeside(element, shown, traces, x, y, acrossScale, upScale);
  chart(element, front ? [front, ...traces] : traces, {
    height: 440,
    xaxis: axis(axisTitle(x), scaled(acrossScale, x, shown)),
    yaxis: axis(axisTitle(y), scaled(upScale, y, shown)),
  }, `${y.long} against ${x.long}, ${setting.title}; the leaderboard has the numbers`);
}

/** Logarithmic by itself for costs that span much. */
function scaleOf(choice, measure, points) {
  if (choice !== "auto") return choice;
  const values = points.map((one) => mean(one, measure.name));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return measure.kind !== "fraction" && measure.kind !== "bits" && low > 0 && high / low > LOGARITHMIC_FROM ? "log" : "linear";
}

function scaled(scale, measure, shown) {
  return scale === "log" ? { type: "log", dtick: "D2", tickformat: "~s" } : { type: "linear", range: rangeOf(measure, shown) };
}

/** The limits of an axis: intervals of few repetitions may be many times wider than what they lie around. */
function rangeOf(measure, shown) {
  const spread = (one) => (state.bars && onAxis(measure, interval(one, measure.name))) || 0;
  return limitsOf(shown.map((one) => ({ value: onAxis(measure, mean(one, measure.name)), spread: spread(one) })), mostOf(measure));
}

/** None goes much beyond `most`, which no value exceeds. */
function limitsOf(points, most = Infinity) {
  if (!points.length) return undefined;
  const [low, high] = [Math.min(...points.map(({ value }) => value)), Math.max(...points.map(({ value }) => value))];
  const span = high - low || Math.abs(high) / 5 || 1;
  const bottom = Math.max(low - span, Math.min(...points.map(({ value, spread }) => value - spread)));
  const top = Math.min(high + span, Math.max(...points.map(({ value, spread }) => value + spread)));
  const room = 0.1 * (top - bottom || span);
  return [bottom - room, Math.min(top + room, most + 0.25 * room)];
}

function names(configurations) {
  const few = configurations.slice(0, 4).map(nameOf);
  return few.join(", ") + (configurations.length > few.length ? ` and ${configurations.length - few.length} more` : "");
}

/** Why what was measured doesn't compare; empty where it does. */
function machines(configurations) {
  for (const name of ["device", "engine"]) {
    const kinds = [...new Set(configurations.map((one) => fieldText(one, name)))];
    if (kinds.length > 1) return `Measured on several ${name}s (${kinds.join(", ")}), which don't compare: no front is drawn. Filter for one.`;
  }
  const most = Math.max(0, ...configurations.map((one) => one.runs_at_once ?? 0));
  return most > 1 ? `Times with up to ${most} runs at once on the machine, which lengthens them.` : "";
}

/** A trace for each line, or where these are many, for each strategy. */
function pointTraces(setting, shown, x, y) {
  const every = lines(setting, shown);
  if (every.length <= MOST_LINES) return every.map((line) => pointsTrace(line, x, y));
  const families = Map.groupBy(shown, (one) => one.fields.family);
  return [...families.values()].map((on) => {
    const points = pointsTrace({ look: lookOf(on[0]), on }, x, y);
    const family = on[0].fields.family;
    return { ...points, mode: "markers+text", name: plain(family), meta: family, error_x: {}, error_y: {}, isFamily: true };
  });
}

/** The lines of a setting with what is shown on them; what is on none is a line of its own. */
function lines(setting, shown) {
  const found = setting.lines
    .map((line) => ({ look: report.series[line.series], on: line.configurations.map((place) => report.configurations[place]).filter((one) => shown.includes(one)) }))
    .filter((line) => line.on.length);
  const drawn = new Set(found.flatMap((line) => line.on));
  return [...found, ...shown.filter((one) => !drawn.has(one)).map((one) => ({ look: null, on: [one] }))];
}

function pointsTrace({ look, on }, x, y) {
  const colour = seriesColour(look);
  const values = (measure) => on.map((one) => onAxis(measure, mean(one, measure.name)));
  const bars = (measure) => errorBars(values(measure), on.map((one) => onAxis(measure, interval(one, measure.name))), colour, state.bars, mostOf(measure));
  const isLine = on.length > 1;
  return {
    type: "scatter",
    mode: isLine ? "lines+markers+text" : "markers+text",
    name: plain(lineName(on)),
    meta: lineName(on),
    x: values(x),
    y: values(y),
    error_x: bars(x),
    error_y: bars(y),
    on,
    textfont: { size: 10.5, color: ink("muted") },
    hovertext: on.map((one) => [hoverText(one, [y, x]), chanceText(one, x, y)].filter(Boolean).join("<br>")),
    hoverinfo: "text",
    line: { color: colour, width: 1, dash: look?.dash ?? "dot" },
    marker: { color: colour, size: 9, symbol: look?.symbol ?? "circle-open", line: { color: ink("ground"), width: 0.8 } },
  };
}
