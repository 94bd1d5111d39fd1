// What tells the configurations that are shown apart, in as few words as do it.

/** Options of a configuration by name: those of its variant, then the choices that have columns. */
function optionsOf(configuration) {
  configuration.options ??= readOptions(configuration.fields);
  return configuration.options;
}

function readOptions({ family, freeze_depth: depth, orders, variant, ...choices }) {
  const words = (variant ?? "").split(/ (?=\w+=)/).filter((word) => word.includes("="));
  const found = new Map(words.map((word) => [word.slice(0, word.indexOf("=")), word]));
  if (variant && !words.length) found.set("variant", variant);
  for (const [name, value] of Object.entries(choices)) {
    if (value !== null && value !== "" && !found.has(name)) found.set(name, `${fieldWords(name)} ${value}`);
  }
  return found;
}

/** Of each setting and family the names of options that tell its configurations apart, the most telling first. */
function tellingOptions(configurations) {
  const families = Map.groupBy(configurations, familyKey);
  return new Map([...families].map(([key, alike]) => [key, { names: fewestOptions(alike), alike }]));
}

function familyKey(configuration) {
  return `${configuration.setting} ${configuration.fields.family}`;
}

/** Greedily: what follows from options already taken splits nothing more. */
function fewestOptions(configurations) {
  const left = new Set(configurations.flatMap((one) => [...optionsOf(one).keys()]));
  const taken = [];
  let groups = configurations.map((one) => `${one.strategy} ${one.fields.freeze_depth}`);
  for (;;) {
    const split = (name) => configurations.map((one, place) => `${groups[place]} ${optionsOf(one).get(name) ?? ""}`);
    const count = new Set(groups).size;
    if (count === configurations.length) return taken;
    const [best, most] = [...left].map((name) => [name, new Set(split(name)).size]).reduce((one, other) => (other[1] > one[1] ? other : one), [null, count]);
    if (most === count) return taken;
    groups = split(best);
    taken.push(best);
    left.delete(best);
  }
}

function telling() {
  const shown = visible();
  if (telling.of !== shown) {
    const depths = new Set(shown.map((one) => one.fields.freeze_depth).filter((depth) => depth !== null));
    Object.assign(telling, { of: shown, known: tellingOptions(shown), depths: depths.size, names: new Map() });
  }
  return telling.known;
}

/** What tells a configuration from its family: the most telling option, and others where it needs them. */
function optionWords(configuration) {
  const { names, alike } = telling().get(familyKey(configuration)) ?? { names: [], alike: [] };
  const value = (one, name) => optionsOf(one).get(name);
  const own = (name) => value(configuration, name);
  const agree = (one, name) => !own(name) || !value(one, name) || value(one, name) === own(name);
  let said = [...names];
  for (const name of names.slice(1).reverse()) {
    const rest = said.filter((other) => other !== name);
    if (alike.filter((one) => rest.every((other) => agree(one, other))).every((one) => agree(one, name))) said = rest;
  }
  return said.map(own).filter(Boolean).join(" ");
}

/** A configuration's strategy, freeze depth, and what tells it from others that are shown. */
function nameOf(configuration) {
  telling();
  if (!telling.names.has(configuration)) telling.names.set(configuration, newName(configuration));
  return telling.names.get(configuration);
}

function newName(configuration) {
  const depth = configuration.fields.freeze_depth;
  const words = [configuration.strategy + (depth === null || telling.depths < 2 ? "" : ` k=${depth}`), optionWords(configuration)];
  return words.filter(Boolean).join(", ");
}

/** The same of a line over freeze depth, which its deepest configuration knows best. */
function lineName(on) {
  return [on[0].fields.family, optionWords(on.at(-1))].filter(Boolean).join(", ");
}
