/** What is read off the table of a ranking: ten images, two clusters, scores known at three ranks. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { clusterCounts, endTexts, isTable, prepareTable, scoreAt, tableKey } from "../../js/elfs.js";

const TABLE = {
  n: 10,
  score: "AUM",
  edges: [-1, 0, 1],
  ranks: [0, 4, 10],
  quantiles: { ranks: [0, 4, 9], scores: [-1, 1, 1] },
  grid: [0, 5, 10],
  clusters: [
    { label: 3, name: "cats", size: 6, members: [4, 2] },
    { label: 0, name: "dogs", size: 4, members: [1, 3] },
  ],
};

describe("a table", () => {
  test("needs images and a rank at every edge", () => {
    assert.ok(isTable(TABLE));
    const incomplete = [{ n: 0 }, { edges: [1] }, { ranks: [0, 10] }].map((part) => ({ ...TABLE, ...part }));
    for (const broken of [undefined, null, {}, ...incomplete]) {
      assert.equal(isTable(broken), false);
      assert.equal(tableKey(broken), "");
    }
  });

  test("is told from another by its content, not by its copy", () => {
    assert.equal(tableKey(structuredClone(TABLE)), tableKey(TABLE));
    assert.notEqual(tableKey({ ...TABLE, ranks: [0, 5, 10] }), tableKey(TABLE));
    assert.notEqual(tableKey({ ...TABLE, clusters: TABLE.clusters.slice(1) }), tableKey(TABLE));
  });

  test("is prepared with sums of members, and is not changed", () => {
    const before = structuredClone(TABLE);
    const { clusters, largest } = prepareTable(TABLE);
    assert.deepEqual(clusters.map((c) => c.below), [[0, 4, 6], [0, 1, 4]]);
    assert.equal(largest, 6);
    assert.equal(prepareTable({ ...TABLE, clusters: [] }).largest, 1);
    assert.deepEqual(TABLE, before);
  });
});

describe("the score at a rank", () => {
  test("is exact where the table has it", () => {
    assert.deepEqual(scoreAt(TABLE, 0), { value: -1, exact: true });
    assert.deepEqual(scoreAt(TABLE, 4), { value: 1, exact: true });
    assert.deepEqual(scoreAt(TABLE, 9), { value: 1, exact: true });
  });

  test("is interpolated between two ranks, and exact between two that are equal", () => {
    assert.deepEqual(scoreAt(TABLE, 1), { value: -0.5, exact: false });
    assert.deepEqual(scoreAt(TABLE, 7), { value: 1, exact: true });
  });

  test("is shown for the first and the last image of the coreset, marked where it is interpolated", () => {
    assert.deepEqual(endTexts(TABLE, { hard: 1, budget: 4 }), ["\u2248 \u22120.5", "1"]);
    assert.deepEqual(endTexts(TABLE, { hard: 1, budget: 4 }, [-0.75, 1]), ["\u22120.75", "1"]);
    assert.deepEqual(endTexts(TABLE, { hard: 0, budget: 1 }), ["\u22121", "\u22121"]);
  });
});

describe("the members of a cluster in the three zones", () => {
  const count = (hard, budget) => clusterCounts(prepareTable(TABLE), { hard, budget });

  test("are exact at the ranks of the grid", () => {
    assert.deepEqual(count(0, 5), { counts: [[0, 4, 2], [0, 1, 3]], exact: true });
    assert.deepEqual(count(5, 5), { counts: [[4, 2, 0], [1, 3, 0]], exact: true });
    assert.deepEqual(count(0, 10), { counts: [[0, 6, 0], [0, 4, 0]], exact: true });
  });

  test("are estimated between them, and none gets lost", () => {
    const { counts, exact } = count(2, 5); // below rank 2: 1.6 and 0.4; below rank 7: 4.8 and 2.2
    assert.deepEqual(counts, [[2, 3, 1], [0, 2, 2]]);
    assert.equal(exact, false);
  });
});
