// What training is made of: multiply-accumulates by part, and seconds.

const PART_COLOURS = {
  light: ["#0072B2", "#E69F00", "#56B4E9", "#D55E00", "#8c8c8c"],
  dark: ["#4394dc", "#efb13c", "#8fd0f4", "#ec7b35", "#9a9a9a"],
};

const UPDATE = "The update of weights is no part: it multiplies number by number, which isn't counted.";

function costKinds() {
  const known = (list) => list.map(measureOf).filter(Boolean);
  const kinds = { macs: known(report.parts), seconds: known(report.times) };
  return Object.entries(kinds).filter(([, measures]) => measures.length > 0);
}

function costControls() {
  const words = { macs: "compute by part", seconds: "seconds" };
  const kinds = costKinds();
  if (!kinds.some(([kind]) => kind === state.cost)) state.cost = kinds[0]?.[0] ?? "macs";
  const take = (value) => {
    state.cost = value;
    drawCost();
  };
  const options = kinds.map(([kind]) => [kind, words[kind]]);
  place("cost-controls", ...(options.length > 1 ? [select("cost-kind", "cost", options, state.cost, take)] : []));
}

function drawCost() {
  const measures = Object.fromEntries(costKinds())[state.cost] ?? [];
  const picked = chosen(8);
  const has = (one) => measures.some(({ name }) => isKnown(mean(one, name)));
  const items = panels(picked.shown.filter(has));
  const titleOf = ({ title }) => (items.length > 1 ? title : "");
  drawPanels("cost-panels", items, titleOf, (element, setting) => drawBars(element, setting, measures));
  const parts = costKinds().some(([kind]) => kind === "macs") ? UPDATE : "These results don't tell their compute by part.";
  const shared = state.cost === "seconds" ? machines(picked.shown).replace(": no front is drawn", "") : "";
  byId("cost-note").textContent = items.length ? [parts, shared, chosenNote(picked)].filter(Boolean).join(" ") : "No complete run of these tells its cost by part.";
}

function drawBars(element, { title, shown }, measures) {
  const labels = shown.map((one, place) => `bar ${place}`);
  const letters = Math.floor((element.clientWidth - 60) / 6.8);
  const words = (measure) => (state.cost === "macs" ? measure.short.replace(" MACs", "") : measure.long);
  const traces = measures.map((measure, place) => ({
    type: "bar",
    orientation: "h",
    name: plain(words(measure)),
    meta: words(measure),
    y: labels,
    x: shown.map((one) => mean(one, measure.name)),
    hovertext: shown.map((one) => hoverText(one, [measure])),
    textposition: "none",
    hoverinfo: "text",
    marker: { color: PART_COLOURS[isDark() ? "dark" : "light"][place] },
  }));
  const above = (one, place) => ({ text: plain(shortened(nameOf(one), letters)), x: 0, xref: "paper", xanchor: "left", y: labels[place], yanchor: "bottom", yshift: isPaper() ? 4 : 7, showarrow: false, font: { size: isPaper() ? 9.5 : 11.5 } });
  chart(element, traces, {
    height: (isPaper() ? 27 : 38) * shown.length + 75,
    barmode: "stack",
    bargap: 0.62,
    annotations: shown.map(above),
    margin: { l: 12, r: 20, t: 16, b: 45 },
    xaxis: axis(state.cost === "macs" ? "multiply-accumulates (MAC)" : "seconds"),
    yaxis: axis("", { type: "category", autorange: "reversed", showticklabels: false, showgrid: false }),
  }, `Cost by part, ${title}; the leaderboard has the numbers`);
}
