"""The compiled part of ZCore: nearest sample and nearest neighbours in two dimensions, and what each draw scores.

The plane of a pair (a, b) is divided into strips, the bins of a, and each strip into cells, the bins of b. A strip is
sorted into its cells when a search first enters it. Distances are L1, in double precision; of equally distant samples
the one with the lowest index counts as nearer. Every bound below is the same floating-point expression as the distance
it bounds, and rounding is monotone, so nothing that could matter is ever skipped.

What is compiled is cached on disk as long as this file stays as it is; when a compiled function that it takes from
``zcore_draws`` or ``zcore_table`` changes, delete the cache (``__pycache__/*.nbi``).
"""

from collections import namedtuple

import numpy as np

from ....contracts import Array, Integers
from .draws import compiled, pair_key, pair_number, place
from .table import bin_of

UNIT = np.int64(1) << np.int64(34)
"""One point of score. Sums of whole numbers do not depend on their order, hence not on the number of threads."""

_SLOTS = 256
_SPARE = 1.5

Workspace = namedtuple(
    "Workspace",
    "order strips sorted_x x y ids cells built distances candidates slots edge_distances edge_candidates totals",
)
"""What one thread needs: 40 bytes a sample, ``totals`` (2, N) int64 among them, the scores of the two halves."""


def workspace(n: int, bins: int) -> Workspace:
    return Workspace(
        order=np.empty(n, dtype=np.int32),
        strips=np.empty(bins + 1, dtype=np.int64),
        sorted_x=np.empty(n, dtype=np.float32),
        x=np.empty(n, dtype=np.float32),
        y=np.empty(n, dtype=np.float32),
        ids=np.empty(n, dtype=np.int32),
        cells=np.empty((bins, bins + 1), dtype=np.int64),
        built=np.empty(bins, dtype=np.bool_),
        distances=np.empty(n, dtype=np.float64),
        candidates=np.empty(n, dtype=np.int32),
        slots=np.empty(_SLOTS, dtype=np.int64),
        edge_distances=np.empty(n, dtype=np.float64),
        edge_candidates=np.empty(n, dtype=np.int32),
        totals=np.zeros((2, n), dtype=np.int64),
    )


@compiled
def score_pairs(
    table: tuple[Array, ...],
    counts: Integers,
    keys: Integers,
    a: int,
    from_b: int,
    to_b: int,
    part: int,
    parts: int,
    neighbors: int,
    exponent: float,
    work: Workspace,
) -> int:
    """Scores part ``part`` of ``parts`` of the draws on the pairs (a, b), from_b <= b < to_b, into ``work.totals``;
    returns their number.

    Args:
        table: the fields of :class:`~.table.Table`, in order
        counts, keys: of :class:`~.draws.Plan`
    """
    columns, bins, lows, highs, used, low, median, high = table
    dimensions = len(columns)
    _by_strip(columns[a], bins[a], used[a], work)
    made = 0
    for b in range(from_b, to_b):
        pair = pair_number(a, b, dimensions)
        first_0, last_0 = _part_of(counts[0, pair], part, parts)
        first_1, last_1 = _part_of(counts[1, pair], part, parts)
        draws = last_0 - first_0 + last_1 - first_1
        if draws == 0:
            continue
        plane = (lows[a, : used[a]], highs[a, : used[a]], lows[b, : used[b]], highs[b, : used[b]], columns[b], bins[b])
        made += draws
        work.built[:] = False
        found = np.empty(draws, dtype=np.int64)
        at = 0
        for half, first, last in ((0, first_0, last_0), (1, first_1, last_1)):
            key = pair_key(keys[half], pair)
            for draw in range(first, last):
                px, py = place(key, draw, low[a], median[a], high[a], low[b], median[b], high[b])
                found[at] = 2 * _nearest(px, py, plane, work) + half
                at += 1
        # Draws that find the same sample have the same neighbours: these are looked up once.
        found.sort()
        at = 0
        while at < draws:
            position = found[at] // 2
            times_0 = times_1 = 0
            while at < draws and found[at] // 2 == position:
                times_1 += found[at] % 2
                times_0 += 1 - found[at] % 2
                at += 1
            _score(position, times_0, times_1, bins[a], plane, neighbors, exponent, work)
    return made


@compiled
def _part_of(count, part, parts):
    return count * part // parts, count * (part + 1) // parts


