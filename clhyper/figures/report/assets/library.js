// Plotly, which the page carries compressed: it is unpacked once the rest of the page can be read.

async function unpackPlotly() {
  const letters = atob(byId("plotly").textContent);
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = make("script", { text: await new Response(stream).text() });
  document.head.append(script);
  refreshCharts();
}

/** Once what can be read is there. */
function startPlotly() {
  afterFrame(unpackPlotly);
}
