/** Where things stand in the plot. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import {
  area, bars, countRange, handleTexts, markLabels, placeMarks, plotBox, rankPicture, rankScale, scorePicture,
  scoreRange, scoreScale,
} from "../../js/elfs.js";

const BOX = { left: 10, top: 20, width: 400, height: 100 }; // to x = 410, base at y = 120

describe("the scale over ranks", () => {
  test("is proportional, and stays inside", () => {
    const { place, rank } = rankScale(200);
    assert.equal(place(50), 0.25);
    assert.equal(rank(0.25), 50);
    assert.deepEqual([rank(-1), rank(2)], [0, 200]);
  });
});

describe("the scale over scores", () => {
  const scale = scoreScale([0, 10, 10, 30]); // 10 images, an empty bin, 20 images

  test("spreads the images of a bin over it", () => {
    assert.equal(scale.place(0), 0);
    assert.equal(scale.place(5), 1 / 6);
    assert.equal(scale.place(20), 5 / 6);
    assert.equal(scale.place(30, true), 1);
    assert.equal(scale.rank(1 / 6), 5);
    assert.equal(scale.rank(5 / 6), 20);
    assert.deepEqual([scale.rank(-1), scale.rank(2)], [0, 30]);
  });

  test("has the upper cut in front of an empty bin and the lower one behind it", () => {
    assert.equal(scale.place(10, true), 1 / 3);
    assert.equal(scale.place(10, false), 2 / 3);
    assert.equal(scale.rank(0.5), 10); // anywhere in the empty bin
  });

  test("brings every rank back from its place, and never turns around", () => {
    for (const ranks of [[0, 10, 10, 30], [0, 1], [0, 0, 5, 5], [0, 3, 1_000_000_000]]) {
      const { place, rank } = scoreScale(ranks);
      const n = ranks.at(-1);
      const some = [0, 1, 2, 3, n >> 1, n - 1, n].filter((r) => r >= 0 && r <= n).sort((a, b) => a - b);
      for (const isUpper of [false, true]) {
        const places = some.map((r) => place(r, isUpper));
        assert.deepEqual(places.map(rank), some);
        assert.deepEqual(places, [...places].sort((a, b) => a - b));
      }
    }
  });
});

describe("the axes", () => {
  test("of counts reaches the highest bar, unless that one dwarfs all others", () => {
    assert.equal(countRange([3, 9, 4]), 9);
    assert.equal(countRange([3, 9, 3]), 9);
    assert.equal(countRange([2, 90, 4]), 6);
    assert.equal(countRange([90]), 90);
    assert.equal(countRange([90, 0]), 90);
    assert.equal(countRange([0]), 1);
  });

  test("of scores has air below, whichever end is the hard one", () => {
    assert.deepEqual(scoreRange([0, 50, 100]), [-8, 100]);
    assert.deepEqual(scoreRange([100, 50, 0]), [-8, 100]);
    assert.deepEqual(scoreRange([50, 50]), [46, 54]);
    assert.deepEqual(scoreRange([0, 0]), [-0.08, 0.08]);
  });

  test("stand inside the plot, and never vanish", () => {
    assert.deepEqual(plotBox(1000), { left: 48, top: 26, width: 924, height: 200 });
    assert.deepEqual(plotBox(0), { left: 48, top: 26, width: 40, height: 150 });
    assert.equal(plotBox(5000).height, 420);
  });
});

describe("the outline", () => {
  test("of bars is cut at the two places, and an image is a pixel at least", () => {
    const draw = bars([100, 0, 50, 1], BOX, 1000); // 100 px wide with 1 px between them
    assert.equal(draw(0, 1000), "M10.5,120V110H109.5V120z" + "M210.5,120V115H309.5V120z" + "M310.5,120V119H409.5V120z");
    assert.equal(draw(60, 250), "M60,120V110H109.5V120z" + "M210.5,120V115H250V120z");
    assert.equal(draw(120, 200), "");
    assert.equal(draw(60, 60), "");
  });

  test("of bars ends at the top where one is cut off", () => {
    assert.equal(bars([5000], BOX, 1000)(0, 1000), "M10.5,120V20H409.5V120z");
  });

  test("of sorted scores is cut between two of them", () => {
    const table = { n: 4, quantiles: { ranks: [0, 3], scores: [0, 30] } }; // in the middle of ranks 0 and 3: x 60, 360
    const draw = area(table, BOX, (score) => 120 - score);
    assert.equal(draw(10, 410), "M10,120V120L60,120L360,90L410,90V120z");
    assert.equal(draw(160, 260), "M160,120V110L260,100V120z");
    assert.equal(draw(260, 160), "");
  });
});

describe("a picture", () => {
  const table = {
    n: 12, score: "AUM", edges: [100, 50, 0], ranks: [0, 4, 12], counts: [4, 8],
    quantiles: { ranks: [0, 11], scores: [100, 0] },
  };

  test("over scores goes from hard to easy, whichever end is the low one", () => {
    const { x, y, scale, cutOff, caption } = scorePicture(table, BOX);
    assert.deepEqual(x.map(({ text }) => text), ["0", "20", "40", "60", "80", "100"]);
    assert.deepEqual(x.map(({ at }) => BOX.left + at * BOX.width), [410, 330, 250, 170, 90, 10]);
    assert.deepEqual(y, [{ at: 120, text: "0" }, { at: 57.5, text: "5" }]); // of 8 images
    assert.equal(scale.place(4), 0.5);
    assert.equal(cutOff, null);
    assert.equal(caption, "AUM");
  });

  test("says how many images a bar has that is cut off", () => {
    const { cutOff, y } = scorePicture({ ...table, counts: [1, 1, 90, 8], ranks: [0, 1, 2, 92, 100] }, BOX);
    assert.deepEqual(cutOff, { from: 0.5, step: 0.25, count: 90 });
    assert.deepEqual(y.map(({ text }) => text), ["0", "5", "10"]); // of 12
  });

  test("has ticks at whole images only, also where there are millions", () => {
    const texts = (most) => scorePicture({ ...table, counts: [most, most] }, BOX).y.map(({ text }) => text);
    assert.deepEqual(texts(1), ["0", "1"]);
    assert.deepEqual(texts(3_000_000), ["0", "1,000,000", "2,000,000", "3,000,000"]);
  });

  test("of one score has its tick in the middle", () => {
    const one = { ...table, edges: [7, 7], ranks: [0, 12], counts: [12] };
    assert.deepEqual(scorePicture(one, BOX).x, [{ at: 0.5, text: "7" }]);
  });

  test("over ranks has percent along and scores up the axis", () => {
    const { x, y, scale, cutOff, caption } = rankPicture(table, { ...BOX, width: 500 });
    assert.deepEqual(x.map(({ text }) => text), ["0%", "20%", "40%", "60%", "80%", "100%"]);
    assert.deepEqual(x.map(({ at }) => at), [0, 0.2, 0.4, 0.6, 0.8, 1]);
    assert.deepEqual(y.map(({ text }) => text), ["0", "50", "100"]); // from -8, see above
    assert.equal(y[2].at, 20);
    assert.equal(scale.place(3), 0.25);
    assert.equal(cutOff, null);
    assert.equal(caption, "AUM, sorted, over the rank");
  });

  test("over ranks has at most every tenth percent, however wide it is", () => {
    assert.equal(rankPicture(table, { ...BOX, width: 4000 }).x.length, 11);
    assert.equal(rankPicture(table, { ...BOX, width: 40 }).x.length, 3);
  });
});

describe("the marks of \u03b2", () => {
  const place = (betas, width = 400) => placeMarks(betas, rankScale(1000), 1000, width);
  const labels = (betas, width = 400) => markLabels(place(betas, width), width);

  test("stand at whole images, from left to right", () => {
    assert.deepEqual(place({ found: 0.5, usual: 0.2509 }), [
      { name: "usual", beta: 0.2509, x: 100 }, { name: "found", beta: 0.5, x: 200 },
    ]);
    const [mark] = placeMarks({ found: 0.29 }, rankScale(100), 100, 1000); // 0.29 * 100 is 28.999999999999996
    assert.equal(mark.x, 290);
  });

  test("are left out when they are no \u03b2", () => {
    assert.deepEqual(place({ found: null, usual: undefined }), []);
    assert.deepEqual(place({ found: 1.5, usual: -0.1 }), []);
    assert.deepEqual(place({ found: "0.5", usual: NaN }), []);
    assert.deepEqual(labels({}), []);
  });

  test("have labels that lead away from each other", () => {
    assert.deepEqual(labels({ found: 0.3, usual: 0.6 }), [
      { x: 120, text: "found \u03b2 30%", isLeft: true }, { x: 240, text: "usual \u03b2 60%", isLeft: false },
    ]);
  });

  test("have one label where two would run into each other", () => {
    assert.deepEqual(labels({ found: 0.3, usual: 0.32 }), [
      { x: 128, text: "found \u03b2 30%, usual \u03b2 32%", isLeft: false },
    ]);
    assert.deepEqual(labels({ found: 0.95, usual: 0.99 }), [
      { x: 380, text: "found \u03b2 95%, usual \u03b2 99%", isLeft: true },
    ]);
    assert.equal(labels({ found: 0, usual: 0.2 }).length, 1); // 80 px, and none to the left
  });

  test("have their label inside the plot at either end", () => {
    assert.deepEqual(labels({ found: 0 }), [{ x: 0, text: "found \u03b2 0%", isLeft: false }]);
    assert.deepEqual(labels({ found: 1 }), [{ x: 400, text: "found \u03b2 100%", isLeft: true }]);
  });
});

test("a screen reader hears what the handles cut off", () => {
  assert.deepEqual(handleTexts({ hard: 250, budget: 500 }, 2000, "AUM", ["\u2248 0.1", "0.9"]), {
    hard: "\u03b2 12.5%, 250 of 2,000 images too hard; kept from AUM \u2248 0.1",
    easy: "budget 25.0%, 500 of 2,000 images; kept to AUM 0.9",
  });
  const { easy } = handleTexts({ hard: 250, budget: 500 }, 2000, "AUM", ["0.1", "0.9"], "frames");
  assert.equal(easy, "budget 25.0%, 500 of 2,000 frames; kept to AUM 0.9");
});