@compiled
def _by_strip(column, strip_of, strips, work):
    """The samples strip by strip, by index within a strip."""
    starts = work.strips
    starts[:] = 0
    for i in range(len(column)):
        starts[strip_of[i] + 1] += 1
    for s in range(strips):
        starts[s + 1] += starts[s]
    cursor = starts.copy()
    for i in range(len(column)):
        at = cursor[strip_of[i]]
        cursor[strip_of[i]] += 1
        work.order[at] = i
        work.sorted_x[at] = column[i]


@compiled
def _enter(s, plane, work):
    """Sorts strip s into its cells, by index within a cell, unless that is done already."""
    if work.built[s]:
        return
    work.built[s] = True
    column, cell_of = plane[4], plane[5]
    strips, order, cells = work.strips, work.order, work.cells[s]
    used = len(plane[2])
    cursor = np.zeros(used, dtype=np.int64)
    for at in range(strips[s], strips[s + 1]):
        cursor[cell_of[order[at]]] += 1
    start = strips[s]
    for j in range(used):
        cells[j] = start
        start += cursor[j]
        cursor[j] = cells[j]
    cells[used] = start
    for at in range(strips[s], strips[s + 1]):
        i = order[at]
        j = cell_of[i]
        to = cursor[j]
        cursor[j] = to + 1
        work.x[to] = work.sorted_x[at]
        work.y[to] = column[i]
        work.ids[to] = i


@compiled
def _nearest(px, py, plane, work):
    """The position of the sample nearest to a place."""
    low_x, high_x, low_y, high_y = plane[0], plane[1], plane[2], plane[3]
    right = bin_of(px, low_x)
    left = right - 1
    middle = bin_of(py, low_y)
    best, best_at = np.inf, -1
    while True:
        gap_left = px - high_x[left] if left >= 0 else np.inf
        gap_right = _gap(px, low_x[right], high_x[right]) if right < len(low_x) else np.inf
        gap = min(gap_left, gap_right)
        if gap > best or gap == np.inf:
            return best_at
        if gap_left < gap_right:
            s = left
            left -= 1
        else:
            s = right
            right += 1
        _enter(s, plane, work)
        cells = work.cells[s]
        for step in (-1, 1):
            j = middle if step < 0 else middle + 1
            while 0 <= j < len(low_y) and gap + _gap(py, low_y[j], high_y[j]) <= best:
                end = cells[j + 1]
                if low_x[s] == high_x[s] and low_y[j] == high_y[j]:
                    end = min(end, cells[j] + 1)  # all in one place: the first has the lowest index
                for at in range(cells[j], end):
                    distance = abs(work.x[at] - px) + abs(work.y[at] - py)
                    if distance < best or (distance == best and work.ids[at] < work.ids[best_at]):
                        best, best_at = distance, at
                j += step


@compiled
def _gap(value, low, high):
    return max(low - value, value - high, 0.0)


@compiled
def _score(position, times_0, times_1, strip_of, plane, neighbors, exponent, work):
    """+1 to the sample found, -1 shared by its neighbours, each as often as the halves found it."""
    totals, ids = work.totals, work.ids
    totals[0, ids[position]] += times_0 * UNIT
    totals[1, ids[position]] += times_1 * UNIT
    s, j = int(strip_of[ids[position]]), int(plane[5][ids[position]])
    twin = _twin(position, s, j, work)
    if twin >= 0:
        totals[0, twin] -= times_0 * UNIT
        totals[1, twin] -= times_1 * UNIT
        return
    chosen = _neighbors(position, s, j, plane, neighbors, work)
    if chosen == 0:
        return
    shares, who = work.distances, work.candidates
    scale = UNIT / _weigh(shares[:chosen], exponent)
    if times_1 == 0 or times_0 == 0:
        mine, times = totals[0 if times_1 == 0 else 1], max(times_0, times_1)
        for at in range(chosen):
            mine[who[at]] -= times * np.int64(shares[at] * scale + 0.5)
    else:
        for at in range(chosen):
            share = np.int64(shares[at] * scale + 0.5)
            totals[0, who[at]] -= times_0 * share
            totals[1, who[at]] -= times_1 * share


@compiled
def _twin(position, s, j, work):
    """The lowest index of another sample at the same place, -1 without one."""
    cells, x, y = work.cells[s], work.x, work.y
    for at in range(cells[j], cells[j + 1]):
        if x[at] == x[position] and y[at] == y[position] and at != position:
            return work.ids[at]
    return -1


