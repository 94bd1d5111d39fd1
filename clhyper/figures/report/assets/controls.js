// The page's head, its filters and its theme.

function drawHead() {
  const { title, when, version, unread, left_out: leftOut, waiting } = report;
  document.title = `${title}: clhyper report`;
  byId("title").textContent = title;
  const counts = ["complete", "failed", "interrupted"]
    .map((status) => [report.runs.name.filter((_, run) => report.runs.status[run] === status).length, status])
    .filter(([count, status]) => count || status === "complete")
    .map(([count, status]) => `${count.toLocaleString("en")} ${status}`);
  byId("summary").textContent = `${plural(report.runs.name.length, "run")}: ${counts.join(", ")}. Read ${when} by clhyper ${version}.`;
  notice("left-out", leftOut.length ? `To stay small, this page leaves out ${leftOut.join("; ")}.` : "");
  notice("waiting", waiting ? `Waiting for runs: ${waiting}` : "");
  byId("unread").hidden = !unread.length;
  byId("unread").querySelector("summary").textContent = `${plural(unread.length, "folder")} could not be read in full`;
  byId("unread").querySelector("ul").replaceChildren(...unread.map(([name, why]) => make("li", { text: `${name}: ${why}` })));
}

function notice(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = !text;
}

/** Filters for the streams, for each field in which configurations differ, and for words. */
function drawFilters() {
  const titles = report.settings.map((one) => one.title);
  if (state.setting === undefined || !titles.includes(state.setting ?? titles[0])) state.setting = firstSetting();
  const fields = Object.keys(report.configurations[0]?.fields ?? {}).flatMap((name) => fieldFilter(name));
  const streams = [["", `all ${titles.length} streams`], ...titles.map((title) => [title, title])];
  const take = (value) => {
    state.setting = value || null;
    filtered();
  };
  const search = make("input", {
    type: "search",
    id: "search",
    placeholder: "name, option, seed …",
    oninput: (event) => {
      clearTimeout(search.waiting);
      search.waiting = setTimeout(() => {
        state.search = event.target.value;
        filtered(false);
      }, 150);
    },
  });
  search.value = state.search;
  place(
    "filters",
    ...(titles.length > 1 ? [select("filter-setting", "stream", streams, state.setting ?? "", take, true)] : []),
    ...fields,
    make("div", { class: "field" }, make("label", { for: "search", text: "search" }), search),
    make("button", { type: "button", id: "reset", text: "Reset", onclick: reset }),
  );
}

function fieldFilter(name) {
  const within = report.configurations.filter((one) => !state.setting || report.settings[one.setting].title === state.setting);
  const known = [...new Set(within.map((one) => fieldText(one, name)))];
  if (!known.includes(state.filters.get(name))) state.filters.delete(name);
  if (known.length < 2) return [];
  known.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const options = [["", "all"], ...known.map((value) => [`=${value}`, value])];
  const take = (value) => {
    if (value) state.filters.set(name, value.slice(1));
    else state.filters.delete(name);
    filtered(false);
  };
  return [select(`filter-${name}`, fieldWords(name), options, state.filters.has(name) ? `=${state.filters.get(name)}` : "", take)];
}

/** Every choice as it was at first, but for the theme. */
function reset() {
  Object.assign(state, initial());
  byId("search").value = "";
  for (const id of ["filters", "columns"]) byId(id).replaceChildren();
  showContent(report);
  byId("reset").focus();
  announce("Everything is as it was at first");
}

/** The stream with most configurations, which the page begins with: charts of one are easier to take in. */
function firstSetting() {
  if (report.settings.length < 2) return report.settings.length ? null : undefined;
  const counts = report.settings.map((_, place) => report.configurations.filter((one) => one.setting === place).length);
  return report.settings[counts.indexOf(Math.max(...counts))].title;
}

/** Shows what the filters leave. */
function filtered(redrawFilters = true) {
  state.shown = SHOWN_AT_FIRST;
  if (redrawFilters) drawFilters();
  drawTable();
  comparisonControls();
  refreshCharts();
  announce(`${plural(visible().length, "configuration")} shown`);
}

function drawColumns() {
  const shown = new Set(measureColumns().map((one) => one.name));
  place(
    "columns",
    ...report.measures.map((one) =>
      checkbox(`column-${one.name}`, one.long, shown.has(one.name), (on) => {
        state.columns ??= new Set(measureColumns().map(({ name }) => name));
        if (on) state.columns.add(one.name);
        else state.columns.delete(one.name);
        drawTable();
      }),
    ),
  );
}

// A browser may refuse storage, and then the theme is not remembered.
const remembered = {
  get theme() {
    try {
      return localStorage.getItem("clhyper-theme");
    } catch {
      return null;
    }
  },
  set theme(value) {
    try {
      localStorage.setItem("clhyper-theme", value);
    } catch {
      // as above
    }
  },
};
const watched = [];
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

function theme() {
  return document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light");
}

function drawTheme() {
  byId("theme").textContent = theme() === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", `Switch to ${theme() === "dark" ? "light" : "dark"} colours`);
}

function redrawColours() {
  drawTheme();
  refreshCharts();
}

function connectTheme() {
  if (["light", "dark"].includes(remembered.theme)) document.documentElement.dataset.theme = remembered.theme;
  byId("theme").addEventListener("click", () => {
    const other = theme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = other;
    remembered.theme = other;
    redrawColours();
  });
  // A list of its own: Chromium tells none of a change that its owner has read already.
  watched.push(window.matchMedia(prefersDark.media));
  watched.at(-1).addEventListener("change", redrawColours);
  drawTheme();
}
