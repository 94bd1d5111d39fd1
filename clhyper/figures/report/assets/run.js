// One run: its numbers, its configuration, where it ran, and the command that repeats it.

let opener = null;

function showRun(run) {
  opener = document.activeElement?.id ?? null;
  byId("run-title").textContent = report.runs.name[run];
  byId("run-body").replaceChildren(...runParts(run));
  const dialog = byId("run");
  if (!dialog.open) dialog.showModal();
  const matrix = matrixOf(run);
  const place = byId("run-matrix");
  if (matrix && window.Plotly) drawMatrix(place, matrix, scaleFor([matrix]), `Accuracy matrix of ${report.runs.name[run]}`, report.runs.status[run] === "complete");
}

function runParts(run) {
  const { status, reason, learned, experiences, commands, config, seed } = report.runs;
  const command = commands[config[run]];
  const state = status[run] === "complete" ? "complete" : `${status[run]}${reason[run] ? `: ${reason[run]}` : ""}`;
  const count = experiences[run] ? ` of ${experiences[run]}` : "";
  const numbers = report.measures.filter((one) => isKnown(report.runs.values[one.name][run]));
  return [
    make("p", { class: "muted", text: `${capital(state)}; ${learned[run]}${count} experiences in its matrix.` }),
    ...(command ? commandPart(`${command} --seed ${seed[run]}`) : []),
    ...part("Numbers", numbers.map((one) => [one.long, exactText(one, report.runs.values[one.name][run])]), true),
    ...(report.runs.matrix[run] ? [make("h3", { text: "Accuracy matrix" }), make("div", { class: "chart", id: "run-matrix", style: "max-width: 30rem" })] : []),
    ...part("Configuration", [["seed", String(report.runs.seed[run])], ...flattened(report.runs.configs[report.runs.config[run]])]),
    ...part("Environment", flattened(report.runs.environments[report.runs.environment[run]])),
  ];
}

function part(title, entries, areNumbers = false) {
  return entries.length ? [make("h3", { text: title }), pairs(entries, areNumbers)] : [];
}

function commandPart(text) {
  const button = make("button", { type: "button", id: "copy", text: "Copy" });
  button.addEventListener("click", async () => {
    const done = await copied(text);
    button.textContent = done ? "Copied" : "Select and copy";
    announce(done ? "Command copied" : "The browser doesn't allow copying; the command is selected");
    if (!done) getSelection().selectAllChildren(code);
  });
  const code = make("code", { text });
  const paths = /\{\w+\}/.test(text) ? make("p", { class: "note", text: "A name in braces stands for a path of your own." }) : null;
  return [make("h3", { text: "Repeat it" }), make("div", { class: "command" }, code, button), ...(paths ? [paths] : [])];
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Options and tables of options as names and values. */
function flattened(values) {
  return Object.entries(values).flatMap(([name, value]) => {
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return flattened(value);
    return [[name.replaceAll("_", " "), Array.isArray(value) ? value.join(" ") || "none" : String(value)]];
  });
}

function connectRun() {
  const dialog = byId("run");
  byId("run-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    byId("run-body").replaceChildren();
    if (opener) byId(opener)?.focus();
  });
}
