// Over freeze depth, and over the stream or the epochs.

function depthControls() {
  const options = report.measures.map((one) => [one.name, one.long]);
  const take = (value) => {
    state.depth = value;
    drawDepth();
  };
  place("depth-controls", select("depth-measure", "measure", options, state.depth, take, true));
}

function drawDepth() {
  const measure = measureOf(state.depth);
  const hasDepth = ({ shown }) => new Set(shown.map((one) => one.fields.freeze_depth).filter(isKnown)).size > 1;
  const items = measure ? panels(visible().filter((one) => isKnown(mean(one, measure.name)))).filter(hasDepth) : [];
  const titleOf = ({ title }) => (items.length > 1 ? title : "");
  drawPanels("depth-panels", items, titleOf, (element, setting) => drawOneDepth(element, setting, measure));
  byId("depth-note").textContent = items.length
    ? `Freeze depth k: the first k stages are frozen. Bars: 95 % intervals. Level lines: strategies without a freeze depth. At most ${MOST_LINES} lines, the best by ACC first.`
    : "These configurations have no two freeze depths to draw against.";
}

function drawOneDepth(element, setting, measure) {
  const depths = [...new Set(setting.shown.map((one) => one.fields.freeze_depth).filter(isKnown))].sort((a, b) => a - b);
  const best = (line) => Math.max(...line.on.map((one) => mean(one, "acc") ?? 0));
  const every = lines(setting, setting.shown).sort((one, other) => best(other) - best(one)).slice(0, MOST_LINES);
  const apart = Math.min(0.03, 0.3 / every.length);
  const traces = every.map((line, place) => depthTrace(line, measure, depths, apart * (place - (every.length - 1) / 2)));
  chart(element, traces, {
    height: 380,
    xaxis: axis("freeze depth k", { tickvals: depths, range: [depths[0] - 0.3, depths.at(-1) + 0.3], zeroline: false }),
    yaxis: axis(axisTitle(measure), { range: rangeOf(measure, every.flatMap(({ on }) => on)) }),
  }, `${measure.long} against freeze depth, ${setting.title}; the leaderboard has the numbers`);
}

function depthTrace({ look, on }, measure, depths, aside) {
  const colour = seriesColour(look);
  const deep = on.filter((one) => one.fields.freeze_depth !== null);
  const level = !deep.length;
  const points = level ? [on[0], on[0]] : deep;
  const ends = [depths[0] - 0.3, depths.at(-1) + 0.3];
  return {
    type: "scatter",
    mode: level ? "lines" : "lines+markers",
    name: plain(lineName(on)),
    meta: lineName(on),
    x: level ? ends : points.map((one) => one.fields.freeze_depth + aside),
    y: points.map((one) => onAxis(measure, mean(one, measure.name))),
    error_y: errorBars(points.map((one) => onAxis(measure, mean(one, measure.name))), points.map((one) => onAxis(measure, interval(one, measure.name))), colour, !level, mostOf(measure)),
    hovertext: points.map((one) => hoverText(one, [measure])),
    hoverinfo: "text",
    line: { color: colour, width: 1.5, dash: look?.dash ?? "dot" },
    marker: { color: colour, size: 8, symbol: look?.symbol ?? "circle-open", line: { color: ink("ground"), width: 0.8 } },
  };
}

function curveControls() {
  const hasLoss = (report.runs.loss ?? []).some(Boolean);
  const options = [["curve", "accuracy over the stream"], ...(hasLoss ? [["loss", "loss by epoch"]] : [])];
  if (!hasLoss) state.curve = "curve";
  const take = (value) => {
    state.curve = value;
    drawCurves();
  };
  place("curves-controls", ...(hasLoss ? [select("curve", "curve", options, state.curve, take)] : []));
}

function drawCurves() {
  const picked = chosen(8);
  const items = panels(picked.shown);
  const titleOf = ({ title }) => (items.length > 1 ? title : "");
  drawPanels("curves-panels", items, titleOf, state.curve === "loss" ? drawLoss : drawStream);
  const what = state.curve === "loss" ? "Mean training loss of each epoch, one experience after another." : "Mean accuracy on the experiences learned so far.";
  const going = picked.shown.some((one) => unfinishedWithCurve(one).length);
  const dotted = going && state.curve === "curve" ? "Small rings: runs without a result yet." : "";
  byId("curves-note").textContent = [what, "Bars: 95 % intervals.", dotted, chosenNote(picked)].filter(Boolean).join(" ");
}

