# SPDX-License-Identifier: MIT
"""A bar chart of ratios as one SVG file that needs nothing else, and reads on light ground and on dark.

Bars grow from 1, the reference's median: to the left what is faster, to the right what is slower, on a
logarithmic scale, so that twice and half are equally long. A whisker goes from the fastest round to the
slowest.
"""
import html
import math

LEFT, PLOT, RIGHT = 190, 560, 70
WIDTH = LEFT + PLOT + RIGHT
BAR, GAP, HEAD = 9, 10, 26
# Of one lightness, so that each stands out on white and on black.
COLOURS = ("#7f7f7f", "#b07aa1", "#2f7ed8", "#17a2a2", "#2ca02c", "#6f8fd6", "#5fb8b8", "#7fbf7f",
           "#e07b39", "#c44e52", "#b5952b", "#d670ad", "#a0714f")
STYLE = """
text { font: 11px sans-serif; fill: #222; } .small { font-size: 8px; } .title { font-size: 14px; font-weight: bold; }
.grid { stroke: #8884; } .one { stroke: #888; } .whisker { stroke: #222; }
.ground { fill: #fff; }
@media (prefers-color-scheme: dark) { text { fill: #ddd; } .whisker { stroke: #ddd; } .ground { fill: #16181c; } }
"""


class Scale:
    """Ratios to x."""

    def __init__(self, ratios):
        self.low = math.floor(math.log2(min([*ratios, 0.5])))
        self.high = math.ceil(math.log2(max([*ratios, 2])))

    def x(self, ratio):
        return LEFT + PLOT * (math.log2(ratio) - self.low) / (self.high - self.low)

    def ticks(self):
        return [2.0 ** power for power in range(self.low, self.high + 1)]


def _text(x, y, words, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(words)}</text>'


def _line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _bar(results, name, contender, colour, scale, y):
    """One contender of one measure: bar, whisker and number; or the sign that it cannot."""
    reference, middle = results.family.reference, y + BAR / 2
    ratio = results.ratio(name, contender, reference)
    if not ratio:
        return [_text(scale.x(1) + 3, y + BAR - 1, "-", 'class="small"')]
    low, high = results.ends(name, contender, reference)
    left, right = sorted((scale.x(1), scale.x(ratio)))
    title = f"{name}, {contender}: {ratio:.2f} ({low:.2f} to {high:.2f})"
    return [f'<rect x="{left:.1f}" y="{y:.1f}" width="{max(right - left, 1):.1f}" height="{BAR - 1}" '
            f'fill="{colour}"><title>{html.escape(title)}</title></rect>',
            _line(scale.x(low), middle, scale.x(high), middle, "whisker"),
            _text(max(right, scale.x(high)) + 3, y + BAR - 1.5, f"{ratio:.2f}", 'class="small"')]


def _legend(names, y):
    parts, x = [], LEFT
    for name, colour in names.items():
        if x + 14 + 7 * len(name) > WIDTH:
            x, y = LEFT, y + 15
        parts += [f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>', _text(x + 14, y, name)]
        x += 26 + 7 * len(name)
    return parts, y


def _grid(scale, top, bottom):
    parts = []
    for tick in scale.ticks():
        parts += [_line(scale.x(tick), top, scale.x(tick), bottom, "one" if tick == 1 else "grid"),
                  _text(scale.x(tick), top - 4, f"{tick:g}", 'text-anchor="middle"')]
    return parts


def _family(results, contenders, y):
    """The parts of one family's chart from y downward, and where it ends."""
    reference = results.family.reference
    measures = [name for name in results.values if results.median(name, reference)]
    if not measures:
        return [], y
    # By the place in the family, so that each has its colour in every chart.
    colours = {c.name: COLOURS[results.family.contenders.index(c) % len(COLOURS)] for c in contenders}
    scale = Scale([end for name in measures for c in contenders
                   for end in results.ends(name, c.name, reference) or ()])
    parts, top = _legend(colours, y + 22)
    parts.append(_text(8, y + 22, f"times of {reference}", 'class="title"'))
    top += HEAD
    bottom = y = top
    for name in measures:
        parts.append(_text(LEFT - 8, y + BAR * len(contenders) / 2 + 4, name, 'text-anchor="end"'))
        for contender in contenders:
            parts += _bar(results, name, contender.name, colours[contender.name], scale, y)
            y += BAR
        bottom, y = y, y + GAP
    return [*_grid(scale, top, bottom), *parts], y


def write(path, caption, families):
    """`families`: pairs of results and their contenders, in the order of their bars."""
    parts, y = [_text(8, 18, caption)], 24
    for results, contenders in families:
        more, y = _family(results, contenders, y)
        parts += more
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
                    f'viewBox="0 0 {WIDTH} {y}">\n<style>{STYLE}</style>\n'
                    f'<rect class="ground" width="100%" height="100%"/>\n' + "\n".join(parts) + "\n</svg>\n")
