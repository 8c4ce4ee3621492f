"""The words of the product for what models find. By themselves: a configuration needs them, and no numpy."""

from __future__ import annotations

CLASS_NAMES = ("person", "bicycle", "motorcycle", "car", "bus", "truck", "fire", "smoke")
"""The words of the product for what models find; models map their own labels to these."""