@compiled
def _weigh(distances, exponent):
    """Turns distances into 1 / d^exponent, that of the nearest being 1, in place. Returns their sum."""
    nearest = distances.min()
    if exponent == 4:
        for at in range(len(distances)):
            ratio = nearest / distances[at]
            distances[at] = (ratio * ratio) * (ratio * ratio)
    else:
        for at in range(len(distances)):
            distances[at] = (nearest / distances[at]) ** exponent
    # Four sums in a fixed order, because one would wait for each addition.
    sums = (0.0, 0.0, 0.0, 0.0)
    whole = len(distances) // 4 * 4
    for at in range(0, whole, 4):
        sums = (
            sums[0] + distances[at],
            sums[1] + distances[at + 1],
            sums[2] + distances[at + 2],
            sums[3] + distances[at + 3],
        )
    total = (sums[0] + sums[1]) + (sums[2] + sums[3])
    for at in range(whole, len(distances)):
        total += distances[at]
    return total


@compiled
def _neighbors(position, s, j, plane, wanted, work):
    """The ``wanted`` samples nearest to the one at ``position``, that has no twin, into the front of ``work.distances``
    and ``work.candidates``. Returns their number: N - 1 when there are not as many."""
    low_x, high_x = plane[0], plane[1]
    x, y = np.float64(work.x[position]), np.float64(work.y[position])
    left, right, down, up = _block(x, y, s, j, int(_SPARE * wanted) + 1, plane, work)
    count = 0
    for strip in range(left, right + 1):
        count = _gather(strip, down, up, x, y, wanted, np.inf, 1.0, count, plane, work)
    count = _without_itself(count, work)
    if count == 0:
        return 0
    # A histogram of the distances in the block tells how far the wanted ones can be at most.
    farthest = work.distances[:count].max()
    scale = (_SLOTS - 1e-6) / farthest  # below, so that the farthest is in the last slot
    slots = work.slots
    slots[:] = 0
    _histogram(work.distances, 0, count, scale, slots)
    slot, _ = _slot_of(slots, wanted)
    limit = np.float64(slot + 1) if count >= wanted else np.inf
    inside = count
    # What is outside the block and may be as near.
    for strip in range(left, right + 1):
        gap = _gap(x, low_x[strip], high_x[strip])
        count = _column(strip, down - 1, up + 1, gap, x, y, wanted, limit, scale, count, plane, work)
    for step in (-1, 1):
        strip = left - 1 if step < 0 else right + 1
        while 0 <= strip < len(low_x):
            gap = _gap(x, low_x[strip], high_x[strip])
            if gap * scale >= limit:
                break
            _enter(strip, plane, work)
            count = _column(strip, j, j + 1, gap, x, y, wanted, limit, scale, count, plane, work)
            strip += step
    if count <= wanted:
        return count
    _histogram(work.distances, inside, count, scale, slots)
    slot, before = _slot_of(slots, wanted)
    return _cut(count, wanted, slot, before, scale, work)


@compiled
def _block(x, y, s, j, wanted, plane, work):
    """A block of cells around cell (s, j), grown where it is nearest to (x, y), with more than ``wanted`` samples."""
    low_x, high_x, low_y, high_y = plane[0], plane[1], plane[2], plane[3]
    cells = work.cells
    left, right, down, up = s, s, j, j
    count = cells[s, j + 1] - cells[s, j]
    while count <= wanted:
        to_left = x - high_x[left - 1] if left > 0 else np.inf
        to_right = low_x[right + 1] - x if right + 1 < len(low_x) else np.inf
        to_down = y - high_y[down - 1] if down > 0 else np.inf
        to_up = low_y[up + 1] - y if up + 1 < len(low_y) else np.inf
        nearest = min(to_left, to_right, to_down, to_up)
        if nearest == np.inf:
            break
        if nearest == to_left or nearest == to_right:
            if nearest == to_left:
                left -= 1
                strip = left
            else:
                right += 1
                strip = right
            _enter(strip, plane, work)
            count += cells[strip, up + 1] - cells[strip, down]
        else:
            if nearest == to_down:
                down -= 1
                row = down
            else:
                up += 1
                row = up
            for strip in range(left, right + 1):
                count += cells[strip, row + 1] - cells[strip, row]
    return left, right, down, up


