"""ChainQueue: pictures of one promoted source that wait, in decoding order, each decodable when its turn comes.

Of two neighbours the later is a key picture or continues the chain of the earlier (FrameHeader.chain), and the
first is a key picture or continues what was handed over last. A picture that would break this is not let in.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from contracts.frame import Frame, FrameHeader

NO_KEY = "no_key"
"""Why a picture is left out: no key picture came yet."""
GAP = "chain_gap"
"""The chain misses a number."""
NEW_PULLER = "new_puller"
"""What it needs was handed to a puller that is gone."""


class ChainQueue:
    """Waiting pictures of one source. `heard` of them, from the front, are announced."""

    def __init__(self) -> None:
        self.frames: deque[Frame] = deque()
        self.size_bytes = 0
        self.heard = 0
        self.broken = NO_KEY
        """Why pictures up to the next key picture are left out, "" while the chain is whole."""
        self.promoted = True
        """Whether the picture that came last belongs to a promotion."""
        self._chain = 0

    def __len__(self) -> int:
        return len(self.frames)

    def admits(self, header: FrameHeader) -> bool:
        """Whether the picture can be decoded after those that were let in before it; if not, `broken` says why."""
        if header.key:
            return True
        if not self.broken and header.chain != self._chain + 1:
            self.broken = GAP
        return not self.broken

    def append(self, frame: Frame) -> None:
        """Let a picture in that `admits` agreed to."""
        self.frames.append(frame)
        self.size_bytes += len(frame.data)
        self.broken = ""
        self._chain = frame.header.chain

    def begins_anew_later(self) -> bool:
        """Whether a key picture waits behind the first picture."""
        return any(frame.header.key for frame in islice(self.frames, 1, None))

    def fall_forward(self, reason: str) -> int:
        """Drop from the front up to the next key picture, or all: then the chain is broken. Pictures dropped."""
        dropped = 0
        while self.frames and (dropped == 0 or not self.frames[0].header.key):
            self._drop_first()
            dropped += 1
        if not self.frames:
            self.broken = reason
        return dropped

    def begin_again(self) -> int:
        """A new puller came: all is announced again, from the first key picture on. Pictures dropped."""
        self.heard = 0
        dropped = 0
        while self.frames and not self.frames[0].header.key:
            self._drop_first()
            dropped += 1
        if not self.frames:
            self.broken = self.broken or NEW_PULLER
        return dropped

    def take_headers(self, limit: int) -> list[FrameHeader]:
        """The next headers that are not announced yet, in order."""
        headers = [frame.header for frame in islice(self.frames, self.heard, self.heard + limit)]
        self.heard += len(headers)
        return headers

    def put_back(self, sequence: int) -> None:
        """This header and those behind it were heard by nobody."""
        for index, frame in enumerate(islice(self.frames, self.heard)):
            if frame.header.sequence == sequence:
                self.heard = index
                return

    def hand_over(self, sequence: int) -> tuple[Frame | None, int]:
        """The picture, which waits no longer, nor do those before it; and how many were passed over."""
        if all(frame.header.sequence != sequence for frame in self.frames):
            return None, 0
        passed = 0
        while self.frames[0].header.sequence != sequence:
            self._drop_first()
            passed += 1
        return self._drop_first(), passed

    def drop_last(self) -> bool:
        """Drop the picture at the end; True when nobody heard of it."""
        frame = self.frames.pop()
        self.size_bytes -= len(frame.data)
        unheard = self.heard <= len(self.frames)
        self.heard = min(self.heard, len(self.frames))
        return unheard

    def _drop_first(self) -> Frame:
        frame = self.frames.popleft()
        self.size_bytes -= len(frame.data)
        self.heard = max(0, self.heard - 1)
        return frame
