/** Moves of the two cuts. Of 100 images the 20 hardest are dropped and 30 kept, unless a test says otherwise. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { keyRank, moved, reach, sameCut, typed, validCut, zoneCounts } from "../../js/elfs.js";

const N = 100;
const CUT = { hard: 20, budget: 30 };
const LOCKS = ["budget", "beta", null];

describe("a cut from the server", () => {
  test("is taken as it is when it fits", () => {
    assert.deepEqual(validCut({ hard: 20, budget: 30, serial: 7 }, N), CUT);
    assert.deepEqual(validCut({ hard: 0, budget: 1 }, 1), { hard: 0, budget: 1 });
  });

  test("keeps its budget, and as much of \u03b2 as is left beside it", () => {
    assert.deepEqual(validCut({ hard: 90, budget: 30 }, N), { hard: 70, budget: 30 });
    assert.deepEqual(validCut({ hard: 90, budget: 300 }, N), { hard: 0, budget: 100 });
    assert.deepEqual(validCut({ hard: -5, budget: 0 }, N), { hard: 0, budget: 1 });
  });

  test("is the smallest one when there is none", () => {
    for (const nothing of [undefined, null, {}, { hard: "x", budget: NaN }]) {
      assert.deepEqual(validCut(nothing, N), { hard: 0, budget: 1 });
    }
  });
});

test("two cuts are the same by their ranks alone", () => {
  assert.ok(sameCut(CUT, { ...CUT, serial: 3 }));
  assert.ok(!sameCut(CUT, { hard: 20, budget: 31 }));
  assert.ok(!sameCut(CUT, { hard: 21, budget: 30 }));
  assert.ok(!sameCut(CUT, null));
});

test("every image is in one of the three zones", () => {
  assert.deepEqual(zoneCounts(CUT, N), { hard: 20, coreset: 30, easy: 50 });
});

describe("a handle that is moved", () => {
  test("moves both cuts while the budget is held", () => {
    assert.deepEqual(moved("hard", CUT, 40, "budget", N), { hard: 40, budget: 30 });
    assert.deepEqual(moved("easy", CUT, 60, "budget", N), { hard: 30, budget: 30 });
    assert.deepEqual(moved("hard", CUT, 99, "budget", N), { hard: 70, budget: 30 });
    assert.deepEqual(moved("easy", CUT, 3, "budget", N), { hard: 0, budget: 30 });
  });

  test("leaves \u03b2 while it is held", () => {
    assert.deepEqual(moved("hard", CUT, 40, "beta", N), CUT);
    assert.deepEqual(moved("band", CUT, 40, "beta", N), CUT);
    assert.deepEqual(moved("easy", CUT, 60, "beta", N), { hard: 20, budget: 40 });
    assert.deepEqual(moved("easy", CUT, 0, "beta", N), { hard: 20, budget: 1 });
    assert.deepEqual(moved("easy", CUT, 500, "beta", N), { hard: 20, budget: 80 });
  });

  test("moves its own cut alone when nothing is held, and stops at the other one", () => {
    assert.deepEqual(moved("hard", CUT, 40, null, N), { hard: 40, budget: 10 });
    assert.deepEqual(moved("hard", CUT, 90, null, N), { hard: 49, budget: 1 });
    assert.deepEqual(moved("hard", CUT, -1, null, N), { hard: 0, budget: 50 });
    assert.deepEqual(moved("easy", CUT, 60, null, N), { hard: 20, budget: 40 });
    assert.deepEqual(moved("easy", CUT, 0, null, N), { hard: 20, budget: 1 });
  });

  test("takes the band along by its hard end", () => {
    assert.deepEqual(moved("band", CUT, 25, null, N), { hard: 25, budget: 30 });
    assert.deepEqual(moved("band", CUT, 95, null, N), { hard: 70, budget: 30 });
    assert.deepEqual(moved("band", CUT, -5, null, N), { hard: 0, budget: 30 });
  });

  test("never breaks \u03b2 + budget <= 1, wherever it is moved", () => {
    const n = 7;
    const upTo = (last) => Array.from({ length: last + 1 }, (_, i) => i);
    const all = upTo(n - 1).flatMap((hard) => upTo(n - hard).slice(1).map((budget) => ({ hard, budget })));
    assert.equal(all.length, 28); // 7 + 6 + ... + 1
    for (const cut of all) for (const part of ["hard", "easy", "band"]) for (const lock of LOCKS) {
      for (const rank of [-2, ...upTo(n), n + 2]) {
        const { hard, budget } = moved(part, cut, rank, lock, n);
        const move = JSON.stringify({ part, cut, rank, lock });
        assert.ok(hard >= 0 && budget >= 1 && hard + budget <= n, move);
        if (lock === "budget") assert.equal(budget, cut.budget, move);
        if (lock === "beta") assert.equal(hard, cut.hard, move);
      }
    }
  });
});

describe("the reach of a handle", () => {
  test("depends on what is held", () => {
    assert.deepEqual(reach("hard", CUT, "budget", N), [0, 70]);
    assert.deepEqual(reach("easy", CUT, "budget", N), [30, 100]);
    assert.deepEqual(reach("hard", CUT, "beta", N), [20, 20]);
    assert.deepEqual(reach("easy", CUT, "beta", N), [21, 100]);
    assert.deepEqual(reach("hard", CUT, null, N), [0, 49]);
    assert.deepEqual(reach("easy", CUT, null, N), [21, 100]);
  });

  test("is one rank when there is one image", () => {
    for (const lock of LOCKS) {
      assert.deepEqual(reach("hard", { hard: 0, budget: 1 }, lock, 1), [0, 0]);
      assert.deepEqual(reach("easy", { hard: 0, budget: 1 }, lock, 1), [1, 1]);
    }
  });
});

describe("a key", () => {
  const press = (key, n = 1000, held = {}) => keyRank({ key, ...held }, 500, n);

  test("moves by one image, a hundredth or a twentieth", () => {
    assert.equal(press("ArrowRight"), 501);
    assert.equal(press("ArrowUp"), 501);
    assert.equal(press("ArrowLeft"), 499);
    assert.equal(press("ArrowDown"), 499);
    assert.equal(press("ArrowRight", 1000, { shiftKey: true }), 510);
    assert.equal(press("ArrowDown", 1000, { shiftKey: true }), 490);
    assert.equal(press("PageUp"), 550);
    assert.equal(press("PageDown"), 450);
  });

  test("goes to either end", () => {
    assert.equal(press("Home"), 0);
    assert.equal(press("End"), 1000);
  });

  test("moves by an image at least, however few there are", () => {
    assert.equal(press("ArrowRight", 9, { shiftKey: true }), 501);
    assert.equal(press("PageUp", 9), 501);
  });

  test("is left to others when it means nothing here or is a shortcut", () => {
    for (const key of ["a", "Tab", "Enter", "Escape"]) assert.equal(press(key), null);
    for (const held of ["ctrlKey", "metaKey", "altKey"]) assert.equal(press("ArrowUp", 1000, { [held]: true }), null);
  });
});

describe("a typed \u03b2", () => {
  const beta = (percent, cut = CUT, n = N) => typed("beta", percent, cut, n);

  test("moves the coreset and keeps its budget", () => {
    assert.deepEqual(beta(35), { cut: { hard: 35, budget: 30 }, note: "" });
    assert.deepEqual(beta(0), { cut: { hard: 0, budget: 30 }, note: "" });
    assert.deepEqual(beta(70), { cut: { hard: 70, budget: 30 }, note: "" });
  });

  test("is told its limits when it goes beyond them", () => {
    const note = "\u03b2 can be 0 to 70% beside this budget.";
    assert.deepEqual(beta(71), { cut: { hard: 70, budget: 30 }, note });
    assert.deepEqual(beta(-0.001), { cut: { hard: 0, budget: 30 }, note });
  });
});

describe("a typed budget", () => {
  test("in percent or in images keeps \u03b2", () => {
    assert.deepEqual(typed("budget", 50, CUT, N), { cut: { hard: 20, budget: 50 }, note: "" });
    assert.deepEqual(typed("images", 50.9, CUT, N), { cut: { hard: 20, budget: 50 }, note: "" });
    assert.deepEqual(typed("images", 80, CUT, N), { cut: { hard: 20, budget: 80 }, note: "" });
  });

  test("is told its limits when it goes beyond them", () => {
    assert.deepEqual(typed("images", 81, CUT, N), {
      cut: { hard: 20, budget: 80 }, note: "The budget can be 1 to 80 beside this \u03b2.",
    });
    assert.deepEqual(typed("budget", -5, CUT, N), {
      cut: { hard: 20, budget: 1 }, note: "The budget can be 1 to 80 (80%) beside this \u03b2.",
    });
    assert.deepEqual(typed("images", 2e6, { hard: 0, budget: 1 }, 1e6), {
      cut: { hard: 0, budget: 1e6 }, note: "The budget can be 1 to 1,000,000.",
    });
  });
});
