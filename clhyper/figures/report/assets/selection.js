// What the reader has chosen. It outlives new content: configurations are remembered by the names of their runs.

const SHOWN_AT_FIRST = 100;
const initial = () => ({
  setting: undefined, // its title; null: all; undefined: not chosen yet
  filters: new Map(), // of a field, the value as text
  search: "",
  sort: { name: "acc", descending: true },
  columns: null, // names of measures; null: the usual ones
  selected: new Set(), // names of runs
  open: new Set(), // names of runs
  shown: SHOWN_AT_FIRST,
  x: "train_macs",
  y: null, // forgetting or ACC, whichever says more
  xScale: "auto",
  yScale: "auto",
  front: true,
  bars: true,
  depth: "acc",
  curve: "curve",
  cost: "macs",
  a: null, // name of a run
  b: null,
  compared: "acc",
});
const state = initial();
const FIELD_WORDS = {
  family: "strategy",
  freeze_depth: "freeze depth",
  orders: "class order",
  variant: "options",
};

function fieldWords(name) {
  return FIELD_WORDS[name] ?? name.replaceAll("_", " ");
}

function fieldText(configuration, name) {
  const value = configuration.fields[name];
  return value === null || value === "" ? "none" : String(value);
}

/** What an element of the page that belongs to a configuration is called, whatever its place in newer content. */
function identity({ setting, strategy, fields: { orders, ...fields } }) {
  return JSON.stringify([report.settings[setting].title, strategy, ...Object.values(fields)]);
}

/** A configuration is known by its first run, whatever its place in newer content. */
function keyOf(configuration) {
  return report.runs.name[configuration.runs[0]];
}

function isIn(set, configuration) {
  return configuration.runs.some((run) => set.has(report.runs.name[run]));
}

function toggle(set, configuration, on) {
  for (const run of configuration.runs) set.delete(report.runs.name[run]);
  if (on) set.add(keyOf(configuration));
}

function configurationOf(name) {
  const run = report.runs.name.indexOf(name);
  return run < 0 ? null : report.configurations[report.runs.configuration[run]];
}

function textOf(configuration) {
  const names = configuration.runs.map((run) => report.runs.name[run]);
  const title = report.settings[configuration.setting].title;
  return [configuration.label, title, configuration.fields.variant, configuration.note, ...names].join(" ").toLowerCase();
}

function isFound(configuration, words) {
  if (!words.length) return true;
  configuration.text ??= textOf(configuration);
  return words.every((word) => configuration.text.includes(word));
}

/** Configurations that the filters leave, in the order of the content; the same list until something changes. */
function visible() {
  const key = JSON.stringify([state.setting, [...state.filters], state.search]);
  if (visible.key !== key || visible.report !== report) Object.assign(visible, { key, report, found: filteredNow() });
  return visible.found;
}

function filteredNow() {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  return report.configurations.filter(
    (one) =>
      (!state.setting || report.settings[one.setting].title === state.setting) &&
      [...state.filters].every(([name, value]) => fieldText(one, name) === value) &&
      isFound(one, words),
  );
}

function sortValue(configuration, name) {
  if (name === "label") return nameOf(configuration);
  if (name === "seeds") return configuration.seeds;
  if (name in configuration.fields) return configuration.fields[name];
  return mean(configuration, name);
}

/** The visible ones, each setting's by what the reader sorts by; what lacks it comes last. */
function sorted() {
  const { name, descending } = state.sort;
  const key = new Map(visible().map((one) => [one, sortValue(one, name)]));
  const lacks = (value) => value === null || value === undefined || value === "";
  return [...key.keys()].sort((one, other) => {
    if (one.setting !== other.setting) return one.setting - other.setting;
    const [a, b] = [key.get(one), key.get(other)];
    if (lacks(a) || lacks(b)) return lacks(a) - lacks(b) || one.index - other.index;
    const difference = typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return (descending ? -difference : difference) || one.index - other.index;
  });
}

/** Settings with visible configurations, and these. */
function panels(configurations = visible()) {
  return report.settings
    .map((setting, place) => ({ ...setting, shown: configurations.filter((one) => one.setting === place) }))
    .filter((one) => one.shown.length);
}

/** Of each setting the selected visible ones, or else the `most` best by ACC, those of each strategy first. */
function chosen(most) {
  const every = visible();
  const picked = every.filter((one) => isIn(state.selected, one));
  if (picked.length) return { shown: picked, picked: true, of: every.length };
  const best = panels(every).flatMap(({ shown }) => bestOfEach(shown).slice(0, most));
  return { shown: best, picked: false, of: every.length };
}

/** By ACC, the best of each strategy before others; the naive learner, beside which all lines look level, comes late. */
function bestOfEach(configurations) {
  const ranked = byAccuracy(configurations.filter((one) => one.seeds > 0));
  const isNaive = (one) => one.fields.family === "naive";
  const firsts = [...Map.groupBy(ranked, (one) => one.fields.family).values()].map(([first]) => first);
  const order = [...firsts.filter((one) => !isNaive(one)), ...(firsts.length > 4 ? firsts.filter(isNaive) : [])];
  return [...order, ...ranked.filter((one) => !order.includes(one) && !isNaive(one)), ...ranked.filter((one) => !order.includes(one) && isNaive(one))];
}

function byAccuracy(configurations) {
  return [...configurations].sort((one, other) => (mean(other, "acc") ?? -1) - (mean(one, "acc") ?? -1));
}

/** What to say of `chosen` below a chart. */
function chosenNote({ shown, picked, of }) {
  if (picked) return `${plural(shown.length, "selected configuration")}.`;
  return shown.length < of ? "The best of each strategy by ACC, then the next best; select others in the leaderboard." : "";
}
