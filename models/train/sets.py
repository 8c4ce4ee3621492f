"""The labelled sets: what their classes mean to us, which of ours they label, how their files name a video.

A set that leaves a class unlabelled must not teach that the class is absent: `labelled` says what absence means.
A source class is one of ours, IGNORE (there is something here, its class is unclear: neither positive nor
background), RIDER (person and vehicle in one box: as IGNORE, and counted as one of the people) or DROP (the box
says nothing). Facts are those of the data folder's MANIFEST.md, checked by eye.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from contracts.class_names import CLASS_NAMES

CLASSES = CLASS_NAMES
CLASS_INDEX: Mapping[str, int] = MappingProxyType({name: index for index, name in enumerate(CLASSES)})
TEACHER_CLASSES = CLASSES[:6]
"""The classes that the COCO weights know: they can be labelled by those weights where a set is silent."""

IGNORE = "ignore"
RIDER = "rider"
DROP = "drop"

_FLAMES = ("fire", "smoke")
_NUMBERED_CLIP = r"^(.*?)_mp4"


@dataclass(frozen=True, slots=True)
class SetSpec:
    """One set of pictures.

    `meaning` maps the set's own class names; a name that is missing is dropped. `labelled` names those of our
    classes whose absence in the labels means absence in the picture. `videos` are patterns on the bare file name
    whose first group is the source video. `exact` sets are labelled well enough that an unmatched detection of the
    COCO weights counts as background. `group_boxes` sets draw one box around many people. `counts_people` sets
    label every person, so that the number of boxes is the number of people.
    """

    name: str
    licence: str
    origin: str
    meaning: Mapping[str, str]
    labelled: frozenset[str]
    videos: tuple[str, ...] = ()
    exact: bool = False
    group_boxes: bool = False
    counts_people: bool = False


def _spec(name: str, licence: str, origin: str, meaning: dict[str, str], labelled: str, **more: object) -> SetSpec:
    return SetSpec(name, licence, origin, MappingProxyType(meaning), frozenset(labelled.split()), **more)  # type: ignore[arg-type]


_CARS = dict.fromkeys(
    (
        "Carro Amarelo", "Carro Azul Escuro", "Carro Branco", "Carro Cinza", "Carro Marrom", "Carro Prata",
        "Carro Preto", "Carro Verde", "Carro Vermelho", "Taxi", "Van Branca", "Van Prata", "Van Preta", "Viaturas",
    ),
    "car",
)  # fmt: skip

SETS: tuple[SetSpec, ...] = (
    _spec(
        "fire_cctv_v8", "CC BY 4.0", "Roboflow custom-thxhn/fire-wrpgm v8",
        {"Fire": "fire", "smoke": "smoke", "default": DROP}, "fire smoke",
        videos=(_NUMBERED_CLIP,),
    ),
    _spec(
        "fire_smoke_v12", "CC BY 4.0", "Roboflow fireandsmoke-gjn7t/fire_smoke_detection-qudqu v12",
        {"fire": "fire", "smoke": "smoke"}, "fire smoke",
        videos=(r"^([A-Za-z][A-Za-z0-9-]*?[A-Za-z])\d+_png", r"^(2ndAlarmFire\d+N)\d*_png"),
    ),
    _spec(
        "forest_fire_v1", "CC BY 4.0", "Roboflow 007s-hangar/forest-fire-tyoo7-ofbho v1",
        {"Heavy smoke": "smoke", "Low smoke": "smoke", "Large fire": "fire", "Medium fire": "fire",
         "Small fire": "fire"}, "fire smoke",
        videos=(r"^\d+(_)\d+(?:_\d+)*__?png", r"^(mivia_fire)"),
    ),
    _spec(
        "fire_indoor_v10", "CC BY 4.0", "Roboflow aj-garcia-736tc/fire-dataset-for-yolov8 v10",
        {"fire": "fire"}, "fire",
        videos=(r"^(part\d+)[ab]?(?:_Trim|-trimmed)?_mp4", _NUMBERED_CLIP),
    ),
    _spec(
        "fire_detection_rzosn_v1", "CC BY 4.0", "Roboflow ai-world-pbwt3/fire-detection-rzosn v1",
        {"fire": "fire"}, "fire",
        videos=(r"^(.*?\d*)_frames_\d+", r"^(FrontRoomFire|FlashoverDemonstration|barbecue|Frames|frames)_?\d+"),
    ),
    _spec(
        "highway_object_v40", "CC BY 4.0", "Roboflow universitas-tidar/highway-object-detection v40",
        {"bus": "bus", "car": "car", "motorbike": "motorcycle", "person": "person", "truck": "truck"},
        "person motorcycle car bus truck fire smoke", counts_people=True,
    ),
    _spec(
        "atl_traffic_v12", "CC BY 4.0", "Roboflow finalproject-bqip3/atl-version-2 v12",
        {"bike": IGNORE, "bus": "bus", "car": "car", "truck": "truck"}, "car bus truck fire smoke",
    ),
    _spec(
        "vehicle_detection_utebm", "MIT", "Roboflow herdian-adi-winarno-ou2sz/vehicle-detection-utebm v1",
        {"bus": "bus", "car": "car", "motorcycle": "motorcycle", "truck": "truck"},
        "motorcycle car bus truck fire smoke",
    ),
    _spec(
        "vehicle_cctv_ahmetozlu", "MIT", "ahmetozlu/vehicle_counting_tensorflow",
        {"car": "car", "motorcycle": "motorcycle", "truck": "truck", "bus": "bus"},
        "motorcycle car bus truck fire smoke",
    ),
    _spec(
        "smart_traffic_v2", "CC BY 4.0", "Roboflow smart-traffic-lgbzr/smart-traffic-nuevh v2",
        {**_CARS, "Caminhao": "truck", "Ambulancia": "truck", "Onibus": "bus"}, "car bus truck fire smoke",
        videos=(r"^suggested-(.*?)_jpg",),
    ),
    _spec(
        "trapedesveh", "CC0-1.0", "Judith989/TraPedesVeh-A-mini-Dataset-for-Intelligent-Transportation-Systems",
        {"pedestrian": "person", "cyclist": RIDER, "scooter": IGNORE, "bicycle": "bicycle",
         "motorcycle": "motorcycle", "truck": "truck", "vehicle": IGNORE},
        "person bicycle motorcycle fire smoke", counts_people=True,
    ),
    _spec(
        "person_capston2_v11", "CC BY 4.0", "Roboflow siwookim/capston2 v11",
        {"person": "person"}, "person fire smoke",
        videos=(_NUMBERED_CLIP, r"^(opencv_frame)_\d", r"^(standing_\d+_\d+_\d+)-", r"^(frame)_\d"),
        counts_people=True,
    ),
    _spec(
        "person_openimages", "CC BY 4.0", "Roboflow \"Person\" v1 (Open Images)",
        {"person": "person"}, "person fire smoke", group_boxes=True,
    ),
    _spec(
        "coco128", "BSD-3-Clause (annotations CC BY 4.0)", "COCO128, first 128 pictures of COCO train2017",
        {"person": "person", "bicycle": "bicycle", "motorbike": "motorcycle", "car": "car", "bus": "bus",
         "truck": "truck"}, " ".join(CLASSES), exact=True, counts_people=True,
    ),
)  # fmt: skip

SCENES = _spec(
    "scenes", "Apache-2.0", "rendered by the simulated county",
    {name: name for name in (*CLASSES, IGNORE)}, " ".join(CLASSES),
    videos=(r"^(.*)-\d+$",), exact=True,
)  # fmt: skip
"""Rendered pictures, written in the same form as the others by models.train.scenes."""
