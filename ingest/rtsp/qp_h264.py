"""The quantizer of an H.264 picture from the first bytes of its first slice (ITU-T H.264, 7.3.3, 7.4.3).

SliceQPY = 26 + pic_init_qp_minus26 + slice_qp_delta stands some thirty bits into a slice header, behind fields
whose presence and length the parameter sets decide. Nothing behind it is read. Only P slices: B slices have a
quantizer of their own, I slices are key pictures.

From picture to picture only frame_num and the order count change in front of it. So one header that was read field
by field is a template for those that follow: a mask, a comparison, one number.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from contracts.errors import MalformedMessage
from ingest.rtsp.h264 import BitReader, SequenceSyntax, parse_sequence_syntax

HEAD_BYTES: Final = 32
"""So much of a slice, NAL header included, holds its quantizer, but for rare lists of weights and references."""
_P_SLICES: Final = (0, 5)
_REFERENCES_MAX: Final = 32
_OPERATIONS_MAX: Final = 66
_TEMPLATE_BYTES: Final = 15
"""Of a slice, its NAL header not counted: where a template looks."""
_EMULATION: Final = b"\0\0\3"
_DELTA_ZEROS_MAX: Final = 7
"""Of a slice_qp_delta within -87 to 51."""
_QP_MAX: Final = 51
_QP_MIN: Final = -36
"""Of 14 bits a sample; 0 of 8."""


class _Template(NamedTuple):
    """Where the quantizer stands in headers whose first bytes, as a number, are alike under `mask`."""

    mask: int
    fixed: int
    behind: int
    """Masks what is left from the quantizer on..."""
    left: int
    """...so many bits."""
    qp: int


_NO_TEMPLATE: Final = _Template(0, -1, 0, 0, 0)


class PictureSyntax(NamedTuple):
    """What a slice header's syntax depends on in its picture parameter set (7.3.2.2)."""

    sequence_id: int
    cabac: bool
    order_in_fields: bool
    """bottom_field_pic_order_in_frame_present_flag."""
    references: int
    """Default length of list 0."""
    weighted: bool
    qp: int
    """26 + pic_init_qp_minus26."""
    redundant: bool
    """redundant_pic_cnt_present_flag."""


def parse_picture_syntax(nal: bytes) -> PictureSyntax:
    """Of a PPS NAL unit, header included. Raises MalformedMessage; slice groups (FMO) are not read."""
    reader = BitReader(nal[1:64])
    reader.ue()
    sequence_id = reader.ue()
    cabac, order_in_fields = reader.bits(1), reader.bits(1)
    if reader.ue():
        raise MalformedMessage("an H.264 picture parameter set has slice groups, which are not read")
    references = reader.ue() + 1
    reader.ue()
    weighted = reader.bits(1)
    reader.bits(2)
    qp = 26 + reader.se()
    if references > _REFERENCES_MAX or not _QP_MIN <= qp <= _QP_MAX:
        raise MalformedMessage("an H.264 picture parameter set is out of bounds")
    reader.se()
    reader.se()
    reader.bits(2)
    return PictureSyntax(
        sequence_id,
        bool(cabac),
        bool(order_in_fields),
        references,
        bool(weighted),
        qp,
        bool(reader.bits(1)),
    )


