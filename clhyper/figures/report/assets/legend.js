// The legend of a chart: below it, wrapping, on paper too. An entry hides and shows what it names.

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = {
  circle: "M9 6a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
  square: "M9.5 2.5h7v7h-7z",
  diamond: "M13 1.2 17.8 6 13 10.8 8.2 6z",
  cross: "M11.5 1.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
  x: "M9 3.8 10.8 2 13 4.2 15.2 2 17 3.8 14.8 6 17 8.2 15.2 10 13 7.8 10.8 10 9 8.2 11.2 6z",
  "triangle-up": "M13 1.5 17.5 9.8h-9z",
  "triangle-down": "M13 10.5 17.5 2.2h-9z",
  "triangle-left": "M8.5 6 16.8 1.5v9z",
  "triangle-right": "M17.5 6 9.2 1.5v9z",
  pentagon: "M13 1.5 17.5 4.8 15.8 10H10.2L8.5 4.8z",
  star: "M13 .8 14.5 4.4 18.2 4.7 15.4 7.2 16.3 10.9 13 8.9 9.7 10.9 10.6 7.2 7.8 4.7 11.5 4.4z",
};
const STROKES = { dash: "6 3", dot: "2 2.5", dashdot: "6 2.5 1.5 2.5", longdash: "9 3" };

function legend(element, traces) {
  const list = element.nextElementSibling?.matches("ul.legend") ? element.nextElementSibling : make("ul", { class: "legend" });
  const named = [...new Map(traces.filter((one) => one.meta).map((one) => [one.meta, one])).values()];
  list.replaceChildren(...named.map((trace) => make("li", {}, entry(element, trace))));
  if (named.length) element.after(list);
  else list.remove();
}

function entry(element, trace) {
  const isHidden = element.hiddenNames?.has(trace.meta);
  const button = make("button", { type: "button", "aria-pressed": String(!isHidden), title: "Hide or show" }, markOf(trace), make("span", { text: trace.meta }));
  button.addEventListener("click", () => {
    element.hiddenNames ??= new Set();
    const hides = button.getAttribute("aria-pressed") === "true";
    element.hiddenNames[hides ? "add" : "delete"](trace.meta);
    button.setAttribute("aria-pressed", String(!hides));
    const places = element.data.map((one, place) => (one.meta === trace.meta ? place : -1)).filter((place) => place >= 0);
    window.Plotly.restyle(element, { visible: !hides }, places);
  });
  return button;
}

/** The stroke and the marker of a trace, small. */
function markOf({ type, mode, line, marker, opacity }) {
  const mark = drawn("svg", { viewBox: "0 0 26 12", width: 26, height: 12, "aria-hidden": "true" });
  if (type === "bar") mark.append(drawn("path", { d: "M7 0h12v12H7z", fill: marker.color }));
  else if (mode.includes("lines")) mark.append(drawn("path", { d: "M0 6H26", stroke: line.color, "stroke-width": Math.min(5, 1.3 * line.width), "stroke-dasharray": STROKES[line.dash] ?? "none", opacity: opacity ?? 1 }));
  if (mode?.includes("markers")) {
    const isOpen = marker.symbol.endsWith("-open");
    const shape = SHAPES[marker.symbol.replace("-open", "")] ?? SHAPES.circle;
    mark.append(drawn("path", { d: shape, fill: isOpen ? "none" : marker.color, stroke: marker.color, "stroke-width": isOpen ? 1.3 : 0 }));
  }
  return mark;
}

function drawn(tag, properties) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  return element;
}
