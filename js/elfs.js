/**
 * The live cuts: a histogram of the difficulty score with two draggable handles, embedded in the Python panel.
 *
 * Ranks go from hard to easy. A cut is {hard, budget}: ranks [0, hard) are too hard, [hard, hard + budget) are the
 * coreset, the rest is too easy. The cut is always stored in ranks; pixels, percentages and scores are derived from it.
 * While a handle moves the server is not asked; one event tells it where the handle was released.
 *
 * The view holds {table, cut}. The table comes from elfs_plugin/cuts.py and changes with the run; the cut is
 * {hard, budget, serial, chosen_beta, prior_beta} and, for the exact numbers of a released cut, scores and clusters.
 *
 * The App loads one plain script per plugin, so this is one file in two halves. The arithmetic knows neither React nor
 * the page; where there is no page, in node, it is all there is, as module.exports (tests/js). The drawing follows it.
 */
(function () {
  "use strict";

  const MARGIN = { left: 48, right: 28, top: 26, bottom: 54 };
  const MARK_ROOM = 90; // px of the label of a mark

  // Numbers

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const countText = (count) => count.toLocaleString("en-US");

  /** Percent with as many digits as n images can tell apart. */
  const percentText = (count, n) => `${((100 * count) / n).toFixed(n >= 1e5 ? 3 : n >= 1e4 ? 2 : 1)}%`;

  /** Four digits, but no power of ten for a large number. */
  function scoreText(score) {
    const text = Math.abs(score) >= 1e5 ? countText(Math.round(score)) : String(Number(score.toPrecision(4)));
    return text.replace("-", "\u2212");
  }

  /** Decimals of a percentage that bring back the same count when they are typed in again. */
  const percentDecimals = (n) => Math.max(2, Math.ceil(Math.log10(n)) - 1);
  const exactPercent = (count, n) => String(Number(((100 * count) / n).toFixed(percentDecimals(n))));

  /** Rounded down as in pruning.py, but half a unit of the last shown digit is forgiven. */
  const countOfPercent = (percent, n) => Math.floor((n * (percent + 0.5 / 10 ** percentDecimals(n))) / 100);

  /** A typed number, or null. A comma is a decimal point in a percentage and a separator in a count. */
  function parseNumber(text, isPercent) {
    const plain = text.replace(/[\s%]/g, "").replace(/,/g, isPercent && !text.includes(".") ? "." : "");
    const value = plain === "" ? NaN : Number(plain);
    return Number.isFinite(value) ? value : null;
  }

  /** Largest index i of an ascending array with values[i] <= value; 0 when there is none. */
  function lastAtMost(values, value) {
    let low = 0;
    let high = values.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (values[middle] <= value) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Round values from low to high, about `count` of them. */
  function ticks(low, high, count) {
    if (!(high > low)) return [low];
    const raw = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
      found.push(Number((i * step).toPrecision(12)));
    }
    return found;
  }

  // The table

  const isTable = (t) => Boolean(t && t.n >= 1 && t.edges?.length > 1 && t.ranks?.length === t.edges.length);

  /** What tells one ranking from another, "" for no table; the App hands out a new copy of it at every patch. */
  const tableKey = (t) =>
    isTable(t) ? JSON.stringify([t.n, t.score, t.edges, t.ranks, t.clusters.map((c) => [c.name, c.size])]) : "";

  /** The table with each cluster's members below every rank of the grid, and the size of the largest. */
  function prepareTable(table) {
    const clusters = table.clusters.map((cluster) => {
      const below = [0];
      cluster.members.forEach((count) => below.push(below[below.length - 1] + count));
      return { ...cluster, below };
    });
    return { ...table, clusters, largest: Math.max(1, ...clusters.map((c) => c.size)) };
  }

  /** {value, exact}: the score at a rank; between the ranks of the table it is interpolated. */
  function scoreAt(table, rank) {
    const { ranks, scores } = table.quantiles;
    const i = lastAtMost(ranks, rank);
    if (ranks[i] === rank || i + 1 === ranks.length) return { value: scores[i], exact: true };
    const share = (rank - ranks[i]) / (ranks[i + 1] - ranks[i]);
    return { value: scores[i] + share * (scores[i + 1] - scores[i]), exact: scores[i] === scores[i + 1] };
  }

  /** The scores of the first and the last image of the coreset as texts; `exact` are the two, where they are known. */
  function endTexts(table, cut, exact) {
    return [cut.hard, cut.hard + cut.budget - 1].map((rank, i) => {
      const score = exact ? { value: exact[i], exact: true } : scoreAt(table, rank);
      return (score.exact ? "" : "\u2248 ") + scoreText(score.value);
    });
  }

  /** {i, share}: the interval of the grid in which a rank is, and how much of the interval is below it. */
  function gridPlace(grid, rank) {
    const i = lastAtMost(grid, rank);
    const width = (grid[i + 1] ?? rank) - grid[i];
    return { i, share: width ? (rank - grid[i]) / width : 0 };
  }

  /** {counts: [hard, coreset, easy] of each cluster, exact}. The table is a prepared one. */
  function clusterCounts(table, cut) {
    const places = [cut.hard, cut.hard + cut.budget].map((rank) => gridPlace(table.grid, rank));
    const counts = table.clusters.map(({ below, size }) => {
      const [a, b] = places.map(({ i, share }) => Math.round(below[i] + share * ((below[i + 1] ?? size) - below[i])));
      return [a, b - a, size - b];
    });
    return { counts, exact: places.every(({ share }) => share === 0) };
  }

  // Cuts: {hard, budget} within 0 <= hard, 1 <= budget, hard + budget <= n

  /** The nearest cut to what was sent. */
  function validCut(cut, n) {
    const budget = clamp(Math.round(Number(cut?.budget)) || 1, 1, n);
    return { hard: clamp(Math.round(Number(cut?.hard)) || 0, 0, n - budget), budget };
  }

  const sameCut = (a, b) => Boolean(a && b) && a.hard === b.hard && a.budget === b.budget;

  const zoneCounts = ({ hard, budget }, n) => ({ hard, coreset: budget, easy: n - hard - budget });

  const shifted = (cut, hard, n) => ({ hard: clamp(hard, 0, n - cut.budget), budget: cut.budget });

  /** The cut after a part of it was moved to a rank. `lock` is what stays: "budget", "beta" or null. */
  function moved(part, cut, rank, lock, n) {
    const end = cut.hard + cut.budget;
    if (part === "easy") {
      if (lock === "budget") return shifted(cut, rank - cut.budget, n);
      return { hard: cut.hard, budget: clamp(rank - cut.hard, 1, n - cut.hard) };
    }
    if (lock === "beta") return { hard: cut.hard, budget: cut.budget };
    if (part === "band" || lock === "budget") return shifted(cut, rank, n);
    const hard = clamp(rank, 0, end - 1);
    return { hard, budget: end - hard };
  }

  /** [lowest, highest] rank a handle can reach. */
  function reach(part, cut, lock, n) {
    const edge = (rank) => {
      const to = moved(part, cut, rank, lock, n);
      return part === "easy" ? to.hard + to.budget : to.hard;
    };
    return [edge(0), edge(n)];
  }

  /** The rank a key moves a handle to, or null for any other key. */
  function keyRank(event, rank, n) {
    if (event.ctrlKey || event.metaKey || event.altKey) return null;
    const one = event.shiftKey ? Math.max(1, Math.round(n / 100)) : 1;
    const five = Math.max(1, Math.round(n / 20));
    const steps = { ArrowLeft: -one, ArrowDown: -one, ArrowRight: one, ArrowUp: one, PageDown: -five, PageUp: five };
    if (event.key === "Home") return 0;
    if (event.key === "End") return n;
    return event.key in steps ? rank + steps[event.key] : null;
  }

  /**
   * {cut, note} after a number was typed into the field "beta", "budget" (both in percent) or "images". It changes
   * itself alone, up to what the other one leaves; the note says so when that is less.
   */
  function typed(field, value, cut, n) {
    return field === "beta" ? typedBeta(value, cut, n) : typedBudget(value, cut, n, field === "images");
  }

  function typedBeta(percent, cut, n) {
    const wanted = countOfPercent(percent, n);
    const to = shifted(cut, wanted, n);
    const isBeyond = percent < 0 || wanted > to.hard;
    const most = exactPercent(n - cut.budget, n);
    return { cut: to, note: isBeyond ? `\u03b2 can be 0 to ${most}% beside this budget.` : "" };
  }

  function typedBudget(value, { hard }, n, isCount) {
    const wanted = isCount ? Math.floor(value) : countOfPercent(value, n);
    const most = n - hard;
    const budget = clamp(wanted, 1, most);
    const share = isCount ? "" : ` (${exactPercent(most, n)}%)`;
    const limit = `The budget can be 1 to ${countText(most)}${share}${hard ? " beside this \u03b2" : ""}.`;
    return { cut: { hard, budget }, note: budget === wanted ? "" : limit };
  }

  // Scales: ranks to places in [0, 1] and back, both monotone

  const rankScale = (n) => ({
    place: (rank) => rank / n,
    rank: (place) => Math.round(clamp(place, 0, 1) * n),
  });

  /** Along the score, with each bin's images spread evenly over it. `ranks` are those at the edges of the bins. */
  function scoreScale(ranks) {
    const bins = ranks.length - 1;
    return {
      // In front of empty bins the upper cut stays at the last image before them, the lower one at the first behind.
      place(rank, isUpper) {
        let i = lastAtMost(ranks, rank);
        if (isUpper) while (i > 0 && ranks[i - 1] === rank) i--;
        return i >= bins ? 1 : (i + (rank - ranks[i]) / Math.max(ranks[i + 1] - ranks[i], 1)) / bins;
      },
      rank(place) {
        const at = clamp(place, 0, 1) * bins;
        const i = Math.min(Math.floor(at), bins - 1);
        return Math.round(ranks[i] + (at - i) * (ranks[i + 1] - ranks[i]));
      },
    };
  }

  /** The height of the axis of counts. One bar that dwarfs all others (scores tied at their limit) is cut off. */
  function countRange(counts) {
    const [first, second = 0] = [...counts].sort((a, b) => b - a);
    return second > 0 && first > 3 * second ? 1.5 * second : Math.max(first, 1);
  }

  /** [low, high] of the axis of sorted scores, with some air below, so that the lowest one is seen. */
  function scoreRange(edges) {
    const ends = [edges[0], edges[edges.length - 1]];
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    const span = high - low || Math.abs(low) || 1;
    return [low - 0.08 * span, low + (high > low ? span : 0.08 * span)];
  }

  // The plot has no transforms, clips, opacity or viewBox, and nothing opaque in it that moves is a rect: with any of
  // them Chromium divides the whole page into layers again at every move, which takes longer than all the rest. So all
  // places are absolute, in a box {left, top, width, height}, and the outline is cut at the zones by calculation.

  /** The box of the axes in a plot of a width, in px. */
  const plotBox = (total) => ({
    left: MARGIN.left,
    top: MARGIN.top,
    width: Math.max(total - MARGIN.left - MARGIN.right, 40),
    height: clamp(Math.round(total * 0.2), 150, 420),
  });

  /** The bars of the histogram: a function that draws what of them is between two x. */
  function bars(counts, { left, top, width, height }, most) {
    const step = width / counts.length;
    const gap = Math.min(1, step * 0.2);
    const base = top + height;
    const found = counts
      .map((count, i) => [left + i * step + gap / 2, base - clamp((count / most) * height, 1, height), count])
      .filter(([, , count]) => count);
    return (from, to) => found
      .map(([x, y]) => [Math.max(x, from), Math.min(x + step - gap, to), y])
      .map(([a, b, y]) => (b > a ? `M${a},${base}V${y}H${b}V${base}z` : ""))
      .join("");
  }

  /** The sorted score over the ranks as an area, in the same way. `y` places a score. */
  function area(table, { left, top, width, height }, y) {
    const { ranks, scores } = table.quantiles;
    const points = ranks.map((rank, i) => [left + ((rank + 0.5) / table.n) * width, y(scores[i])]);
    const xs = [left, ...points.map(([x]) => x), left + width];
    const ys = [y(scores[0]), ...points.map(([, at]) => at), y(scores[scores.length - 1])];
    const base = top + height;
    const heightAt = (x) => {
      const i = Math.min(lastAtMost(xs, x), xs.length - 2);
      const wide = xs[i + 1] - xs[i];
      return ys[i] + (wide ? (x - xs[i]) / wide : 0) * (ys[i + 1] - ys[i]);
    };
    return (from, to) => {
      if (!(to > from)) return "";
      const inside = points.filter(([x]) => x > from && x < to).map(([x, at]) => `L${x},${at}`);
      return `M${from},${base}V${heightAt(from)}${inside.join("")}L${to},${heightAt(to)}V${base}z`;
    };
  }

  // A picture is what of the plot does not move with the cut: {scale, outline, cutOff, x, y, caption}, x and y being
  // the ticks {at, text}: at a place along the axis, and at a height in px.

  const ticksAlong = (width) => Math.max(2, Math.floor(width / 80));

  function rankPicture(table, box) {
    const [low, high] = scoreRange(table.edges);
    const y = (score) => box.top + box.height * (1 - (score - low) / (high - low));
    return {
      scale: rankScale(table.n),
      outline: area(table, box, y),
      cutOff: null,
      x: ticks(0, 100, Math.min(ticksAlong(box.width), 10)).map((v) => ({ at: v / 100, text: `${v}%` })),
      y: ticks(low, high, 3).map((v) => ({ at: y(v), text: scoreText(v) })),
      caption: box.width > 420 ? `${table.score}, sorted, over the rank` : `${table.score} by rank`,
    };
  }

  function scorePicture(table, box) {
    const { counts, edges } = table;
    const [first, last] = [edges[0], edges[edges.length - 1]];
    const place = (score) => (last === first ? 0.5 : (score - first) / (last - first));
    const most = countRange(counts);
    return {
      scale: scoreScale(table.ranks),
      outline: bars(counts, box, most),
      cutOff: cutOffBar(counts, most),
      x: ticks(Math.min(first, last), Math.max(first, last), ticksAlong(box.width))
        .map((v) => ({ at: place(v), text: scoreText(v) })),
      y: ticks(0, most, 3)
        .filter(Number.isInteger)
        .map((v) => ({ at: box.top + box.height * (1 - v / most), text: countText(v) })),
      caption: box.width > 420 ? `${table.noun || "images"} over ${table.score}` : table.score,
    };
  }

  /** {from, step, count} of the bar that is higher than the axis, or null. */
  function cutOffBar(counts, most) {
    const i = counts.findIndex((count) => count > most);
    return i < 0 ? null : { from: i / counts.length, step: 1 / counts.length, count: counts[i] };
  }

  /** {name, beta, x} of each mark that is a β, from left to right; x in px from the left end of the axis. */
  function placeMarks(betas, scale, n, width) {
    return Object.entries(betas)
      .filter(([, beta]) => typeof beta === "number" && beta >= 0 && beta <= 1)
      .map(([name, beta]) => ({ name, beta, x: scale.place(Math.floor(beta * n + 1e-9)) * width }))
      .sort((a, b) => a.x - b.x);
  }

  const markText = ({ name, beta }) => `${name} \u03b2 ${Number((100 * beta).toPrecision(3))}%`;

  /** Labels of at most two placed marks: {x, text, isLeft}; one for both where two would run into each other. */
  function markLabels(marks, width) {
    const [first, second] = marks;
    const hasRoomLeft = ({ x }) => x >= MARK_ROOM - MARGIN.left;
    const hasRoomRight = ({ x }) => x <= width - MARK_ROOM + MARGIN.right;
    if (second) {
      const gap = second.x - first.x;
      const atEnd = !hasRoomLeft(first) || !hasRoomRight(second);
      if (gap < 12 || (atEnd && gap < MARK_ROOM + 8)) {
        const isLeft = second.x > width - 2 * MARK_ROOM;
        return [{ x: isLeft ? first.x : second.x, text: marks.map(markText).join(", "), isLeft }];
      }
    }
    const ofTwo = (mark) => Boolean(second) && mark === first && mark.x > MARK_ROOM - MARGIN.left;
    return marks.map((mark) => ({ x: mark.x, text: markText(mark), isLeft: !hasRoomRight(mark) || ofTwo(mark) }));
  }

  /** What a screen reader says of the handles; `first` and `last` are the scores at the ends of the coreset. */
  function handleTexts(cut, n, score, [first, last]) {
    const images = (count) => `${countText(count)} of ${countText(n)} images`;
    return {
      hard: `\u03b2 ${percentText(cut.hard, n)}, ${images(cut.hard)} too hard; kept from ${score} ${first}`,
      easy: `budget ${percentText(cut.budget, n)}, ${images(cut.budget)}; kept to ${score} ${last}`,
    };
  }

  if (typeof window === "undefined") {
    module.exports = {
      area, bars, clusterCounts, countOfPercent, countRange, countText, endTexts, exactPercent, handleTexts, isTable,
      keyRank, lastAtMost, markLabels, moved, parseNumber, percentText, placeMarks, plotBox, prepareTable, rankPicture,
      rankScale, reach, sameCut, scoreAt, scorePicture, scoreRange, scoreScale, scoreText, tableKey, ticks, typed,
      validCut, zoneCounts,
    };
    return;
  }

  // From here on the App is there.

  const { React, __fop__: plugins, __foo__: operators, __fos__: app, __mui__: mui } = window;
  // Without these the panel keeps its own sliders.
  if (!React || !plugins?.registerComponent || !operators?.useTriggerPanelEvent) return;

  const h = React.createElement;
  const { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } = React;

  const ZONES = ["hard", "coreset", "easy"];
  const NAMES = { hard: "too hard", coreset: "coreset", easy: "too easy" };
  const KEY_PAUSE = 300; // ms without a key until the keyboard counts as released

  // Hooks

  /** Width of an element in pixels, followed as the panel is resized. */
  function useWidth(ref) {
    const [width, setWidth] = useState(0);
    useLayoutEffect(() => {
      const measure = () => setWidth(Math.round(ref.current?.clientWidth || 0));
      measure();
      if (!window.ResizeObserver) return undefined;
      const observer = new ResizeObserver(measure);
      observer.observe(ref.current);
      return () => observer.disconnect();
    }, [ref]);
    return width;
  }

  /** The App's colours of the current theme; the zones' are from the Okabe-Ito palette. */
  function useColors() {
    const theme = mui?.useTheme?.() || {};
    const { text, background, divider } = theme.vars?.palette || theme.palette || {};
    const dark = theme.palette?.mode !== "light";
    return {
      "--elfs-text": text?.primary || "currentColor",
      "--elfs-faint": text?.secondary || "currentColor",
      "--elfs-paper": background?.paper || "Canvas",
      "--elfs-raised": background?.level1 || background?.paper || "Canvas",
      "--elfs-line": divider || "GrayText",
      "--elfs-hard": dark ? "#ee7420" : "#d55e00",
      "--elfs-coreset": dark ? "#56a8e0" : "#0072b2",
      "--elfs-easy": dark ? "#8f8f8f" : "#8c8c8c",
    };
  }

  /**
   * The cut on the screen. `apply` draws, `commit` tells the server, `revert` goes back to the last cut told or heard.
   *
   * Every commit carries a serial. What the server sends is adopted when its serial is not older than the last commit,
   * and never while a handle is held: an answer that was overtaken must not move the handles back.
   */
  function useCut(table, key, incoming, send) {
    const n = table.n;
    const [cut, setCut] = useState(() => validCut(incoming, n));
    const live = useRef(cut);
    const known = useRef({ key, serial: incoming?.serial ?? 0, cut });
    const held = useRef(false);
    const frame = useRef(0);
    const latest = useRef();
    latest.current = incoming;

    const apply = useCallback((next) => {
      live.current = next;
      frame.current ||= requestAnimationFrame(() => {
        frame.current = 0;
        setCut(live.current);
      });
    }, []);

    const adopt = useCallback(() => {
      const from = latest.current;
      const isOther = known.current.key !== key;
      if (!from || (!isOther && (held.current || (from.serial ?? 0) < known.current.serial))) return;
      const next = validCut(from, n);
      known.current = { key, serial: from.serial ?? 0, cut: next };
      if (isOther) held.current = false;
      apply(next);
    }, [apply, key, n]);

    const commit = useCallback(() => {
      held.current = false;
      if (sameCut(live.current, known.current.cut)) return adopt();
      const serial = Math.max(known.current.serial, latest.current?.serial ?? 0) + 1;
      known.current = { key, serial, cut: live.current };
      send({ hard: live.current.hard, budget: live.current.budget, serial });
    }, [adopt, key, send]);

    const revert = useCallback(() => {
      held.current = false;
      apply(known.current.cut);
      adopt();
    }, [adopt, apply]);

    const { hard, budget, serial } = incoming || {};
    useEffect(adopt, [adopt, hard, budget, serial]);
    useEffect(() => () => cancelAnimationFrame(frame.current), []);
    return useMemo(() => ({ live, held, apply, commit, revert, cut }), [apply, commit, revert, cut]);
  }

  // Parts

  /** The picture is computed once per table, size and kind of axis. */
  function usePicture(table, byRank, { left, top, width, height }) {
    return useMemo(
      () => (byRank ? rankPicture : scorePicture)(table, { left, top, width, height }),
      [table, byRank, left, top, width, height]);
  }

  function Axes({ picture, box: { left, top, width, height } }) {
    const faint = { className: "elfs-faint" };
    const [right, base] = [left + width, top + height];
    const tickY = ({ at, text }) =>
      h("g", { key: `y${text}` },
        h("line", { x1: left, x2: right, y1: at, y2: at, className: "elfs-grid" }),
        h("text", { ...faint, x: left - 8, y: at, dy: "0.32em", textAnchor: "end" }, text));
    const tickX = ({ at, text }) => {
      const x = left + at * width;
      return h("g", { key: `x${text}` },
        h("line", { x1: x, x2: x, y1: base, y2: base + 4, className: "elfs-axis" }),
        h("text", { ...faint, x, y: base + 16, textAnchor: "middle" }, text));
    };
    const y = base + 49;
    return h("g", null,
      picture.y.map(tickY),
      h("line", { x1: left, x2: right, y1: base, y2: base, className: "elfs-axis" }),
      picture.x.map(tickX),
      h("text", { ...faint, x: left, y }, "\u2190 harder"),
      h("text", { ...faint, x: left + width / 2, y, textAnchor: "middle" }, picture.caption),
      h("text", { ...faint, x: right, y, textAnchor: "end" }, "easier \u2192"));
  }

  /** A gap across the bar that is cut off, and its true count beside it. */
  function CutOff({ from, step, count, box: { left, top, width } }) {
    const [x, wide] = [left + from * width, step * width];
    const isRight = from > 0.5;
    return h("g", { "data-cut-off": count },
      h("path", { className: "elfs-gap", d: `M${x - 2},${top + 22}l${wide + 4},-6` }),
      h("text", {
        x: isRight ? x - 5 : x + wide + 5, y: top + 12, textAnchor: isRight ? "end" : "start" }, countText(count)));
  }

  /** Where a search found β and where it usually is, below the axis. */
  function Marks({ found, usual, scale, n, box: { left, top, width, height } }) {
    const base = top + height;
    const marks = placeMarks({ found, usual }, scale, n, width);
    return h("g", null,
      marks.map(({ name, x }) => h("g", { key: name, "data-mark": name },
        h("line", { x1: left + x, x2: left + x, y1: top, y2: base, className: "elfs-mark" }),
        h("path", {
          d: `M${left + x},${base + 21}l4,8h-8z`, className: name === "found" ? "elfs-fill" : "elfs-hollow" }))),
      markLabels(marks, width).map(({ x, text, isLeft }) => h("text", {
        key: text, className: "elfs-faint", x: left + x + (isLeft ? -8 : 8), y: base + 30,
        textAnchor: isLeft ? "end" : "start" }, text)));
  }

  /** The three zones: a strip above the plot, with the zone's name where there is room for it, and the outline. */
  function Zones({ xs, box: { left, top, width }, outline, id }) {
    const spans = { hard: [left, xs[0]], coreset: [xs[0], xs[1]], easy: [xs[1], left + width] };
    return ZONES.map((zone) => {
      const [from, to] = spans[zone];
      const className = `elfs-${zone}`;
      const fits = to - from > NAMES[zone].length * 6.4 + 8;
      return h("g", { key: zone },
        h("path", { className, d: `M${from},${top - 8}H${Math.max(from, to)}v5H${from}z` }),
        fits && h("text", {
          className: "elfs-name", x: (from + to) / 2, y: top - 12, textAnchor: "middle" }, NAMES[zone]),
        h("path", {
          className, d: outline(from, to), style: zone === "hard" ? { fill: `url(#${id}-hatch)` } : undefined }));
    });
  }

  /** One cut. `reachX` is how far it can be grasped to the left and to the right of its line. */
  function Handle({ part, x, box: { top, height }, reachX, rank, limits, text, events }) {
    const side = part === "hard" ? -1 : 1; // the grips stand outside the band and stay apart when it is narrow
    const middle = top + height / 2;
    const from = side < 0 ? x - 15 : x + 1;
    const grip = (air) => ({
      x: from - air, y: middle - 18 - air, width: 14 + 2 * air, height: 36 + 2 * air, rx: 4 + air });
    const groove = (dy) => h("line", {
      key: dy, className: "elfs-groove", x1: x + side * 4, x2: x + side * 11, y1: middle + dy, y2: middle + dy });
    return h("g", {
      className: "elfs-handle", role: "slider", tabIndex: 0, "data-cut": part, "aria-orientation": "horizontal",
      "aria-label": part === "hard" ? "\u03b2, the hard cut" : "Budget, the easy cut", "aria-valuetext": text,
      "aria-valuemin": limits[0], "aria-valuemax": limits[1], "aria-valuenow": rank, ...events },
    h("rect", { x: x - reachX[0], width: reachX[0] + reachX[1], y: top - 4, height: height + 8,
      fill: "transparent" }),
    h("line", { x1: x, x2: x, y1: top - 4, y2: top + height, className: "elfs-cut" }),
    h("rect", { className: "elfs-grip", ...grip(0) }),
    h("rect", { className: "elfs-ring", ...grip(4) }),
    [-4, 0, 4].map(groove));
  }

  /** What a pointer does to the cut: {start(part), follow, finish, gesture}. `xs` are the places of the two cuts. */
  function usePointer(svg, state, { scale, box, xs, lock, n }) {
    const gesture = useRef(null);
    const { live, held, apply, commit, revert } = state;
    // The frame is measured once per gesture: measuring it at every move would force a layout.
    const start = (part) => (event) => {
      if (event.button > 0 || gesture.current) return;
      event.preventDefault();
      event.currentTarget.focus?.({ preventScroll: true });
      svg.current.setPointerCapture(event.pointerId);
      const left = svg.current.getBoundingClientRect().left;
      const offset = event.clientX - left - (part === "easy" ? xs[1] : xs[0]);
      gesture.current = { part, left, offset, pointer: event.pointerId, from: live.current };
      held.current = true;
    };
    const follow = (event) => {
      const g = gesture.current;
      if (g?.pointer !== event.pointerId) return;
      const place = (event.clientX - g.left - g.offset - box.left) / box.width;
      apply(moved(g.part, g.from, scale.rank(place), lock, n));
    };
    const finish = (event) => {
      if (gesture.current?.pointer !== event.pointerId) return;
      gesture.current = null;
      if (event.type === "pointerup") commit();
      else revert();
    };
    return { start, follow, finish, gesture };
  }

  /** What the keys do to a handle, as event handlers. The server hears of it when the keys have been let go. */
  function useKeys(state, gesture, lock, n) {
    const pause = useRef(0);
    const { live, held, apply, commit, revert } = state;
    useEffect(() => () => clearTimeout(pause.current), []);
    const settle = () => {
      clearTimeout(pause.current);
      if (held.current && !gesture.current) commit();
    };
    const onKeyDown = (part) => (event) => {
      if (event.key === "Escape") {
        clearTimeout(pause.current);
        gesture.current = null;
        revert();
        return;
      }
      const { hard, budget } = live.current;
      const to = keyRank(event, part === "easy" ? hard + budget : hard, n);
      if (to === null || gesture.current) return;
      event.preventDefault();
      clearTimeout(pause.current);
      held.current = true;
      apply(moved(part, live.current, to, lock, n));
    };
    const onKeyUp = () => {
      clearTimeout(pause.current);
      if (held.current && !gesture.current) pause.current = setTimeout(settle, KEY_PAUSE);
    };
    return (part) => ({ onKeyDown: onKeyDown(part), onKeyUp, onBlur: settle });
  }

  function Plot({ table, state, lock, byRank, width: total, marks, texts }) {
    const n = table.n;
    const { cut } = state;
    const end = cut.hard + cut.budget;
    const box = plotBox(total);
    const svg = useRef(null);
    const id = useId();
    const picture = usePicture(table, byRank, box);
    const { scale } = picture;
    const xs = [scale.place(cut.hard, false), scale.place(end, true)].map((place) => box.left + place * box.width);
    const band = { x: xs[0], width: Math.max(xs[1] - xs[0], 0) };
    const { start, follow, finish, gesture } = usePointer(svg, state, { scale, box, xs, lock, n });
    const keys = useKeys(state, gesture, lock, n);
    const inner = Math.min(8, band.width / 3); // of a narrow band each handle and the band itself get a third
    const handle = (part, x, reachX, rank) => h(Handle, {
      key: part, part, x, reachX, box, rank, limits: reach(part, cut, lock, n), text: texts[part],
      events: { onPointerDown: start(part), ...keys(part) } });
    const hatch = { id: `${id}-hatch`, width: 6, height: 6, patternUnits: "userSpaceOnUse",
      patternTransform: "rotate(45)" };
    return h("svg", {
      ref: svg, className: "elfs-plot", width: total, height: MARGIN.top + box.height + MARGIN.bottom,
      onPointerMove: follow, onPointerUp: finish, onPointerCancel: finish, onLostPointerCapture: finish },
    h("defs", null, h("pattern", hatch,
      h("rect", { width: 6, height: 6, className: "elfs-hard" }),
      h("line", { y2: 6, x1: 1, x2: 1, className: "elfs-hatch" }))),
    h(Axes, { picture, box }),
    h("rect", { ...band, className: "elfs-band", y: box.top, height: box.height }),
    h(Zones, { xs, box, outline: picture.outline, id }),
    picture.cutOff && h(CutOff, { ...picture.cutOff, box }),
    h(Marks, { ...marks, scale, n, box }),
    h("rect", {
      ...band, className: lock === "beta" ? "elfs-grab" : "elfs-grab elfs-movable", "data-cut": "band",
      y: 0, height: box.top + box.height, onPointerDown: lock === "beta" ? undefined : start("band") }),
    handle("hard", xs[0], [22, inner], cut.hard),
    handle("easy", xs[1], [inner, 22], end));
  }

  /** A prefix for the ids of this instance that is safe inside url(). */
  function useId() {
    const made = React.useId?.();
    const kept = useRef(null);
    kept.current ||= `elfs${(made || Math.random().toString(36).slice(2)).replace(/\W/g, "")}`;
    return kept.current;
  }

  /** A number that is taken over on Enter or when the field is left, and given up on Escape. */
  function Field({ name, label, value, unit, width, invalid, onTyped }) {
    const [draft, setDraft] = useState(null);
    const take = () => {
      if (draft !== null && draft !== value) onTyped(name, draft);
      setDraft(null);
    };
    const keys = { Enter: take, Escape: () => setDraft(null) };
    return h("label", { className: "elfs-field" },
      h("input", {
        "aria-label": label, "data-field": name, inputMode: name === "images" ? "numeric" : "decimal",
        "aria-invalid": invalid || undefined,
        autoComplete: "off", style: { width }, value: draft ?? value, onBlur: take,
        onFocus: (event) => event.target.select(),
        onChange: (event) => setDraft(event.target.value),
        onKeyDown: (event) => keys[event.key]?.() }),
      unit);
  }

  function Lock({ name, label, isOn, onToggle }) {
    const title = `${label} (${isOn ? "on" : "off"})`;
    return h("button", {
      type: "button", className: "elfs-button elfs-lock", "aria-pressed": isOn, "aria-label": label, title,
      "data-lock": name, onClick: () => onToggle(name) },
    h("svg", { width: 14, height: 16, viewBox: "0 0 14 16", "aria-hidden": true },
      h("path", { d: isOn ? "M4 8V5a3 3 0 0 1 6 0v3" : "M4 8V4a3 3 0 0 1 6 -1", className: "elfs-shackle" }),
      h("rect", { x: 2, y: 7.5, width: 10, height: 7.5, rx: 1.5, fill: "currentColor" })));
  }

  function ZoneButtons({ counts, n, onZone }) {
    const button = (zone) => h("button", {
      key: zone, type: "button", className: "elfs-button elfs-zone", "data-zone": zone, "data-count": counts[zone],
      title: "Show these images in the grid", onClick: () => onZone(zone) },
    h("span", null, h("span", { className: `elfs-swatch elfs-swatch-${zone}`, "aria-hidden": true }), NAMES[zone]),
    h("span", null, h("strong", null, countText(counts[zone])), " ",
      h("span", { className: "elfs-share" }, percentText(counts[zone], n))));
    return h("div", { className: "elfs-zones" }, ZONES.map(button));
  }

  /** One line per cluster; a bar is one gradient, so that redrawing thirty of them needs no layout. */
  function Clusters({ table, cut, exact }) {
    const known = exact?.length === table.clusters.length;
    const { counts, exact: onGrid } = known ? { counts: exact, exact: true } : clusterCounts(table, cut);
    const about = onGrid ? "" : "\u2248 ";
    const more = table.more?.clusters || 0;
    const line = ({ label, name, size }, i) => {
      const [hard, kept, easy] = counts[i];
      const [a, b] = [(100 * hard) / size, (100 * (hard + kept)) / size];
      const words = `${name}: ${about}${countText(hard)} too hard, ${about}${countText(kept)} coreset, ` +
        `${about}${countText(easy)} too easy, of ${countText(size)}`;
      const background = `linear-gradient(to right, var(--elfs-hard) ${a}%, var(--elfs-coreset) ${a}% ${b}%, ` +
        `var(--elfs-easy) ${b}%)`;
      return h("div", {
        key: label, role: "listitem", "aria-label": words, title: words, className: "elfs-cluster",
        "data-cluster": counts[i].join(" ") },
      h("span", { className: "elfs-cluster-name" }, name),
      h("span", null,
        h("span", { className: "elfs-bar", style: { width: `${(100 * size) / table.largest}%`, background } })),
      h("span", { className: "elfs-number" }, countText(kept)),
      h("span", { className: "elfs-number elfs-share" }, countText(size)));
    };
    return h("div", null,
      h("div", { className: "elfs-heading" },
        h("span", null, "Clusters"),
        h("span", { className: "elfs-share" }, `${about}in the coreset, of all`)),
      h("div", { className: "elfs-clusters", role: "list" }, table.clusters.map(line)),
      more > 0 &&
        h("div", { className: "elfs-share" }, `and ${countText(more)} more with ${countText(table.more.size)} images`));
  }

  /** `texts` are what was typed, {count, text} of a field, shown as long as the count is still that. */
  function Controls({ cut, n, lock, byRank, texts, note, onTyped, onLock, onAxis }) {
    const field = (name, label, value, unit, width) =>
      h(Field, { name, label, value, unit, width, invalid: note?.name === name, onTyped });
    const shown = (name, count) => (texts[name]?.count === count ? texts[name].text : exactPercent(count, n));
    const beside = (...names) => h("span", { role: "status", className: "elfs-note" },
      names.includes(note?.name) ? note.text : "");
    const hold = (name, label) => h(Lock, { name, label, isOn: lock === name, onToggle: onLock });
    const axis = (isRank) => h("button", {
      key: String(isRank), type: "button", className: "elfs-button", "aria-pressed": byRank === isRank,
      "data-axis": isRank ? "rank" : "score", onClick: () => onAxis(isRank) }, isRank ? "by rank" : "by score");
    return h("div", { className: "elfs-controls" },
      h("div", { className: "elfs-group" },
        "\u03b2",
        field("beta", "\u03b2 in percent", shown("beta", cut.hard), `% \u00b7 ${countText(cut.hard)} images`, 72),
        hold("beta", "Hold \u03b2 while dragging"),
        beside("beta")),
      h("div", { className: "elfs-group" },
        "Budget",
        field("budget", "Budget in percent", shown("budget", cut.budget), "%", 72),
        field("images", "Budget in images", countText(cut.budget), "images", 84),
        hold("budget", "Hold the budget while dragging"),
        beside("budget", "images")),
      h("div", { className: "elfs-group elfs-axes", role: "group", "aria-label": "Horizontal axis" },
        [false, true].map(axis)));
  }

  /** Everything that needs a table. */
  function Cuts({ table, rankingKey, incoming, view, trigger, width, onRender }) {
    const n = table.n;
    const { stamp } = view; // what this page was drawn with: tabs of a browser share the rest
    const send = useCallback((cut) => view.on_commit && trigger(view.on_commit, { ...cut, stamp }),
      [trigger, view.on_commit, stamp]);
    const state = useCut(table, rankingKey, incoming, send);
    const [lock, setLock] = useState("budget");
    const [byRank, setByRank] = useState(false);
    const [note, setNote] = useState(null);
    const [typedTexts, setTypedTexts] = useState({});
    const cut = validCut(state.cut, n);
    const told = sameCut(cut, incoming) ? incoming : null;
    const ends = endTexts(table, cut, told?.scores);
    useEffect(onRender);

    const onTyped = (name, text) => {
      const value = parseNumber(text, name !== "images");
      if (value === null) return setNote({ name, text: "Type a number.", cut: state.live.current });
      const { cut: to, note: limit } = typed(name, value, state.live.current, n);
      setNote(limit ? { name, text: limit, cut: to } : null);
      const count = name === "beta" ? to.hard : to.budget;
      setTypedTexts({ ...typedTexts, [name]: limit ? null : { count, text: String(value) } });
      state.apply(to);
      return state.commit();
    };
    const onZone = (zone) => view.on_zone && trigger(view.on_zone, { zone, stamp });
    const onLock = (name) => setLock(lock === name ? null : name);
    const texts = handleTexts(cut, n, table.score, ends);
    const marks = { found: incoming.chosen_beta, usual: incoming.prior_beta };
    return h(React.Fragment, null,
      h(ZoneButtons, { counts: zoneCounts(cut, n), n, onZone }),
      width > 0 && h(Plot, { table, state: { ...state, cut }, lock, byRank, width, texts, marks }),
      h(Controls, {
        cut, n, lock, byRank, texts: typedTexts, note: sameCut(note?.cut, cut) ? note : null,
        onTyped, onLock, onAxis: setByRank }),
      h("div", { className: "elfs-readout" },
        h("span", { "data-scores": "" }, `kept: ${table.score} ${ends.join(" to ")}`)),
      h(Clusters, { table, cut, exact: told?.clusters }));
  }

  /** The registered component. Props come from FiftyOne: what the panel draws, and the events' names. */
  function ElfsCuts(props) {
    const view = props.schema?.view || {};
    const { table, cut } = view;
    const trigger = operators.useTriggerPanelEvent();
    const root = useRef(null);
    const renders = useRef(0);
    const width = useWidth(root);
    const style = useColors();
    const key = useMemo(() => tableKey(table), [table]);
    const ready = useMemo(() => (key ? prepareTable(table) : null), [key]); // the key stands for the content
    const onRender = useCallback(() => root.current?.setAttribute("data-renders", ++renders.current), []);
    // Again where it was not heard: a word may get lost, and another tab of the browser starts anew for all of them.
    useEffect(() => void (!view.heard && view.on_ready && trigger(view.on_ready, {})), [view.heard]);
    return h("div", {
      ref: root, className: "elfs-cuts", role: "group", "aria-label": "Cuts through the ranking", style,
      onKeyDown: (event) => event.stopPropagation() }, // the App's own shortcuts must not hear the arrow keys
    h("style", null, STYLE),
    ready && cut && h(Cuts, { table: ready, rankingKey: key, incoming: cut, view, trigger, width, onRender }));
  }

  const STYLE = `
.elfs-cuts { box-sizing: border-box; width: 100%; min-width: 0; color: var(--elfs-text); font-size: 13px;
  line-height: 1.4; font-variant-numeric: tabular-nums; display: flex; flex-direction: column; gap: 8px; }
.elfs-cuts * { box-sizing: border-box; }
.elfs-button { font: inherit; color: inherit; background: transparent; border: 1px solid var(--elfs-line);
  border-radius: 4px; padding: 3px 8px; cursor: pointer; }
.elfs-button:hover { background: var(--elfs-raised); }
.elfs-button[aria-pressed="true"] { background: var(--elfs-raised); border-color: var(--elfs-text); }
.elfs-cuts button:focus-visible, .elfs-cuts input:focus-visible {
  outline: 2px solid var(--elfs-text); outline-offset: 1px; }
.elfs-zones { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 8px; }
.elfs-zone { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 6px; text-align: left; }
.elfs-zone > span { white-space: nowrap; }
.elfs-zone strong { font-size: 15px; }
.elfs-swatch { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px; }
.elfs-swatch-hard { background: repeating-linear-gradient(135deg, var(--elfs-hard) 0 3px, var(--elfs-paper) 3px 4px); }
.elfs-swatch-coreset { background: var(--elfs-coreset); }
.elfs-swatch-easy { background: var(--elfs-easy); }
.elfs-share { color: var(--elfs-faint); font-size: 12px; }
.elfs-note { color: var(--elfs-hard); font-size: 12px; }
.elfs-plot { display: block; overflow: visible; user-select: none; -webkit-user-select: none; }
.elfs-plot text { font-size: 11px; fill: var(--elfs-text); }
.elfs-plot text.elfs-faint { fill: var(--elfs-faint); }
.elfs-plot text.elfs-name { font-size: 12px; }
.elfs-hard { fill: var(--elfs-hard); }
.elfs-coreset { fill: var(--elfs-coreset); }
.elfs-easy { fill: var(--elfs-easy); }
.elfs-hatch { stroke: var(--elfs-paper); stroke-width: 1.5; stroke-opacity: 0.55; }
.elfs-band { fill: var(--elfs-coreset); fill-opacity: 0.1; }
.elfs-grid { stroke: var(--elfs-line); stroke-width: 1; stroke-opacity: 0.6; }
.elfs-axis { stroke: var(--elfs-faint); stroke-width: 1; }
.elfs-gap { stroke: var(--elfs-paper); stroke-width: 3; }
.elfs-mark { stroke: var(--elfs-faint); stroke-width: 1; stroke-dasharray: 2 3; }
.elfs-fill { fill: var(--elfs-text); stroke: var(--elfs-text); }
.elfs-hollow { fill: var(--elfs-paper); stroke: var(--elfs-text); }
.elfs-grab { fill: transparent; }
.elfs-movable { cursor: grab; touch-action: none; }
.elfs-movable:active { cursor: grabbing; }
.elfs-handle { cursor: ew-resize; touch-action: none; outline: none; }
.elfs-cut { stroke: var(--elfs-text); stroke-width: 2; }
.elfs-grip { fill: var(--elfs-text); stroke: var(--elfs-paper); stroke-width: 1; }
.elfs-groove { stroke: var(--elfs-paper); stroke-width: 1.5; }
.elfs-handle:hover .elfs-cut { stroke-width: 3; }
.elfs-ring { fill: none; stroke: none; stroke-width: 2; }
.elfs-handle:focus-visible .elfs-ring { stroke: var(--elfs-text); }
.elfs-handle:focus-visible .elfs-cut { stroke-width: 3; }
.elfs-controls { display: flex; flex-wrap: wrap; gap: 8px 20px; align-items: center; }
.elfs-group { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; }
.elfs-axes { margin-left: auto; gap: 0; }
.elfs-axes button:first-child { border-radius: 4px 0 0 4px; }
.elfs-axes button:last-child { border-radius: 0 4px 4px 0; margin-left: -1px; }
.elfs-field { display: flex; align-items: center; gap: 4px; }
.elfs-field input { font: inherit; color: inherit; background: transparent; border: 1px solid var(--elfs-line);
  border-radius: 4px; padding: 3px 6px; text-align: right; }
.elfs-field input[aria-invalid] { border-color: var(--elfs-hard); }
.elfs-lock { padding: 3px 6px; display: inline-flex; color: var(--elfs-faint); }
.elfs-lock[aria-pressed="true"] { color: var(--elfs-text); }
.elfs-shackle { fill: none; stroke: currentColor; stroke-width: 1.8; }
.elfs-readout { display: flex; flex-wrap: wrap; gap: 2px 16px; justify-content: space-between; }
.elfs-heading { display: flex; gap: 12px; justify-content: space-between; border-top: 1px solid var(--elfs-line);
  padding-top: 6px; margin-bottom: 4px; }
.elfs-clusters { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr));
  gap: 2px 24px; }
.elfs-cluster { display: grid;
  grid-template-columns: minmax(0, 88px) minmax(0, 1fr) minmax(44px, auto) minmax(52px, auto); gap: 8px;
  align-items: center; font-size: 12px; }
.elfs-cluster-name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.elfs-bar { display: block; height: 12px; min-width: 2px; border-radius: 2px; }
.elfs-number { text-align: right; }
`;

  /**
   * Gives the opened image the fields that the grid has. Opened by the App's own operator it has those that the page
   * had when it was loaded: a field that came later could not be seen there, nor labelled in Annotate.
   */
  function takeFields() {
    return class extends operators.Operator {
      get config() {
        return new operators.OperatorConfig({
          name: "take_fields", label: "ELFS: Show the fields of the grid beside the opened image", unlisted: true });
      }

      useHooks() {
        return { takeFromGrid: app?.useSetModalState?.() };
      }

      async execute({ hooks }) {
        await hooks.takeFromGrid?.();
      }
    };
  }

  if (operators.registerOperator && operators.Operator) {
    operators.registerOperator(takeFields(), "@elfs/coreset");
  }

  plugins.registerComponent({
    name: "ElfsCuts",
    label: "ELFS cuts",
    component: ElfsCuts,
    type: plugins.PluginComponentType.Component,
    activator: () => true,
  });
})();
