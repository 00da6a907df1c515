"""Small drawings as inline SVG: they carry their own text for screen readers and take their colours from the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:  # the drawing needs no scipy, and must not wait for it
    from hilum.statistics import Reliability


def bar(value: float | None, threshold: float | None, *, label: str) -> Markup:
    """A horizontal bar on the scale 0..1 with a tick at the threshold.

    Args:
        value: 0..1; None draws the empty track.
        threshold: 0..1; None draws no tick.
        label: what the bar says, for those who cannot see it.

    Returns:
        An `<svg>` that fills its container's width; classes `track`, `value`, `above`, `tick`.

    Raises:
        ValueError: a number lies outside 0..1.
    """
    for number in (value, threshold):
        if number is not None and not 0 <= number <= 1:
            raise ValueError(f"a bar shows numbers within 0..1, got {number}")
    above = value is not None and threshold is not None and value >= threshold
    parts = [Markup('<rect class="track" x="0" y="3" width="200" height="6" rx="3"/>')]
    if value is not None:
        name = "value above" if above else "value"
        parts.append(
            Markup('<rect class="{}" x="0" y="3" width="{:.1f}" height="6" rx="3"/>').format(
                name, max(200 * value, 2.0)
            )
        )
    if threshold is not None:
        parts.append(
            Markup('<rect class="tick" x="{:.1f}" y="0" width="2" height="12"/>').format(199 * threshold - 0.5)
        )
    return Markup(
        '<svg class="bar" viewBox="0 0 200 12" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(label, Markup("").join(parts))


_LEFT, _TOP, _SIDE = 46.0, 28.0, 244.0


def _x(value: float) -> float:
    return _LEFT + _SIDE * value


def _y(value: float) -> float:
    return _TOP + _SIDE * (1 - value)


def reliability(result: Reliability, *, title: str, x_label: str = "mean score") -> Markup:
    """A reliability plot: observed share against mean score, the diagonal, intervals as whiskers.

    Args:
        result: from `hilum.statistics.reliability`.
        title: heading of the plot.
        x_label: "mean score" for scores, "mean probability" for calibrated probabilities.

    Returns:
        An `<svg>` of 320 by 320 units with axes 0..1; the area of a point grows with its cases.

    Source: Murphy and Winkler, Applied Statistics 26:41-47 (1977).
    """
    parts = [
        Markup('<rect class="frame" x="{}" y="{}" width="{}" height="{}"/>').format(_LEFT, _TOP, _SIDE, _SIDE),
        Markup('<line class="diagonal" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(_x(0), _y(0), _x(1), _y(1)),
        Markup('<text class="title" x="{}" y="16">{}</text>').format(_LEFT, title),
        Markup('<text class="axis" x="{}" y="312" text-anchor="middle">{}</text>').format(_x(0.5), x_label),
        Markup('<text class="axis" transform="translate(12 {}) rotate(-90)" text-anchor="middle">{}</text>').format(
            _y(0.5), "observed share"
        ),
    ]
    for step in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(
            Markup(
                '<text class="axis" x="{:.1f}" y="290" text-anchor="middle">{:g}</text>'
                '<text class="axis" x="40" y="{:.1f}" text-anchor="end">{:g}</text>'
            ).format(_x(step), step, _y(step) + 4, step)
        )
    most = max((b.observed.n for b in result.bins), default=1)
    for b in result.bins:
        x, seen = _x(b.mean_score), b.observed
        parts.append(
            Markup(
                '<g class="bin"><title>{} cases: mean {:.3f}, observed {:.3f} [{:.3f}, {:.3f}]</title>'
                '<line class="whisker" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'
                '<circle class="point" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/></g>'
            ).format(
                seen.n,
                b.mean_score,
                seen.estimate,
                seen.low,
                seen.high,
                x,
                _y(seen.low),
                x,
                _y(seen.high),
                x,
                _y(seen.estimate),
                2.5 + 4.5 * (seen.n / most) ** 0.5,
            )
        )
    return Markup('<svg class="reliability" viewBox="0 0 320 320" role="img" aria-label="{}">{}</svg>').format(
        f"{title}: reliability plot of {len(result.bins)} bins, {result.n} cases", Markup("").join(parts)
    )
