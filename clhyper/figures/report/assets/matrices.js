// Accuracy matrices as heat maps: of configurations, means over repetitions; of a run, its own.

const MOST_WITH_NUMBERS = 12;

function drawMatrices() {
  const picked = chosen(4);
  const items = picked.shown.map((one) => ({ one, matrix: meanMatrix(completeRuns(one)) })).filter(({ matrix }) => matrix).slice(0, 24);
  const several = new Set(items.map(({ one }) => one.setting)).size > 1;
  const titleOf = ({ one }) => nameOf(one) + (several ? `, ${report.settings[one.setting].title}` : "");
  const scale = scaleFor(items.map(({ matrix }) => matrix));
  drawPanels("matrices-panels", items, titleOf, (element, { one, matrix }) => drawMatrix(element, matrix, scale, `Accuracy matrix of ${nameOf(one)}`, true));
  byId("matrices-note").textContent = items.length
    ? ["Accuracy in percent on each experience (across) after learning each (down), mean over repetitions.", chosenNote(picked)].join(" ")
    : "No complete run of these has its accuracy matrix on this page.";
}

/** The ends of the colours in percent, the same for all matrices beside each other. */
function scaleFor(matrices) {
  const known = matrices.flat(2).filter(isKnown);
  const low = 5 * Math.floor(20 * Math.min(...known));
  const high = 5 * Math.ceil(20 * Math.max(...known));
  return high - low >= 10 ? [low, high] : [Math.max(0, high - 10), high];
}

/** Labels of every place, or where these are many, of every fifth. */
function sparse(size) {
  if (size <= MOST_WITH_NUMBERS) return {};
  const step = size <= 30 ? 5 : 10 * Math.ceil(size / 60);
  const places = [1, ...Array.from({ length: Math.floor(size / step) }, (_, place) => step * (place + 1))];
  return { tickvals: places.map(String) };
}

/** Draws R[after, on] in percent; a matrix of one row is of a run that learned all experiences at once, if complete. */
function drawMatrix(element, matrix, scale, words, complete) {
  const size = matrix[0].length;
  const atOnce = complete && matrix.length === 1 && size > 1;
  const after = matrix.map((_, place) => (atOnce ? "all" : String(place + 1)));
  const numbers = matrix.map((row) => row.map((value) => (value === null ? null : 100 * value)));
  const cell = isPaper() ? Math.max(8, Math.min(24, 170 / size)) : Math.max(16, Math.min(34, 260 / size));
  const trace = {
    type: "heatmap",
    x: matrix[0].map((_, place) => String(place + 1)),
    y: after,
    z: numbers,
    zmin: scale[0],
    zmax: scale[1],
    colorscale: isDark() ? [[0, "#22272d"], [1, "#6db6f2"]] : [[0, "#f3f6f9"], [1, "#0b63a5"]],
    showscale: size > MOST_WITH_NUMBERS,
    colorbar: { thickness: 8, outlinewidth: 0, ticksuffix: " %", len: 1 },
    texttemplate: size > MOST_WITH_NUMBERS ? undefined : "%{z:.0f}",
    textfont: { size: 11 },
    hovertemplate: "after %{y}, on %{x}: %{z:.1f} %<extra></extra>",
    hoverongaps: false,
    xgap: 1,
    ygap: 1,
  };
  chart(element, [trace], {
    height: Math.max(120, cell * matrix.length + 75),
    showlegend: false,
    margin: { l: 45, r: 10, t: 8, b: 42 },
    xaxis: axis("accuracy on experience", { type: "category", showgrid: false, fixedrange: true, ticks: "", tickangle: 0, ...sparse(matrix[0].length), showline: false }),
    yaxis: axis("after", { type: "category", autorange: "reversed", showgrid: false, fixedrange: true, ticks: "", ...sparse(matrix.length), showline: false }),
  }, words);
}
