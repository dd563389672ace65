# ruff: noqa
# fmt: off
"""Decoder of batches, written only from wire/FORMAT.md and with the standard library only; with few checks."""
import itertools, json, lzma, math, pathlib, re, struct, zlib
PAGE = (pathlib.Path(__file__).parents[2] / "wire" / "FORMAT.md").read_text().replace("\n", " ")
WORDS, UNITS = (text.split() for text in re.findall(r"in this order: `([^`]*)`", PAGE))
DICTIONARY = b"".join(b"\0" + bytes([len(w)]) + w.encode() for w in WORDS) + b"".join(bytes([len(u)]) + u.encode() + bytes([32 + int(p), 1, 0]) for u, p in zip(UNITS[::2], UNITS[1::2], strict=True))
LZMA = [{"id": lzma.FILTER_LZMA1, "lc": 1, "lp": 0, "pb": 0, "dict_size": 65536}]
TIME, WIDTH, COUNT, VALUE, LOW, HIGH, STD, SCORE, QUALITY, SCORED, PATCHES, ORDER, REST = range(1, 14)
GAINS, SHAPES, NAN = (10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 48), (1, 2, 3, 4, 6, 8, 12, 16), math.nan
KINDS = {1: "readings", 2: "aggregates", 3: "anomalies", 4: "notice", 5: "profile"}
class Bytes:
    def __init__(self, data): self.data, self.at = data, 0
    def u8(self): return self.take(1)[0]
    def int(self): return (v := self.num()) >> 1 ^ -(v & 1)
    def ints(self, n): return [self.int() for _ in range(n)]
    def doubles(self, n): return struct.unpack(f"<{n}d", self.take(8 * n))
    def take(self, n):
        self.at += n
        return self.data[self.at - n : self.at]
    def num(self): return v if (v := self.u8()) < 128 else v & 127 | self.num() << 7
    def diffs(self, n): return [wrap(v) for v in itertools.accumulate(self.ints(n))]
    def places(self, n): return [v - 1 for v in itertools.accumulate(self.num() + 1 for _ in range(n))]
    def runs(self, mine=True): return [mine == (i % 2 == 0) for i, n in enumerate([self.num() for _ in range(self.num())]) for _ in range(n)]
def wrap(v): return (v + 2**63) % 2**64 - 2**63
def inflate(coder, size, data):
    if coder == 1: data = zlib.decompressobj(-15, zdict=DICTIONARY).decompress(data)
    return lzma.decompress(data, lzma.FORMAT_RAW, filters=LZMA) if coder == 2 else data[:size]
def words(b):
    out = [b""]
    for _ in range(b.num()): out.append(WORDS[b.u8()].encode() if (same := b.u8()) == 255 else out[-1][:same] + b.take(b.u8()))
    return [word.decode() for word in out[1:]]
def size_of(b): return (tag := b.u8()) and ((b.doubles(1)[0], None) if tag == 1 else (b.num(), tag - 32))
def directory(b):
    n, stems, leaves, kinds = b.num(), words(b), words(b), []
    for _ in range(b.num()):
        unit = UNITS[2 * k - 256] if (k := b.u8()) > 127 else b.take(k).decode()
        resolution, form = ((1, int(UNITS[2 * k - 255])), 0) if k > 127 else (size_of(b), b.u8())
        step, finer = (size_of(b), b.u8()) if form in (1, 2) else (resolution, 0)
        kinds.append(dict(unit=unit, form=form, step=step, finer=finer, parts=1 if form == 3 else 10 ** (1 + finer)))
    return [{"name": stems[s] + leaves[w], "kind": k, **kinds[k]} for s, w, k in zip(b.diffs(n), b.diffs(n), b.diffs(n))]
def number(series, cell, mean=False):
    if series["form"] == 3: return struct.unpack("<d", struct.pack("<q", cell if cell >= 0 else cell ^ 2**63 - 1))[0]
    (m, e), parts = series["step"], series["parts"] if mean else 1
    value = cell * m / parts if e is None else float(cell) * float(m * 10 ** max(e, 0)) / float(10 ** max(-e, 0) * parts)
    return value if series["form"] != 2 or mean else struct.unpack("<f", struct.pack("<f", value))[0] if abs(value) < 2.0**128 - 2.0**103 else value * math.inf
def log(v):
    y, t = (256 + ((v >> b - 9 if (b := v.bit_length()) > 9 else v << 9 - b) & 255)) << 22, 0
    for _ in range(12):
        t, y = 2 * t + (y * y >> 61), y * y >> 30 >> (y * y >> 61)
    return (b - 1 << 12) + t
