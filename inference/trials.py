"""Trials: the models beside the live one, as configured; one that cannot be opened never stops the live one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts.errors import ModelRefused
from inference.canary import Canary, Models
from inference.detector import Detector
from inference.registry import load_model
from inference.shadow import Shadow
from runtime.log import get_log

if TYPE_CHECKING:
    from inference.config import InferenceConfig
    from runtime.metrics import StageCounters
    from runtime.site import Site

CANARY_FILE: Final = "inference-canary.json"
"""Below the state folder: why the last canary was rolled back."""


def open_trials(
    site: Site, config: InferenceConfig, live: Detector, counters: StageCounters
) -> tuple[Models, Canary | None, Shadow | None]:
    """The live detector with its canary and its shadow, each None where there is none or it cannot be opened."""
    shadow, canary, new = None, None, None
    if config.shadow.model:
        detector = _open(site, config, config.shadow.model, "shadow", counters)
        if detector is not None:
            shadow = Shadow(live, detector, config.shadow.share, counters)
    if config.canary.model:
        new = _open(site, config, config.canary.model, "canary", counters)
        if new is not None:
            canary = Canary(new.model, config.canary.share, site.state_dir / CANARY_FILE)
            if canary.ended is not None:
                counters.refuse(
                    "canary_rolled_back", canary.ended.reason, canary.ended.model, canary.ended.sentence
                )
                get_log().warning("The canary was rolled back before", why=canary.ended.sentence)
            counters.gauge("canary_active", float(canary.ended is None))
    return Models(live, canary, new), canary, shadow


def _open(site: Site, config: InferenceConfig, name: str, role: str, counters: StageCounters) -> Detector | None:
    try:
        model = load_model(site.models_dir / name)
        detector = Detector(model, floor=config.evidence.floor, threads=config.threads, batch_max=config.batch_max)
    except ModelRefused as error:
        counters.refuse("models_refused", error.reason, name, f"{role}: {error}")
        get_log().warning("A model beside the live one was refused", role=role, model=name, error=str(error))
        return None
    get_log().info("A model runs beside the live one", role=role, model=model.tag)
    return detector
