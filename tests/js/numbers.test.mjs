/** Numbers as they are typed and as they are shown. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import {
  countOfPercent, countText, exactPercent, lastAtMost, parseNumber, percentText, scoreText, ticks,
} from "../../js/elfs.js";

describe("a typed number", () => {
  const percent = (text) => parseNumber(text, true);
  const count = (text) => parseNumber(text, false);

  test("may be a fraction, signed, or with its unit", () => {
    assert.equal(percent("20"), 20);
    assert.equal(percent("12.5"), 12.5);
    assert.equal(percent(".5"), 0.5);
    assert.equal(percent(" 12.5 % "), 12.5);
    assert.equal(percent("-3"), -3);
    assert.equal(count("40"), 40);
    assert.equal(count("1e3"), 1000);
  });

  test("has a comma as decimal point in a percentage", () => {
    assert.equal(percent("12,5"), 12.5);
    assert.equal(percent("1,500"), 1.5);
  });

  test("has a comma as separator in a count, and beside a point", () => {
    assert.equal(count("1,500"), 1500);
    assert.equal(count("1,281,167"), 1_281_167);
    assert.equal(count("1 281\u00a0167"), 1_281_167);
    assert.equal(percent("1,234.5"), 1234.5);
  });

  for (const text of ["", " ", "%", "many", "1/3", "1.2.3", "12,5,0", "1'000", "NaN", "Infinity", "\u221e"]) {
    test(`is none: ${JSON.stringify(text)}`, () => assert.equal(percent(text), null));
  }
});

describe("a percentage", () => {
  test("is shown with as many digits as the images can tell apart", () => {
    assert.equal(percentText(24, 120), "20.0%");
    assert.equal(percentText(1, 3), "33.3%");
    assert.equal(percentText(1, 10_000), "0.01%");
    assert.equal(percentText(1, 100_000), "0.001%");
  });

  test("in a field has no zeros at its end", () => {
    assert.equal(exactPercent(24, 120), "20");
    assert.equal(exactPercent(25, 120), "20.83");
    assert.equal(exactPercent(1, 1_000_000), "0.0001");
  });

  test("is rounded down to a count, as a fraction of the images is", () => {
    assert.equal(countOfPercent(20, 120), 24);
    assert.equal(countOfPercent(20.9, 120), 25); // 25.08
    assert.equal(countOfPercent(20.8, 120), 24); // 24.96
    assert.equal(countOfPercent(20.83, 120), 25); // 24.996, and 20.83 is what 25 of 120 are shown as
    assert.equal(countOfPercent(-1, 120), -2);
  });

  test("brings back its count when it is typed in again", () => {
    for (const n of [1, 3, 7, 120, 997, 1797, 50_000]) {
      for (let count = 0; count <= n; count++) {
        assert.equal(countOfPercent(Number(exactPercent(count, n)), n), count, `${count} of ${n}`);
      }
    }
    for (const n of [1_281_167, 123_456_789, 1_000_000_000]) {
      for (const count of [0, 1, 2, n / 3, n / 7, n / 2, n - 2, n - 1, n].map(Math.floor)) {
        assert.equal(countOfPercent(Number(exactPercent(count, n)), n), count, `${count} of ${n}`);
      }
    }
  });
});

test("a count is shown with separators", () => {
  assert.equal(countText(0), "0");
  assert.equal(countText(1_281_167), "1,281,167");
});

test("a score is shown with four digits and a true minus", () => {
  assert.equal(scoreText(0), "0");
  assert.equal(scoreText(1 / 3), "0.3333");
  assert.equal(scoreText(-0.5), "\u22120.5");
  assert.equal(scoreText(1234.56), "1235");
  assert.equal(scoreText(-123_456.7), "\u2212123,457");
});

test("the last value that is not above another", () => {
  assert.equal(lastAtMost([0, 10, 10, 30], 9), 0);
  assert.equal(lastAtMost([0, 10, 10, 30], 10), 2);
  assert.equal(lastAtMost([0, 10, 10, 30], 29), 2);
  assert.equal(lastAtMost([0, 10, 10, 30], 1000), 3);
  assert.equal(lastAtMost([5, 6], 4), 0);
  assert.equal(lastAtMost([5], 5), 0);
});

describe("ticks", () => {
  test("stand at steps of 1, 2, 5 or 10", () => {
    assert.deepEqual(ticks(0, 100, 10), [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
    assert.deepEqual(ticks(0, 100, 6), [0, 20, 40, 60, 80, 100]);
    assert.deepEqual(ticks(0, 7, 3), [0, 5]);
    assert.deepEqual(ticks(0.37, 0.91, 4), [0.4, 0.6, 0.8]);
  });

  test("are round numbers in spite of floating point, and zero has no sign", () => {
    assert.deepEqual(ticks(0, 0.3, 3), [0, 0.1, 0.2, 0.3]);
    assert.deepEqual(ticks(-1, 1, 3), [-1, 0, 1]);
    assert.deepEqual(ticks(-3e-7, 3e-7, 3), [-2e-7, 0, 2e-7]);
  });

  test("are few for any number of images", () => {
    assert.deepEqual(ticks(0, 1e9, 3), [0, 500_000_000, 1_000_000_000]);
    for (const high of [1, 9, 99, 1234, 5e6, 7.7e12]) {
      const found = ticks(0, high, 5);
      assert.ok(found.length >= 3 && found.length <= 6, `${found}`);
      assert.ok(found.at(-1) <= high);
    }
  });

  test("are one where there is nothing between the ends", () => {
    assert.deepEqual(ticks(5, 5, 3), [5]);
    assert.deepEqual(ticks(2, 1, 3), [2]);
  });
});
