// Charts in the page's colours, drawn when their section comes into view.

const sections = [];
const CONFIG = {
  displaylogo: false,
  modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
  toImageButtonOptions: { format: "svg" },
};
const printing = window.matchMedia("print");

/** Whether the page is dark now. */
function isDark() {
  return !printing.matches && !section.printing && theme() === "dark";
}

/** A colour of the page as Plotly takes it. */
function ink(name) {
  const probe = byId("title");
  probe.style.color = `var(--${name})`;
  const colour = getComputedStyle(probe).color;
  probe.style.color = "";
  return colour;
}

function lookOf(configuration) {
  return report.series[configuration.series] ?? null;
}

function colourOf(configuration) {
  return seriesColour(lookOf(configuration));
}

function seriesColour(look) {
  return look ? look[isDark() ? "dark" : "light"] : ink("muted");
}

/** Draws a section of the page: once it is near the view, and again whenever what it shows has changed. */
function section(id, draw) {
  const one = { draw, element: byId(id), isStale: true, isNear: false };
  sections.push(one);
  new IntersectionObserver(
    (entries) => {
      one.isNear = entries.at(-1).isIntersecting;
      drawStale(one);
    },
    { rootMargin: "400px" },
  ).observe(one.element);
}

function drawStale(one, anyway = false) {
  if (!one.isStale || !(one.isNear || anyway) || !window.Plotly) return;
  one.isStale = false;
  one.draw();
  one.element.setAttribute("aria-busy", "false");
}

/** Draws what is near the view, and the rest once it is; for paper all, at once. */
function refreshCharts(all = false) {
  comparisonControls();
  for (const one of sections) {
    one.isStale = true;
    one.element.setAttribute("aria-busy", "true");
    drawStale(one, all);
  }
}

/** A panel for each of `items` in an element; those that stay keep their charts. */
function drawPanels(id, items, titleOf, drawPanel) {
  const parent = byId(id);
  parent.classList.toggle("several", items.length > 1 && !parent.classList.contains("small"));
  const old = [...parent.children];
  old.slice(items.length).forEach(removePanel);
  items.forEach((item, place) => {
    const panel = old[place] ?? newPanel(parent);
    const title = titleOf(item);
    panel.querySelector("h3").textContent = title;
    panel.querySelector("h3").hidden = !title;
    drawPanel(panel.querySelector(".chart"), item);
  });
}

function newPanel(parent) {
  const panel = make("div", { class: "panel" }, make("h3"), make("div", { class: "chart" }));
  parent.append(panel);
  return panel;
}

function removePanel(panel) {
  widths.unobserve(panel.querySelector(".chart"));
  window.Plotly.purge(panel.querySelector(".chart"));
  panel.remove();
}

const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.layout && target.layout.width !== target.clientWidth && target.clientWidth) window.Plotly.relayout(target, { width: target.clientWidth });
  }
});

/** Draws or changes a chart. `words` say what it is to those who don't see it. */
function chart(element, traces, layout, words) {
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", words);
  element.style.height = `${layout.height}px`;
  window.Plotly.react(element, traces, { ...baseLayout(), uirevision: words, ...layout, width: element.clientWidth }, CONFIG);
  widths.observe(element);
}

function baseLayout() {
  const [text, line] = [ink("ink"), ink("line")];
  return {
    font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: text },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    colorway: [ink("muted")],
    hoverlabel: { bgcolor: ink("raised"), bordercolor: line, font: { color: text }, align: "left", namelength: -1 },
    hovermode: "closest",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: ink("muted"), activecolor: ink("accent") },
    dragmode: isNarrow() ? false : "zoom",
  };
}

function isNarrow() {
  return window.innerWidth < 640;
}

function axis(title, more = {}) {
  return {
    title: { text: title, standoff: 10 },
    gridcolor: ink("grid"),
    linecolor: ink("line"),
    zerolinecolor: ink("line"),
    automargin: true,
    exponentformat: "SI",
    minexponent: 4,
    ...more,
  };
}

/** Beside the chart, or below it where there is no room. */
function legend(entries) {
  const below = { orientation: "h", y: -0.22, yanchor: "top", x: 0, xanchor: "left" };
  return {
    showlegend: entries > 0,
    legend: { ...(isNarrow() ? below : { x: 1.02, xanchor: "left", y: 1 }), bgcolor: "rgba(0,0,0,0)", itemwidth: 40 },
    margin: { l: 60, r: 20, t: 12, b: 55 },
  };
}

/** Half-widths as bars; costs that are the same in every repetition have none. */
function errorBars(spreads, colour, visible = true) {
  const array = spreads.map((spread) => spread ?? 0);
  return { type: "data", array, visible: visible && array.some((spread) => spread > 0), thickness: 1, width: 3, color: colour };
}

/** A measure in the numbers of an axis: percentages for fractions. */
function onAxis(measure, value) {
  return isKnown(value) ? value * (measure.kind === "fraction" ? 100 : 1) : null;
}

function axisTitle(measure) {
  const long = capital(measure.kind === "fraction" ? measure.short : measure.long);
  const unit = { fraction: "%", seconds: "s", milliseconds: "ms", count: measure.unit }[measure.kind];
  return plain(unit ? `${long} (${unit})` : long);
}

/** What the pointer tells of a configuration. */
function hoverText(configuration, measures) {
  const lines = measures.map((one) => {
    const [value, spread] = [mean(configuration, one.name), interval(configuration, one.name)];
    const rounded = one.kind === "fraction" ? `${valueText(one, value, spread)} %` : valueText(one, value);
    return `${one.short}: ${rounded}  (${shortened(exactText(one, value), 24)})`;
  });
  const repeated = plural(configuration.seeds, "repetition");
  return [`<b>${plain(shortened(configuration.label, 70))}</b>`, ...lines.map(plain), plain(repeated)].join("<br>");
}

/** At most three lines, broken between words. */
function wrapped(text, width) {
  const rows = [""];
  for (const word of text.split(" ")) {
    if (rows.at(-1) && rows.at(-1).length + word.length >= width) rows.push("");
    rows[rows.length - 1] += rows.at(-1) ? ` ${word}` : word;
  }
  const kept = rows.slice(0, 3);
  if (rows.length > 3) kept[2] += " …";
  return kept.map((row) => plain(shortened(row, width + 8))).join("<br>");
}


function legendText(text) {
  return wrapped(text, 34);
}
