"""Invented names of a banner on the Gobi: plausible, belonging to nobody."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_MONGOL = (
    "巴音", "乌兰", "查干", "宝力", "阿日", "图克", "苏布", "哈日", "额尔", "敖伦", "陶高", "扎格", "浩雅", "布勒",
    "塔木", "希尼", "温都", "古日", "特莫", "锡林", "达来", "霍图", "莫仁", "呼和", "芒来", "伊和", "朝克", "赛汗",
)  # fmt: skip
_MONGOL_END = (
    "布拉格",
    "高勒",
    "陶勒",
    "呼都格",
    "淖尔",
    "塔拉",
    "乌苏",
    "敖包",
    "扎德盖",
    "哈达",
    "图雅",
    "善丹",
)
_HAN = ("永", "安", "新", "兴", "和", "长", "丰", "福", "瑞", "宁", "祥", "泰", "昌", "平", "清", "庆", "景", "华")
_HAN_END = ("泉", "井", "滩", "湖", "沟", "庄", "渠", "梁", "台", "营", "坡", "桥", "湾", "圈", "墩", "岔")
_QUARTER = ("路", "园", "苑", "里", "城", "巷", "庭", "坊")
VENUES = (
    "商业广场",
    "农贸市场",
    "养老服务中心",
    "中心学校",
    "物流仓库",
    "宾馆",
    "卫生院",
    "加油加气站",
    "住宅小区",
    "文体中心",
)
"""Kinds of venue that a fire zone covers."""


class NameMaker:
    """Names without repetition, from one seeded source."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._used: set[str] = set()

    def street(self, kind: str) -> str:
        """A 街道, 镇 or 苏木."""
        return self._fresh(lambda: (self._town() if kind == "街道" else self._pasture()) + kind)

    def community(self, kind: str) -> str:
        """A 社区, 嘎查 or 村."""
        return self._fresh(lambda: self._stem(kind) + kind)

    def _stem(self, kind: str) -> str:
        if kind == "社区":
            return self._town() + self._random.choice(_QUARTER)
        return self._pasture() if kind == "嘎查" else self._town() + self._random.choice(_HAN_END)

    def _town(self) -> str:
        first, second = self._random.sample(_HAN, 2)
        return first + second

    def _pasture(self) -> str:
        return self._random.choice(_MONGOL) + self._random.choice(_MONGOL_END)

    def _fresh(self, draw: Callable[[], str]) -> str:
        for _ in range(1_000):
            name = draw()
            if name not in self._used:
                self._used.add(name)
                return name
        raise ValueError("the name maker ran out of names; a county of this size needs more syllables")
