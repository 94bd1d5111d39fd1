// New content from the server that served the page, and runs that have no result yet.

const SECONDS = 3;
let tag = document.body.dataset.live;

function drawUnfinished() {
  const runs = report.runs.name.map((_, run) => run).filter((run) => report.runs.status[run] === "interrupted");
  byId("under-way").hidden = !runs.length;
  byId("under-way-title").textContent = tag ? "Under way or interrupted" : "Interrupted";
  byId("unfinished").replaceChildren(...runs.slice(0, 200).map(unfinishedRun));
  if (runs.length > 200) byId("unfinished").append(make("li", { text: `and ${runs.length - 200} more` }));
}

function unfinishedRun(run) {
  const { name, learned, experiences, curve } = report.runs;
  const most = experiences[run] ?? learned[run];
  const accuracy = curve[run]?.findLast(isKnown);
  const words = `${learned[run]} of ${most}${isKnown(accuracy) ? `, ${percentText(accuracy)} % so far` : ""}`;
  return make(
    "li",
    {},
    make("button", { type: "button", class: "link", id: `unfinished-${name[run]}`, text: name[run], onclick: () => showRun(run) }),
    make("progress", { max: most || 1, value: learned[run], "aria-label": `Experiences of ${name[run]}` }),
    make("span", { class: "muted", text: words }),
  );
}

/** Asks for content other than the one that is shown; the server has none as long as nothing changed. */
async function ask() {
  try {
    const answer = await fetch("data", { cache: "no-store", headers: { "If-None-Match": tag } });
    if (answer.status === 200) {
      tag = answer.headers.get("ETag");
      showContent(await answer.json());
      announce("New results");
    } else if (answer.status !== 304) throw new Error(`the server says ${answer.status}`);
    pulse(`Live: asked every ${SECONDS} seconds.`);
  } catch (error) {
    pulse(`Not live now: ${error.message}. What is shown was read ${report.when}.`);
  }
  setTimeout(ask, 1000 * SECONDS);
}

function pulse(text) {
  byId("pulse").hidden = false;
  if (byId("pulse").textContent !== text) byId("pulse").textContent = text;
}

function connectLive() {
  if (!tag) return;
  pulse(`Live: asked every ${SECONDS} seconds.`);
  setTimeout(ask, 1000 * SECONDS);
}
