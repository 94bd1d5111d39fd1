// What the page shows, as clhyper.figures.report.content makes it, and what is computed from it here.

let report = null;

/** Takes in new content. */
function adopt(content) {
  report = content;
  report.places = new Map(content.measures.map((one, place) => [one.name, place]));
  content.configurations.forEach((one, index) => Object.assign(one, { index, runs: [] }));
  (content.runs.configuration ?? []).forEach((of, run) => content.configurations[of].runs.push(run));
}

function measureOf(name) {
  return report.measures[report.places.get(name)];
}

function mean(configuration, name) {
  return report.places.has(name) ? configuration.means[report.places.get(name)] : null;
}

function interval(configuration, name) {
  return report.places.has(name) ? configuration.intervals[report.places.get(name)] : null;
}

function completeRuns(configuration) {
  return configuration.runs.filter((run) => report.runs.status[run] === "complete");
}

/** Complete runs by seed and order of classes; what was run twice is one repetition. */
function repetitions(configuration) {
  const found = new Map();
  for (const run of completeRuns(configuration)) {
    const key = JSON.stringify([report.runs.seed[run], report.runs.order[run]]);
    found.set(key, [...(found.get(key) ?? []), run]);
  }
  return found;
}

function average(values) {
  const known = values.filter(isKnown);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

/** Mean and half-width of the 95 % Student t interval, null where there is none. */
function meanAndInterval(values) {
  const known = values.filter(isKnown);
  const middle = average(known);
  const quantile = report.quantiles[known.length - 2];
  if (known.length < 2 || quantile === undefined) return [middle, null];
  const squares = known.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return [middle, (quantile * Math.sqrt(squares / (known.length - 1))) / Math.sqrt(known.length)];
}

/** A run's accuracy matrix as rows of fractions or null; null where the page has none. */
function matrixOf(run) {
  const packed = report.runs.matrix?.[run];
  if (!packed) return null;
  const bytes = Uint8Array.from(atob(packed.cells), (letter) => letter.charCodeAt(0));
  const cells = new DataView(bytes.buffer);
  const at = (place) => cells.getUint16(2 * place, true);
  return Array.from({ length: packed.rows }, (_, row) =>
    Array.from({ length: packed.columns }, (_, column) => {
      const value = at(row * packed.columns + column);
      return value === 65535 ? null : value / 10000;
    }),
  );
}

/** The mean of matrices of one shape, cell by cell; null where there is none. */
function meanMatrix(runs) {
  const matrices = runs.map(matrixOf).filter(Boolean);
  if (!matrices.length) return null;
  return matrices[0].map((row, i) => row.map((_, j) => average(matrices.map((matrix) => matrix[i]?.[j]))));
}

/** Over the repetitions of a configuration: mean and half-width at each place of a list that each run has. */
function course(configuration, listOf) {
  const lists = [...repetitions(configuration).values()].map((runs) => {
    const known = runs.map(listOf).filter(Boolean);
    const length = Math.max(0, ...known.map((list) => list.length));
    return Array.from({ length }, (_, place) => average(known.map((list) => list[place])));
  });
  const length = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length }, (_, place) => meanAndInterval(lists.map((list) => list[place])));
}

/** Places of the points that no other beats, both coordinates to be small, by the first coordinate. */
function paretoFront(points) {
  const order = points.map((_, place) => place).sort((a, b) => points[a][0] - points[b][0] || points[a][1] - points[b][1]);
  const front = [];
  for (const place of order) {
    const last = points[front.at(-1)];
    const equal = last && points[place][0] === last[0] && points[place][1] === last[1];
    if (!last || points[place][1] < last[1] || equal) front.push(place);
  }
  return front;
}
