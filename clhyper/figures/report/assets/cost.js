// What training is made of: multiply-accumulates by part, and seconds.

const PART_COLOURS = {
  light: ["#0072B2", "#E69F00", "#56B4E9", "#D55E00", "#8c8c8c"],
  dark: ["#4394dc", "#efb13c", "#8fd0f4", "#ec7b35", "#9a9a9a"],
};

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
  const shared = state.cost === "seconds" ? machines(picked.shown).replace(": no front is drawn", "") : "";
  byId("cost-note").textContent = items.length ? [shared, chosenNote(picked)].join(" ").trim() : "No complete run of these tells its cost by part.";
}

function drawBars(element, { title, shown }, measures) {
  const labels = shown.map((one, place) => `${place + 1}`);
  const traces = measures.map((measure, place) => ({
    type: "bar",
    orientation: "h",
    name: plain(state.cost === "macs" ? measure.short.replace(" MACs", "") : measure.long),
    y: labels,
    x: shown.map((one) => mean(one, measure.name)),
    hovertext: shown.map((one) => hoverText(one, [measure])),
    textposition: "none",
    hoverinfo: "text",
    marker: { color: PART_COLOURS[isDark() ? "dark" : "light"][place] },
  }));
  const room = isNarrow() ? 16 : 36;
  chart(element, traces, {
    height: 42 * shown.length + 130,
    barmode: "stack",
    bargap: 0.35,
    ...legend(traces.length),
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal", bgcolor: "rgba(0,0,0,0)" },
    margin: { l: 60, r: 20, t: 40, b: 45 },
    xaxis: axis(state.cost === "macs" ? "multiply-accumulates (MAC)" : "seconds"),
    yaxis: axis("", { type: "category", autorange: "reversed", tickvals: labels, ticktext: shown.map((one) => wrapped(one.label, room)), showgrid: false }),
  }, `Cost by part, ${title}; the leaderboard has the numbers`);
}