def std_offset(series, down, up):
    if series["form"] == 3: return 0
    m, e = series["step"]
    unit = (math.frexp(m)[1] - 1 << 12) if e is None else log(m) + e * 13607
    return (log(down) + log(up) >> 1) + unit - (1 + series["finer"]) * 13607
def follow(level, slow, window, cell, before, seen, offset=0):
    value, slowly = 256 * cell - offset, (3, 4, 6, 8, 12, 16, 24, 32)[(window - 96) // 8] if window > 95 else max(window, 1)
    slow += (value - slow) // min(seen, slowly)
    if window > 95 and window % 8: return value + ((slow - value) * (window % 8) >> 3), slow
    return value + (cell - before) * 32 * (window - 64) if 64 < window < 96 else slow if window else level, slow
class Columns:
    def __init__(self, b, series, symbols, known, late):
        self.series, self.known, self.late, self.tables, self.order, self.ended, self.aways = series, known, late, {}, None, {}, {}
        self.payloads = {b.u8() & 127: (b.u8(), Bytes(b.take(b.num()))) for _ in range(b.num())}
        if symbols: self.state, *self.words = struct.unpack(f"<I{len(symbols) // 2 - 2}H", symbols)
    def bytes(self, column): return self.payloads[column][1] if column in self.payloads else None
    def cells(self, column, groups, offsets=None, halves=1):
        n, offsets, (mode, b) = len(self.series) * halves, offsets or [0] * len(groups), self.payloads.get(column, (9, None))
        if not b: return [0] * len(groups)
        rows, window = [[i for i, g in enumerate(groups) if g == group] for group in range(n)], b.u8()
        windows = list(b.take(n)) if window == 255 else [window] * n
        if mode == 3: return self.model(column, rows, windows, offsets, SHAPES[b.u8()], GAINS[b.u8()], b.u8() - 16, (20, 48, 112)[b.u8()], b.u8() - 8 if column == HIGH else 0, halves)
        if ORDER in self.payloads and not self.order: self.order = [self.bytes(ORDER).num() for _ in range(n)]
        flat = [i for g in (self.order if self.order and mode in (1, 2) and VALUE <= column <= SCORE else range(n)) for i in rows[g]]
        off = [0] * len(groups) if mode in (0, 5) else {i: b.int() if mode == 1 else wrap(b.num()) for i in flat}
        for at in b.places(b.num()) if mode == 0 else []: off[flat[at]] = b.int()
        count, usual, size, at = (b.num(), b.int(), b.u8(), -1) if mode == 5 else (0, 0, 0, 0)
        for _ in range(count):
            while self.symbol((0, 2**13, 2**14)): at += 2**size
            at += self.raw(size) + 1
            off[flat[at]] = (v := self.raw(self.raw(7))) >> 1 ^ -(v & 1) if self.symbol((0, 15360, 2**14)) else usual
        for group, level, slow, cell in ((group, 0, 0, 0) for group in range(n)):
            for seen, i in enumerate(rows[group], 1):
                before, cell = cell, wrap(off[i] + (level + 128 >> 8))
                off[i], (level, slow) = cell, follow(level, slow, windows[group], cell, before if seen > 1 else cell, seen)
        return [wrap(off[i] + (offsets[i] + 128 >> 8) * (column == STD and mode in (1, 2))) for i in range(len(groups))]
    def symbol(self, firsts):
        i = max(i for i, first in enumerate(firsts[:-1]) if first <= (slot := self.state % 2**14))
        self.state = (firsts[i + 1] - firsts[i]) * (self.state >> 14) + slot - firsts[i]
        if self.state < 2**16: self.state = self.state << 16 | self.words.pop(0)
        return i
    def raw(self, bits): return self.symbol(range(0, 2**14 + 1, 2 ** max(0, 14 - bits))) | self.raw(max(0, bits - 14)) << 14 if bits else 0
    def table(self, m, s, phase, skew):
        s = max(s, 1) if s < 8 else (s >> (h := s.bit_length() - 3) << h) + 2 ** (h - 1)
        reach, weights = 2 + s // 2, []
        if (m, s, phase, skew) not in self.tables:
            for a in (16 * d - 2 * phase + (s * skew * 25 >> 8) for d in range(-reach, reach + 1)):
                big = (2 * m - 1) * (s * (16 + skew if a > 0 else 16 - skew)) ** 2
                w, r = 2**24, (big << 24) // (big + (16 * a) ** 2)
                weights.append([w := w * r >> 24 for _ in range(m)][-1])
            weights.append((weights[0] + weights[-1]) * reach // (2 * m - 1) + 1)
            slots = [1 + w * (2**14 - 2 * reach - 2) // sum(weights) for w in weights]
            slots[slots.index(max(slots))] += 2**14 - sum(slots)
            self.tables[m, s, phase, skew] = reach, [sum(slots[:i]) for i in range(len(slots) + 1)]
        return self.tables[m, s, phase, skew]
    def one(self, p, spread, m, gain, skew):
        low = max(0, (s := spread * gain >> 8).bit_length() - 7)
        reach, firsts = self.table(m, s >> low, 0 if low else (p + 16 >> 5) % 8, skew)
        if (distance := self.symbol(firsts) - reach) > reach:
            z = 2 ** ((n := self.raw(7)) - 1) + self.raw(n - 1) - 1
            distance = (reach + 1 + (z >> 1)) * (-1 if z & 1 else 1)
        return ((p + 128 >> 8) - 2 ** (low - 1) if low else p + 16 >> 8) + distance * 2**low + self.raw(low)
    def model(self, column, rows, windows, offsets, m, gain, skew, memory, share, halves):
        cells, learnt, noise, chained = [0] * len(offsets), {}, 1024, column in (STD, SCORE)
        aways, ended = self.aways[column], self.ended[column] = [0] * len(offsets), {}
        if share: offsets = [o + (a * share >> 3) for o, a in zip(offsets, self.aways[LOW], strict=True)]
        for group in (g for g in range(len(rows)) if rows[g]):
            name = (0 if chained else self.series[group // halves]["kind"], group % halves)
            level, spread, after, some, seen = kind = learnt.setdefault(name, [0, 2 ** (20 if column == VALUE else 11), noise, 0, 0])
            if column == HIGH and (begun := self.ended.get(LOW, {}).get(group, (0, 0, 0)))[2] > 3:
                level, spread, seen, after = *begun, begun[1]
            if column in self.known: (level, after), seen, spread = self.known[column][group // halves], 8, None
            for seen, i in enumerate(rows[group], min(seen, 12) + 1):
                if spread is None: spread = after << self.late * (column == VALUE)
                cell = cells[i] = self.one(level + offsets[i], spread, m, gain, skew)
                away = aways[i] = 256 * cell - level - offsets[i]
                if i == rows[group][0]: first, miss, spread, before, slow = level + away, away, after, cell, level
                level, slow = follow(level, slow, windows[group], cell, before, seen, offsets[i]) if seen > 1 else (first, first)
                if seen > 1: spread += (min(abs(away), 6 * spread + 128) - spread) // min(seen + 1, memory)
                before, ended[group] = cell, (level, spread, seen)
            learns = kind[0] + miss // min(some + 1, 8), kind[1] + (abs(miss) - kind[1]) // max(min(some, 8), 1)
            kind[:2] = learns if some else (first, (abs(first) >> 3) + 128)
            kind[2:4] = (noise := spread) if seen > 1 else kind[2], some + 1
            if chained: kind[:] = level, spread, spread, 1, seen
        return cells
def rows_of(kind, b, symbols, find):
    known, late = {}, 0
    if find:
        places = [v - 1 for v in itertools.accumulate(gap + 1 for gap in b.ints(b.num()))]
        series, late = [find[0][at] for at in places], b.u8()
        known = {column: [have[at] for at in places] for column, have in find[1].items()}
    else: series = directory(b)
    counts, firsts, tick = b.diffs(len(series)), [b.int()], b.num()
    for count in counts: firsts.append(wrap(firsts[-1] + b.int() * tick) if count else firsts[-1])
    steps, usual = b.diffs(len(series)), b.ints(2) if kind == "aggregates" else None
    columns, at = Columns(b, series, symbols, known, late), [(s, i) for s, n in enumerate(counts) for i in range(n)]
    s_of, everywhere = [s for s, _ in at], [True] * len(at)
    def take(column, where=everywhere, offsets=None, halves=1, groups=s_of):
        chosen = [i for i, there in enumerate(where) if there]
        found = columns.cells(column, [groups[i] for i in chosen], offsets and [offsets[i] for i in chosen], halves)
        return dict(zip(chosen, found, strict=True))
    late_by = take(TIME, [i > 0 for _, i in at])
    rows = [{"series": series[s]["name"], "time_ms": wrap(firsts[s + 1] + (i * steps[s] + late_by.get(n, 0)) * tick)}
            for n, (s, i) in enumerate(at)]
    width, count = (take(WIDTH), take(COUNT)) if usual else ({}, {})
    resting = rest.runs(mine=False) if (rest := columns.bytes(REST)) else [False] * len(at)
    cell = {s: rest.int() for s in sorted({s for s, r in zip(s_of, resting, strict=True) if r})}
    moving = [(not usual or wrap(usual[1] + count[n]) != 0) and not resting[n] for n in range(len(at))]
    value = take(VALUE, moving) | {n: cell[s] for n, s in enumerate(s_of) if resting[n]}
    for n, grade in ({} if usual else take(QUALITY)).items(): rows[n].update(value=number(series[s_of[n]], value[n]), quality=grade)
    if usual:
        q, parts = [value.get(n, 0) for n in range(len(at))], [series[s]["parts"] for s in s_of]
        rounding = [(-(v % p * 256 // p), -(wrap(-v) % p * 256 // p)) for v, p in zip(q, parts, strict=True)]
        low, high = take(LOW, moving, [r[0] for r in rounding]), take(HIGH, moving, [r[1] for r in rounding])
        least = {n: wrap(q[n] // parts[n] - low.get(n, 0)) for n in value}
        most = {n: wrap(high.get(n, 0) - (wrap(-q[n]) // parts[n])) if moving[n] else least[n] for n in value}
        spans = {n: (wrap(q[n] - least[n] * parts[n]), wrap(most[n] * parts[n] - q[n])) for n in value}
        wide = [n in spans and moving[n] and min(spans[n]) > 0 for n in range(len(at))]
        std = take(STD, wide, [std_offset(series[s_of[n]], *spans[n]) if wide[n] else 0 for n in range(len(at))])
        mask = columns.bytes(SCORED).runs() if SCORED in columns.payloads else [SCORE in columns.payloads] * len(at)
        score = take(SCORE, mask, None, 2, [2 * s + r for s, r in zip(s_of, resting)]) if rest else take(SCORE, mask)
        for n, row in enumerate(rows):
            one, score_ = series[s_of[n]], power(score[n] / 32) - 1 if n in score else NAN
            row.update(width_ms=wrap(usual[0] + width[n]), count=wrap(usual[1] + count[n]), score=score_)
            values = (number(one, q[n], True), number(one, least[n]), number(one, most[n])) if n in value else (NAN,) * 3
            row.update(zip(("mean", "min", "max"), values), std=power(std[n] / 16) if n in std else 0.0 if n in value else NAN)
    for name, more in ((name, more) for at, name in enumerate(("revision", "uncertain", "bad"), 14) if usual and (more := columns.bytes(at))): [row.update({name: more.num()}) for row in rows]
    patches = columns.bytes(PATCHES)
    for column in (("mean", "min", "max", "std", "score") if usual else ("value",)) if patches else ():
        places = patches.places(patches.num())
        for n, double in zip(places, patches.doubles(len(places)), strict=True): rows[n][column] = double
    return [rows[n] for n in sorted(range(len(at)), key=lambda n: (rows[n]["time_ms"], s_of[n]))]
def decode(data: bytes, profiles: dict = {}) -> dict:
    assert data[:3] == b"SL\1" and zlib.crc32(data[:-4]) == struct.unpack("<I", data[-4:])[0], "no batch"
    b = Bytes(data[3:-4])
    name = {"epoch": struct.unpack("<Q", b.take(8))[0], "sequence": b.num(), "gateway": b.take(b.u8()).decode()}
    kind, coder, version = KINDS[(flags := b.u8()) >> 2 & 15], flags & 3, b.num() if flags & 64 else None
    size, head = b.num(), coder == 3
    content = inflate(b.u8() if head else coder, size, b.take(b.num() if head else len(b.data) - b.at))
    symbols = b.take(len(b.data) - b.at)
    if kind in ("anomalies", "notice"): return name | {"kind": kind, "rows": json.loads(content)}
    b = Bytes(content)
    if kind != "profile":
        return name | {"kind": kind, "rows": rows_of(kind, b, symbols, None if version is None else profiles[version])}
    name, n = name | {"kind": kind, "version": b.num()}, len(series := directory(b))
    spread_of = lambda q: q if q < 4 else (4 + q % 4) << (q // 4 - 1)
    states = {b.u8(): [(level * 16, spread_of(q)) for level, q in zip(b.ints(n), b.take(n))] for _ in range(b.num())}
    return name | {"rows": (series, states)}
def power(exponent): return 2.0**exponent if exponent < 1024 else math.inf
