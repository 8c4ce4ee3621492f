"""The thresholds that ship in model.toml, each chosen by a stated rule on labelled pictures.

Things: the score with the best F1, or 0.30 where there are too few boxes to say. People: the score whose counts
have the smallest error, because people are counted (models.evaluate.counting). Fire and smoke: at least the score
with the best F1, and at least the score at which no more than one in a hundred pictures without it gives an alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from models.evaluate.judge import Looked, class_curve
from models.train.sets import CLASS_INDEX, CLASSES

FALSE_PICTURES = 0.01
LOWEST, HIGHEST = 0.15, 0.85
FEW_BOXES, WITH_FEW = 50, 0.30
_ALARMS = ("fire", "smoke")


def choose(looked: Sequence[Looked], *, person: float) -> dict[str, float]:
    """Threshold per class, rounded up to two digits; `person` comes from the counting rule."""
    chosen = {}
    for name in CLASSES:
        curve = class_curve(looked, name)
        score = curve.best_f1()[0] if curve.boxes >= FEW_BOXES else WITH_FEW
        if name == "person":
            score = person
        elif name in _ALARMS:
            score = max(score, false_picture_score(looked, name))
        chosen[name] = round(float(np.ceil(np.clip(score, LOWEST, HIGHEST) * 100) / 100), 2)
    return chosen


def false_picture_score(looked: Iterable[Looked], name: str, share: float = FALSE_PICTURES) -> float:
    """The lowest score at which at most `share` of the pictures without the class give an alarm."""
    best = []
    for item in looked:
        if name in item.judged and item.judged[name].boxes == 0:
            scores = item.found[item.found[:, 0] == CLASS_INDEX[name]][:, 1]
            best.append(float(scores.max()) if len(scores) else 0.0)
    if not best:
        return 0.0
    allowed = int(len(best) * share)
    return float(np.nextafter(np.float32(sorted(best, reverse=True)[allowed]), np.float32(1.0)))
