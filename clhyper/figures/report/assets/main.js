// Brings the page up: first what can be read, then, when Plotly is there, what is drawn.

function showContent(content) {
  adopt(content);
  keepChoicesPossible();
  drawHead();
  drawFilters();
  drawColumns();
  drawTable();
  drawUnfinished();
  for (const id of ["leaderboard", "trade-off", "depth", "curves", "matrices", "cost", "comparison"]) byId(id).hidden = !report.configurations.length;
  tradeOffControls();
  depthControls();
  curveControls();
  costControls();
  comparisonControls();
  refreshCharts();
}

/** Measures that nobody has give way to others. */
function keepChoicesPossible() {
  if (!report.measures.length) return;
  const has = (name) => report.places.has(name);
  const first = report.measures[0].name;
  if (!has(state.x)) state.x = report.measures.find((one) => one.kind !== "fraction" && one.kind !== "bits")?.name ?? first;
  if (!has(state.y)) state.y = tellingMeasure() ?? first;
  for (const name of ["depth", "compared"]) if (!has(state[name])) state[name] = first;
}

/** Forgetting where it is a trade-off: where the front of the stream that is shown has several points. Else ACC. */
function tellingMeasure() {
  const [x, y] = [measureOf(state.x), measureOf("forgetting")];
  if (!y) return report.places.has("acc") ? "acc" : null;
  const sign = x.better === "higher" ? -1 : 1;
  const isTradeOff = ({ shown }) => {
    const points = shown.map((one) => [mean(one, x.name), mean(one, y.name)]).filter((pair) => pair.every(isKnown));
    const corners = points.map(([u, v]) => [sign * u, v]);
    return new Set(paretoFront(corners).map((place) => String(corners[place]))).size > 1;
  };
  const title = state.setting ?? firstSetting();
  return panels(report.configurations.filter((one) => !title || report.settings[one.setting].title === title)).some(isTradeOff) || !report.places.has("acc") ? "forgetting" : "acc";
}

connectTheme();
connectRun();
section("trade-off", drawTradeOff);
section("depth", drawDepth);
section("curves", drawCurves);
section("matrices", drawMatrices);
section("cost", drawCost);
showContent(JSON.parse(byId("content").textContent));
connectLive();
startPlotly();

// Paper is light and shows every chart.
const onPaper = (isPaper) => () => {
  section.printing = isPaper;
  document.documentElement.classList.toggle("paper", isPaper);
  drawTable();
  refreshCharts(isPaper);
};
window.addEventListener("beforeprint", onPaper(true));
window.addEventListener("afterprint", onPaper(false));
watched.push(window.matchMedia("print"));
watched.at(-1).addEventListener("change", (event) => onPaper(event.matches)());
byId("filters").addEventListener("submit", (event) => event.preventDefault());

let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (width < 640 !== window.innerWidth < 640) refreshCharts();
  width = window.innerWidth;
});