function drawStream(element, { title, shown }) {
  const finished = shown.map((one) => curveTrace(one, course(one, (run) => report.runs.curve[run]), 100, dashOf(one, shown))).filter(Boolean);
  const going = shown.flatMap((one) => unfinishedWithCurve(one).map((run) => unfinishedTrace(one, run)));
  drawCourse(element, [...finished, ...going], "learned experiences", "accuracy so far (%)", 100, `Accuracy over the stream, ${title}`);
}

function drawLoss(element, { title, shown }) {
  const flat = (run) => report.runs.loss[run]?.flat() ?? null;
  const traces = shown.map((one) => curveTrace(one, course(one, flat), 1, dashOf(one, shown))).filter(Boolean);
  drawCourse(element, traces, "epoch of training, over all experiences", "training loss", Infinity, `Loss by epoch, ${title}`);
}

function drawCourse(element, traces, across, up, limit, words) {
  const most = Math.max(1, ...traces.map((one) => one.x.at(-1)));
  chart(element, traces, {
    height: 380,
    xaxis: axis(across, { range: [0.8 - most / 60, most + 0.2 + most / 60], dtick: most <= (isNarrow() ? 10 : 20) ? 1 : undefined, zeroline: false }),
    yaxis: axis(up, { range: spanOf(traces, limit) }),
  }, words);
}

function unfinishedWithCurve(configuration) {
  return configuration.runs.filter((run) => report.runs.status[run] !== "complete" && report.runs.curve[run]);
}

/** Configurations of one series have one colour, and a stroke each. */
function dashOf(configuration, shown) {
  const alike = shown.filter((one) => one.series === configuration.series);
  return DASHES[alike.indexOf(configuration) % DASHES.length];
}

/** The limits of what traces draw: as `rangeOf`. */
function spanOf(traces, limit) {
  const every = traces.flatMap((one) => one.y.map((value, place) => ({ value, spread: (one.error_y?.visible && one.error_y.arrayminus[place]) || 0 })));
  return limitsOf(every.filter(({ value }) => isKnown(value)), limit);
}

function curveTrace(configuration, points, factor, dash) {
  const known = points.map(([middle]) => middle).filter(isKnown).length;
  if (!known) return null;
  const look = lookOf(configuration);
  const colour = seriesColour(look);
  // All experiences at once: one accuracy, which holds for the whole stream.
  const level = known === 1 && points.length > 1;
  const values = level ? points.map(() => points.at(-1)) : points;
  return {
    type: "scatter",
    mode: points.length > 30 || level ? "lines" : "lines+markers",
    name: plain(nameOf(configuration)),
    meta: nameOf(configuration),
    x: values.map((_, place) => place + 1),
    y: values.map(([middle]) => (middle === null ? null : factor * middle)),
    error_y: errorBars(values.map(([middle]) => factor * middle), values.map(([, spread]) => factor * (spread ?? 0)), colour, points.length <= 30 && !level, factor === 100 ? 100 : Infinity),
    hovertext: values.map(([middle, spread], place) => `<b>${plain(nameOf(configuration))}</b><br>${place + 1}: ${courseText(middle, spread, factor)}`),
    hoverinfo: "text",
    line: { color: colour, width: 1.5, dash },
    marker: { color: colour, size: 7, symbol: look?.symbol ?? "circle-open", line: { color: ink("ground"), width: 0.8 } },
  };
}

const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];

function courseText(middle, spread, factor) {
  if (middle === null) return NOTHING;
  return factor === 100 ? `${percentText(middle)}${isKnown(spread) ? ` ± ${percentText(spread)}` : ""} %` : String(Number(middle.toPrecision(4)));
}

function unfinishedTrace(configuration, run) {
  const values = report.runs.curve[run];
  const words = `${nameOf(configuration)}, seed ${report.runs.seed[run]}: ${report.runs.status[run]}`;
  return {
    type: "scatter",
    mode: "lines+markers",
    name: plain(words),
    meta: words,
    x: values.map((_, place) => place + 1),
    y: values.map((value) => (value === null ? null : 100 * value)),
    hovertext: values.map((value) => plain(`${report.runs.name[run]}: ${value === null ? NOTHING : percentText(value)} %`)),
    hoverinfo: "text",
    line: { color: colourOf(configuration), width: 1, dash: "dot" },
    marker: { color: colourOf(configuration), size: 5, symbol: "circle-open" },
  };
}
