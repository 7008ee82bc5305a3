"""The samples of a soak as one SVG, drawn by hand: no library, no script in it."""

WIDTH = 960
PANEL = 150
LEFT, RIGHT, TOP, GAP = 70, 20, 46, 44
MIB = 1 << 20
PANELS = [
    ("Memory of the node, MiB", [("rss_bytes", "resident", "#2563a8"), ("pss_bytes", "proportional", "#d0762b")], MIB),
    ("Open descriptors", [("descriptors", "control and shards", "#2563a8")], 1),
    ("Sessions and subscriptions", [("sessions", "sessions", "#2563a8"), ("subscriptions", "subscriptions", "#d0762b")], 1),
    ("Deliveries a second", [("deliveries_per_s", "all shards", "#2563a8")], 1),
]


def ceiling(value):
    """A round number at or above it."""
    power = 1.0
    while power * 10 < value:
        power *= 10
    return next(power * factor for factor in (1, 2, 3, 4, 5, 6, 8, 10) if power * factor >= value)


def rates(samples):
    """The samples, with what was delivered between each and the one before."""
    before = samples[0]
    for sample in samples:
        passed = sample["time_s"] - before["time_s"]
        delivered = sample["deliveries"] - before["deliveries"]
        yield {**sample, "deliveries_per_s": delivered / passed if passed > 0 else 0}
        before = sample


def draw(samples, duration_s, path):
    samples = list(rates(samples))
    end_s = max(samples[-1]["time_s"], 1)
    height = TOP + len(PANELS) * (PANEL + GAP)
    unit, unit_s = ("min", 60) if end_s > 300 else ("s", 1)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" fill="#222">A node under mixed load for {duration_s} s, '
        f'{len(samples)} samples</text>',
    ]

    def x(time_s):
        return LEFT + time_s / end_s * (WIDTH - LEFT - RIGHT)

    for number, (title, lines, scale) in enumerate(PANELS):
        top = TOP + number * (PANEL + GAP)
        most = ceiling(max(max(it[name] for it in samples) / scale for name, _, _ in lines) or 1)

        def y(value):
            return top + PANEL - value / most * PANEL

        out.append(f'<text x="{LEFT}" y="{top - 6}" fill="#222">{title}</text>')
        for step in range(5):
            value = most * step / 4
            out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>')
            out.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#555">{value:g}</text>')
        legend = WIDTH - RIGHT
        for name, label, colour in reversed(lines):
            out.append(f'<text x="{legend}" y="{top - 6}" text-anchor="end" fill="{colour}">{label}</text>')
            legend -= 8 * len(label) + 12
            points = " ".join(f"{x(it['time_s']):.1f},{y(it[name] / scale):.1f}" for it in samples)
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
        for step in range(7):
            time_s = end_s * step / 6
            out.append(f'<text x="{x(time_s):.1f}" y="{top + PANEL + 16}" text-anchor="middle" fill="#555">'
                       f'{time_s / unit_s:.0f} {unit}</text>')
    out.append("</svg>")
    with open(path, "w") as file:
        file.write("\n".join(out) + "\n")
