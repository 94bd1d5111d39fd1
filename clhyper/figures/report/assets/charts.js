// Charts in the page's colours, drawn when their section comes into view.

const sections = [];
const CONFIG = {
  displaylogo: false,
  modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
  toImageButtonOptions: { format: "svg" },
};
const printing = window.matchMedia("print");

const MOST_ON_PAPER = 330; // pixels of a chart's height

function isPaper() {
  return printing.matches || Boolean(section.printing);
}

/** Whether the page is dark now. */
function isDark() {
  return !isPaper() && theme() === "dark";
}

const inks = new Map();

/** A colour of the page as Plotly takes it. */
function ink(name) {
  const key = `${name} ${isDark()}`;
  if (!inks.has(key)) inks.set(key, readInk(name));
  return inks.get(key);
}

function readInk(name) {
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

/** Draws what is near the view, and the rest once it is; for paper all, at once. `ids`: of some sections only. */
function refreshCharts(all = false, ids = null) {
  const stale = sections.filter(({ element }) => !ids || ids.includes(element.id));
  for (const one of stale) {
    one.isStale = true;
    one.element.setAttribute("aria-busy", "true");
  }
  if (all) for (const one of stale) drawStale(one, true);
  else afterFrame(() => stale.forEach((one) => drawStale(one)));
}

/** After the next frame, so that what was typed or chosen is seen first. */
function afterFrame(act) {
  requestAnimationFrame(() => setTimeout(act));
}

/** A panel for each of `items` in an element; those that stay keep their charts. */
function drawPanels(id, items, titleOf, drawPanel) {
  const parent = byId(id);
  parent.closest("section").classList.toggle("idle", !items.length);
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
  const height = isPaper() ? Math.min(layout.height, MOST_ON_PAPER) : layout.height;
  element.style.height = `${height}px`;
  const visible = traces.map((one) => (element.hiddenNames?.has(one.meta) ? { ...one, visible: false } : one));
  window.Plotly.react(element, visible, { ...baseLayout(), uirevision: words, ...layout, height, width: element.clientWidth }, CONFIG);
  legend(element, traces);
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
    showlegend: false,
    margin: { l: 60, r: 20, t: 12, b: 50 },
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

/** Half-widths as bars, none beyond `most`; costs that are the same in every repetition have none. */
function errorBars(values, spreads, colour, visible = true, most = Infinity) {
  const down = spreads.map((spread) => spread ?? 0);
  const array = down.map((spread, place) => Math.max(0, Math.min(spread, most - (values[place] ?? 0))));
  const isSeen = visible && down.some((spread) => spread > 0);
  return { type: "data", symmetric: false, array, arrayminus: down, visible: isSeen, thickness: 1, width: 3, color: colour };
}

/** The largest number that a measure can be on its axis. */
function mostOf(measure) {
  return measure.kind === "fraction" ? 100 : Infinity;
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
  return [`<b>${plain(shortened(nameOf(configuration), 90))}</b>`, ...lines.map(plain), plain(repeated)].join("<br>");
}
