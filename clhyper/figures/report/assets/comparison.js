// Two configurations compared over the repetitions that they share.

function comparisonControls() {
  const shown = visible().filter((one) => one.seeds > 0);
  const [a, b] = comparedOf(shown);
  const several = new Set(shown.map((one) => one.setting)).size > 1;
  const words = (one) => nameOf(one) + (several ? ` (${report.settings[one.setting].title})` : "");
  const options = byAccuracy(shown).map((one) => [keyOf(one), words(one)]);
  const take = (name) => (value) => {
    state[name] = value;
    drawComparison();
  };
  place(
    "comparison-controls",
    select("compare-a", "first", options, a && keyOf(a), take("a"), true),
    select("compare-b", "second", options, b && keyOf(b), take("b"), true),
    select("compare-measure", "measure", report.measures.map((one) => [one.name, one.long]), state.compared, take("compared"), true),
  );
  drawComparison();
}

/** The two that the reader chose, or else the selected, or else the best. */
function comparedOf(shown) {
  const kept = [state.a, state.b].map((name) => (name === null ? null : configurationOf(name)));
  const picked = shown.filter((one) => isIn(state.selected, one));
  const best = byAccuracy(shown);
  const others = [...picked, ...best.filter((one) => one.setting === (picked[0] ?? best[0])?.setting)];
  const [a, b] = kept.map((one) => (one && shown.includes(one) ? one : null));
  const first = a ?? others.find((one) => one !== b) ?? null;
  const second = b ?? others.find((one) => one !== first) ?? null;
  state.a = first && keyOf(first);
  state.b = second && keyOf(second);
  return [first, second];
}

function drawComparison() {
  const [a, b] = [state.a, state.b].map((name) => (name === null ? null : configurationOf(name)));
  const measure = measureOf(state.compared);
  const why = a && b && measure ? whyNot(a, b, measure) : "Two configurations with complete runs are needed.";
  byId("comparison-result").replaceChildren(...(why ? [make("p", { class: "note", text: why })] : comparisonOf(a, b, measure)));
}

function whyNot(a, b, measure) {
  if (a === b) return "These are the same configuration; choose two different ones.";
  if (a.setting !== b.setting) return "These were run on different streams or backbones, and their numbers don't compare.";
  if (measure.measured && a.fields.engine !== b.fields.engine) return `${capital(measure.short)} compares within one engine only: these ran on ${fieldText(a, "engine")} and ${fieldText(b, "engine")}.`;
  return sharedPairs(a, b, measure).length ? "" : "They share no repetition that has this measure.";
}

/** [seed and order in words, the first's value, the second's] of each repetition that both have. */
function sharedPairs(a, b, measure) {
  const values = report.runs.values[measure.name];
  const [one, other] = [a, b].map((configuration) => repetitions(configuration));
  return [...one.keys()]
    .filter((key) => other.has(key))
    .map((key) => {
      const [seed, order] = JSON.parse(key);
      return [`seed ${seed}${order === "by number" ? "" : ` ${order}`}`, average(one.get(key).map((run) => values[run])), average(other.get(key).map((run) => values[run]))];
    })
    .filter(([, first, second]) => isKnown(first) && isKnown(second));
}

function comparisonOf(a, b, measure) {
  const rows = sharedPairs(a, b, measure);
  const [difference, half] = meanAndInterval(rows.map(([, one, other]) => one - other));
  const signed = { ...measure, signed: true };
  const text = (value) => (measure.kind === "fraction" ? `${percentText(value, true)} points` : valueText(signed, value));
  const span = isKnown(half) ? `, 95 % interval ${text(difference - half)} to ${text(difference + half)} (Student t over ${plural(rows.length, "pair")})` : "; one pair has no interval";
  const sure = isKnown(half) && Math.abs(difference) > half;
  const verdict = sure ? `${(measure.better === "higher") === difference > 0 ? nameOf(a) : nameOf(b)} is better.` : "The data don't tell which is better.";
  const lines = rows.map(([name, one, other]) =>
    make("tr", {}, make("td", { text: name }), ...[one, other, one - other].map((value, place) => make("td", { class: "number", text: valueText(place === 2 ? signed : measure, value), title: exactText(measure, value) }))),
  );
  const head = ["repetition", "first", "second", "difference"].map((words, place) => make("th", { scope: "col", class: place ? "number" : false, text: words }));
  return [
    make("p", { class: "verdict", "data-difference": difference, "data-half": half, text: `${capital(measure.short)} of ${nameOf(a)} minus that of ${nameOf(b)}: ${text(difference)}${span}. ${verdict}` }),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Pairs" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines))),
  ];
}