class H264Quantizers:
    """Reads quantizers of a stream whose parameter sets are these, by their ids; unusable sets read nothing."""

    __slots__ = ("_syntax", "_template")

    def __init__(self, sequence_sets: dict[int, bytes], picture_sets: dict[int, bytes]) -> None:
        self._syntax: dict[int, tuple[SequenceSyntax, PictureSyntax]] = {}
        self._template = _NO_TEMPLATE
        for number, nal in picture_sets.items():
            try:
                picture = parse_picture_syntax(nal)
                sequence = sequence_sets.get(picture.sequence_id)
                if sequence is not None:
                    self._syntax[number] = parse_sequence_syntax(sequence), picture
            except MalformedMessage:
                continue

    def read(self, head: bytes) -> int | None:
        """The quantizer (0 to 51 of 8 bits a sample) of the P slice that begins with `head`, NAL header included.

        None of any other slice, and of what cannot be read within these bytes.
        """
        template = self._template
        plain = len(head) > _TEMPLATE_BYTES and head.find(_EMULATION, 0, _TEMPLATE_BYTES + 1) < 0
        number = int.from_bytes(head[: _TEMPLATE_BYTES + 1], "big") if plain else -1
        if plain and number & template.mask == template.fixed:
            rest = number & template.behind
            # An se(v) at the front of `behind` (9.1.1): zeros, a one, as many bits.
            zeros = template.left - rest.bit_length()
            after = template.left - 2 * zeros - 1
            if zeros <= _DELTA_ZEROS_MAX and after >= 0:
                code = rest >> after
                delta = -(code >> 1) if code & 1 else code >> 1
                return _within(template.qp + delta)
        if not head:
            return None
        reader = BitReader(head[1:])
        try:
            return self._read(reader, head[0] >> 5 & 3, number)
        except MalformedMessage:
            return None

    def _read(self, reader: BitReader, reference: int, number: int) -> int | None:
        total = reader.left
        reader.ue()
        if reader.ue() not in _P_SLICES:
            return None
        syntax = self._syntax.get(reader.ue())
        if syntax is None:
            return None
        sequence, picture = syntax
        if sequence.separate_planes:
            reader.bits(2)
        changing = [(reader.left, sequence.frame_number_bits)]
        reader.bits(sequence.frame_number_bits)
        field = not sequence.frames_only and reader.bits(1)
        if field:
            reader.bits(1)
        if sequence.order_type == 0:
            changing.append((reader.left, sequence.order_bits))
            reader.bits(sequence.order_bits)
        deltas = (sequence.order_type == 0 and picture.order_in_fields and not field) + (
            (1 + (picture.order_in_fields and not field)) if sequence.order_deltas else 0
        )
        for _ in range(deltas):
            reader.se()
        if picture.redundant:
            reader.ue()
        references = reader.ue() + 1 if reader.bits(1) else picture.references
        if references > _REFERENCES_MAX:
            return None
        if reader.bits(1):
            _skip_operations(reader, end=3)
        if picture.weighted:
            _skip_weights(reader, references, has_chroma=sequence.has_chroma and not sequence.separate_planes)
        if reference and reader.bits(1):
            _skip_marking(reader)
        if picture.cabac:
            reader.ue()
        left = reader.left
        qp = _within(picture.qp + reader.se())
        if number >= 0 and qp is not None:
            self._template = _make_template(number, total, left, changing, picture.qp)
        return qp


def _within(qp: int) -> int | None:
    return qp if _QP_MIN <= qp <= _QP_MAX else None


def _make_template(number: int, total: int, left: int, changing: list[tuple[int, int]], qp: int) -> _Template:
    """Of a header whose first bytes are `number`; `total` bits behind the NAL header, `left` of them from the
    quantizer on; `changing`: bits left before, and length of, fields that change from picture to picture."""
    beyond = total - 8 * _TEMPLATE_BYTES
    if left <= beyond:
        return _NO_TEMPLATE
    mask = (1 << 8 * (_TEMPLATE_BYTES + 1)) - (1 << left - beyond)
    for before, length in changing:
        mask &= ~(((1 << length) - 1) << before - beyond - length)
    return _Template(mask, number & mask, (1 << left - beyond) - 1, left - beyond, qp)


def _skip_operations(reader: BitReader, end: int) -> None:
    """ref_pic_list_modification (7.3.3.1): pairs of numbers up to an `end`."""
    for _ in range(_OPERATIONS_MAX):
        if reader.ue() == end:
            return
        reader.ue()
    raise MalformedMessage("an H.264 slice header modifies its list of references too often")


def _skip_weights(reader: BitReader, references: int, *, has_chroma: bool) -> None:
    """pred_weight_table (7.3.3.2) of list 0."""
    reader.ue()
    if has_chroma:
        reader.ue()
    for _ in range(references):
        if reader.bits(1):
            reader.se()
            reader.se()
        if has_chroma and reader.bits(1):
            for _ in range(4):
                reader.se()


def _skip_marking(reader: BitReader) -> None:
    """The operations of dec_ref_pic_marking (7.3.3.3)."""
    for _ in range(_OPERATIONS_MAX):
        operation = reader.ue()
        if operation == 0:
            return
        if operation != 5:
            reader.ue()
        if operation == 3:
            reader.ue()
    raise MalformedMessage("an H.264 slice header marks references too often")
