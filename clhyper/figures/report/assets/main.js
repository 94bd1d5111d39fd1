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
  refreshCharts();
}

/** Measures that nobody has give way to others. */
function keepChoicesPossible() {
  if (!report.measures.length) return;
  const has = (name) => report.places.has(name);
  const first = report.measures[0].name;
  if (!has(state.x)) state.x = report.measures.find((one) => one.kind !== "fraction")?.name ?? first;
  if (!has(state.y)) state.y = first;
  for (const name of ["depth", "compared"]) if (!has(state[name])) state[name] = first;
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
  drawTable();
  refreshCharts(isPaper);
};
window.addEventListener("beforeprint", onPaper(true));
window.addEventListener("afterprint", onPaper(false));
printing.addEventListener("change", (event) => onPaper(event.matches)());
byId("filters").addEventListener("submit", (event) => event.preventDefault());

let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (width < 640 !== window.innerWidth < 640) refreshCharts();
  width = window.innerWidth;
});
