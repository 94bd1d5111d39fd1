// The leaderboard: configurations as rows, and the runs behind each.

/** Fields with a column: those in which visible configurations differ; that some have none is no difference. */
function fieldColumns(configurations) {
  const several = new Set(configurations.map((one) => one.setting)).size > 1;
  const names = Object.keys(report.configurations[0]?.fields ?? {}).filter((name) => !["family", "variant"].includes(name));
  const kinds = (name) => new Set(configurations.map((one) => fieldText(one, name)).filter((value) => value !== "none"));
  return { several, names: names.filter((name) => name === "freeze_depth" || kinds(name).size > 1) };
}

const LEADING = ["acc", "forgetting", "train_macs", "bytes_kept"];

/** Measures with a column, those that are asked for most first. */
function measureColumns() {
  const shown = report.measures.filter((one) => (state.columns ? state.columns.has(one.name) : one.usual));
  const rank = ({ name }) => (LEADING.includes(name) ? LEADING.indexOf(name) : LEADING.length);
  return shown.sort((one, other) => rank(one) - rank(other));
}

function drawTable() {
  const rows = sorted();
  const { several, names } = fieldColumns(rows);
  const columns = [
    { name: "label", words: "configuration" },
    ...measureColumns().map((one) => ({ name: one.name, words: one.short + (one.kind === "fraction" ? " %" : ""), number: true, measure: one })),
    ...(several ? [{ name: null, words: "stream" }] : []),
    ...names.map((name) => ({ name, words: fieldWords(name), number: ["freeze_depth", "epochs"].includes(name) })),
    { name: "seeds", words: "repetitions", number: true },
  ];
  keepingFocus(() => {
    const body = make("tbody");
    for (const one of rows.slice(0, state.shown)) body.append(...row(one, columns));
    if (!rows.length) body.append(make("tr", {}, make("td", { class: "empty", colspan: columns.length + 1, text: "No configuration fits these filters." })));
    byId("board").replaceChildren(make("caption", { class: "visually-hidden", text: "Configurations and their measures" }), tableHead(columns), body);
    drawMore(rows.length);
  });
  const runs = rows.reduce((sum, one) => sum + one.runs.length, 0);
  byId("shown").textContent = `${plural(rows.length, "configuration")}, ${plural(runs, "run")}`;
}

function drawMore(count) {
  const button = byId("more");
  button.hidden = count <= state.shown;
  button.textContent = `Show ${Math.min(SHOWN_AT_FIRST, count - state.shown)} more of ${count - state.shown}`;
  button.onclick = () => {
    state.shown += SHOWN_AT_FIRST;
    drawTable();
  };
}

function tableHead(columns) {
  const cells = columns.map(({ name, words, number, measure }) => {
    const properties = { scope: "col", class: number ? "number" : false };
    if (name === null) return make("th", { ...properties, text: words });
    if (state.sort.name === name) properties["aria-sort"] = state.sort.descending ? "descending" : "ascending";
    return make("th", properties, make("button", { type: "button", id: `sort-${name}`, title: measure?.long, text: words, onclick: () => sortBy(name, words, measure) }));
  });
  return make("thead", {}, make("tr", {}, make("th", { class: "screen-only", scope: "col" }, make("span", { class: "visually-hidden", text: "selected" })), ...cells));
}

/** The better end first, then the other. */
function sortBy(name, words, measure) {
  const first = measure?.better === "higher";
  state.sort = { name, descending: state.sort.name === name ? !state.sort.descending : first };
  drawTable();
  announce(`Sorted by ${words}, ${state.sort.descending ? "descending" : "ascending"}`);
}

function row(configuration, columns) {
  const isOpen = isIn(state.open, configuration);
  const select = make("input", {
    type: "checkbox",
    id: `select-${identity(configuration)}`,
    "aria-label": `Select ${nameOf(configuration)}`,
    checked: isIn(state.selected, configuration),
    onchange: (event) => {
      toggle(state.selected, configuration, event.target.checked);
      event.target.closest("tr").classList.toggle("selected", event.target.checked);
      refreshCharts(false, ["curves", "matrices", "cost"]);
      comparisonControls();
    },
  });
  const cells = columns.slice(1).map((column) => cell(configuration, column));
  const line = make(
    "tr",
    { class: isIn(state.selected, configuration) ? "selected" : false, "data-configuration": configuration.index },
    make("td", { class: "screen-only" }, select),
    make("th", { scope: "row" }, nameButton(configuration, columns.length + 1)),
    ...cells,
  );
  return isOpen ? [line, runsOf(configuration, columns.length + 1)] : [line];
}

function nameButton(configuration, width) {
  const button = make(
    "button",
    { type: "button", class: "name", id: `open-${identity(configuration)}`, "aria-expanded": String(isIn(state.open, configuration)), title: configuration.label },
    make("span", { class: "arrow", "aria-hidden": "true", text: "▶" }),
    swatch(configuration),
    make("span", { text: shortened(nameOf(configuration), 160) }),
  );
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    toggle(state.open, configuration, open);
    const line = button.closest("tr");
    if (open) line.after(runsOf(configuration, width));
    else line.nextElementSibling.remove();
  });
  return button;
}

function cell(configuration, { name, number, measure }) {
  if (name === null) return make("td", { text: report.settings[configuration.setting].title });
  if (name === "seeds") return repetitionsCell(configuration);
  if (!measure) {
    const value = configuration.fields[name];
    return make("td", { class: number ? "number" : "words", text: value === null ? "" : shortened(String(value), 40), title: value });
  }
  const [value, spread] = [mean(configuration, name), interval(configuration, name)];
  return make("td", { class: "number", "data-measure": name, text: valueText(measure, value, spread), title: exactText(measure, value, spread) });
}

function repetitionsCell(configuration) {
  const others = ["failed", "interrupted"].filter((status) => configuration[status]);
  const words = others.map((status) => `${configuration[status]} ${status}`).join(", ");
  return make("td", { class: "number", text: words ? `${configuration.seeds} (${words})` : configuration.seeds, title: configuration.note });
}

/** The row of a configuration's runs. */
function runsOf(configuration, width) {
  const shown = measureColumns();
  const head = ["run", "seed", "class order", "status", ...shown.map((one) => one.short + (one.kind === "fraction" ? " %" : ""))];
  const lines = configuration.runs.map((run) =>
    make(
      "tr",
      {},
      make("td", {}, make("button", { type: "button", class: "link", id: `run-${report.runs.name[run]}`, text: report.runs.name[run], onclick: () => showRun(run) })),
      make("td", { class: "number", text: report.runs.seed[run] }),
      make("td", { text: shortened(report.runs.order[run], 30), title: report.runs.order[run] }),
      make("td", { text: report.runs.status[run], title: report.runs.reason[run] }),
      ...shown.map((one) => {
        const value = report.runs.values[one.name][run];
        return make("td", { class: "number", text: valueText(one, value), title: exactText(one, value) });
      }),
    ),
  );
  const note = configuration.note ? make("p", { class: "note", text: configuration.note }) : null;
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head.map((words) => make("th", { scope: "col", text: words })))), make("tbody", {}, ...lines));
  return make("tr", { class: "runs" }, make("td", { colspan: width }, note, make("div", { class: "scroll", style: "border: 0" }, table)));
}
