/** The script as the App loads it: a plain script in a page whose window holds React and FiftyOne's parts. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const SCRIPT = new URL("../../js/elfs.js", import.meta.url);

/** Runs the script. Returns the registered components, and what it left in the page. */
function load(parts) {
  const registered = [];
  const window = {
    React: {},
    __foo__: { useTriggerPanelEvent() {} },
    __fop__: { registerComponent: (component) => registered.push(component), PluginComponentType: { Component: 3 } },
    ...parts,
  };
  const page = vm.createContext({ window });
  const given = Object.keys(window);
  vm.runInContext(readFileSync(SCRIPT, "utf8"), page);
  const left = [...Object.keys(page), ...Object.keys(window)].filter((name) => ![...given, "window"].includes(name));
  const isDeclared = (name) => vm.runInContext(`typeof ${name}`, page) !== "undefined";
  return { registered, left: [...left, ...["parseNumber", "ElfsCuts"].filter(isDeclared)] };
}

test("it registers the component by the name that the panel embeds, and leaves nothing else in the page", () => {
  const { registered, left } = load({});
  assert.equal(registered.length, 1);
  const { name, type, component, activator } = registered[0];
  assert.equal(name, "ElfsCuts");
  assert.equal(type, 3);
  assert.equal(typeof component, "function");
  assert.equal(activator(), true);
  assert.deepEqual(left, []);
});

test("the opened image is given the fields of the grid", async () => {
  const operators = [];
  const done = [];
  class Operator {}
  class OperatorConfig {
    constructor(options) {
      Object.assign(this, options);
    }
  }
  load({
    __foo__: {
      useTriggerPanelEvent() {},
      Operator,
      OperatorConfig,
      registerOperator: (Class, plugin) => operators.push([plugin, new Class()]),
    },
    __fos__: { useSetModalState: () => async () => done.push("fields") },
  });
  const [[plugin, operator]] = operators;
  assert.equal(plugin, "@elfs/coreset");
  assert.equal(operator.config.name, "take_fields");
  await operator.execute({ hooks: operator.useHooks() });
  assert.deepEqual(done, ["fields"]);
});

test("it does nothing where a part of the App is missing, so that the panel keeps its sliders", () => {
  for (const parts of [{ React: undefined }, { __foo__: undefined }, { __foo__: {} }]) {
    assert.deepEqual(load(parts), { registered: [], left: [] });
  }
  assert.deepEqual(load({ __fop__: undefined }).left, []);
});