@compiled
def _column(strip, down, up, gap, x, y, wanted, limit, scale, count, plane, work):
    """Gathers from one strip the cells from ``down`` downwards and from ``up`` upwards that reach below the limit."""
    low_y, high_y = plane[2], plane[3]
    to = down
    while to >= 0 and (gap + _gap(y, low_y[to], high_y[to])) * scale < limit:
        to -= 1
    count = _gather(strip, to + 1, down, x, y, wanted, limit, scale, count, plane, work)
    to = up
    while to < len(low_y) and (gap + _gap(y, low_y[to], high_y[to])) * scale < limit:
        to += 1
    return _gather(strip, up, to - 1, x, y, wanted, limit, scale, count, plane, work)


@compiled
def _gather(strip, down, up, x, y, wanted, limit, scale, count, plane, work):
    """Appends the samples of cells down..up of a strip whose scaled distance is below the limit; returns the new
    count."""
    if down > up:
        return count
    cells = work.cells[strip]
    if plane[0][strip] != plane[1][strip]:
        return _append(cells[down], cells[up + 1], x, y, limit, scale, count, work)
    for j in range(down, up + 1):
        end = cells[j + 1]
        if plane[2][j] == plane[3][j]:
            end = min(end, cells[j] + wanted)  # all equally far: the first ones have the lowest indices
        count = _append(cells[j], end, x, y, limit, scale, count, work)
    return count


@compiled
def _append(start, end, x, y, limit, scale, count, work):
    xs, ys, ids, distances, candidates = work.x, work.y, work.ids, work.distances, work.candidates
    if limit == np.inf:
        # Without a condition the loop runs on whole vectors; the sample itself is taken out afterwards.
        ahead = count - start
        for at in range(start, end):
            distances[ahead + at] = abs(xs[at] - x) + abs(ys[at] - y)
        for at in range(start, end):
            candidates[ahead + at] = ids[at]
        return ahead + end
    for at in range(start, end):
        distance = abs(xs[at] - x) + abs(ys[at] - y)
        distances[count] = distance
        candidates[count] = ids[at]
        count += distance * scale < limit
    return count


@compiled
def _without_itself(count, work):
    """Takes out the one candidate at distance 0; a sample with a twin does not come here."""
    distances, candidates = work.distances, work.candidates
    at = 0
    while distances[at] != 0:
        at += 1
    distances[at] = distances[count - 1]
    candidates[at] = candidates[count - 1]
    return count - 1


@compiled
def _histogram(distances, start, end, scale, slots):
    for at in range(start, end):
        slots[min(np.int64(distances[at] * scale), _SLOTS - 1)] += 1


@compiled
def _slot_of(slots, wanted):
    """The slot in which number ``wanted`` lies, and how many are in the slots before."""
    before = 0
    for slot in range(_SLOTS - 1):
        if before + slots[slot] >= wanted:
            return slot, before
        before += slots[slot]
    return _SLOTS - 1, before


@compiled
def _cut(count, wanted, slot, before, scale, work):
    """Keeps the ``wanted`` nearest of ``count`` candidates: those in earlier slots, and the nearest of ``slot``."""
    distances, candidates = work.distances, work.candidates
    edge_distances, edge_candidates = work.edge_distances, work.edge_candidates
    kept = edge = 0
    for at in range(count):
        distance, candidate = distances[at], candidates[at]
        mine = min(np.int64(distance * scale), _SLOTS - 1)
        distances[kept] = distance
        candidates[kept] = candidate
        kept += mine < slot
        if mine == slot:
            edge_distances[edge] = distance
            edge_candidates[edge] = candidate
            edge += 1
    _smallest(edge_distances, edge_candidates, edge, wanted - before)
    for at in range(wanted - before):
        distances[kept + at] = edge_distances[at]
        candidates[kept + at] = edge_candidates[at]
    return wanted


@compiled
def _smallest(distances, candidates, count, wanted):
    """Moves the ``wanted`` smallest (distance, candidate) to the front: Hoare's selection."""
    first, last = 0, count - 1
    while first < last:
        middle = (first + last) // 2
        pivot, who = distances[middle], candidates[middle]
        i, j = first, last
        while i <= j:
            while distances[i] < pivot or (distances[i] == pivot and candidates[i] < who):
                i += 1
            while distances[j] > pivot or (distances[j] == pivot and candidates[j] > who):
                j -= 1
            if i <= j:
                distances[i], distances[j] = distances[j], distances[i]
                candidates[i], candidates[j] = candidates[j], candidates[i]
                i += 1
                j -= 1
        if wanted - 1 <= j:
            last = j
        elif wanted - 1 >= i:
            first = i
        else:
            return
