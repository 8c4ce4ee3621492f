"""Rendered scenes of the simulated county, with known truth in perspective.

`make_scene(kind, seed, night=...)` gives a scene; `scene.render(t_s)` gives a BGR picture and the truth of
that moment. Everything is a function of kind, seed, light and time: no clock, no state that changes what is
drawn (caches only). `scene.view` is what a camera's calibration would say: homography and zones.
"""

from __future__ import annotations

from sim.scenes.make import make_scene
from sim.scenes.truth import GroundView, Scene, SceneClass, SceneKind, SceneTruth, TrueBox, ZoneShape

__all__ = [
    "GroundView",
    "Scene",
    "SceneClass",
    "SceneKind",
    "SceneTruth",
    "TrueBox",
    "ZoneShape",
    "make_scene",
]
