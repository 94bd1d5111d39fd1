// Elements of the page. Text from results only ever becomes text.

function byId(id) {
  return document.getElementById(id);
}

/** A new element; `on...` are listeners, `text` is its text, other properties are attributes, false ones left out. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A labelled select of [value, words]; `take` gets the value. */
function select(id, label, options, value, take, wide = false) {
  const list = make("select", { id, onchange: (event) => take(event.target.value) });
  list.append(...options.map(([one, words]) => make("option", { value: one, text: shortened(words, 90), selected: one === value })));
  return make("div", { class: wide ? "field wide" : "field" }, make("label", { for: id, text: label }), list);
}

function checkbox(id, label, checked, take) {
  const box = make("input", { type: "checkbox", id, checked, onchange: (event) => take(event.target.checked) });
  return make("label", { class: "check", for: id }, box, label);
}

/** Says a change to those who listen. */
function announce(text) {
  byId("announcement").textContent = text;
}

/** Draws anew and puts the focus back on the control of the same name. */
function keepingFocus(draw) {
  const id = document.activeElement?.id;
  draw();
  if (id && document.activeElement?.id !== id) byId(id)?.focus({ preventScroll: true });
}

/** Puts children in place of those that are there, unless they are alike: an open list stays open. */
function place(id, ...children) {
  const old = [...byId(id).childNodes];
  const alike = old.length === children.length && old.every((node, at) => node.isEqualNode(children[at]));
  if (!alike) keepingFocus(() => byId(id).replaceChildren(...children));
}

/** A list of names and values; numbers stay on one line with their unit. */
function pairs(entries, areNumbers = false) {
  return make("dl", { class: areNumbers ? "pairs numbers" : "pairs" }, ...entries.map(([name, value]) => make("div", {}, make("dt", { text: name }), make("dd", { text: value }))));
}

function swatch(configuration) {
  const look = lookOf(configuration);
  const mark = make("span", { class: "swatch", "aria-hidden": "true" });
  mark.style.background = look ? `light-dark(${look.light}, ${look.dark})` : "var(--muted)";
  return mark;
}
