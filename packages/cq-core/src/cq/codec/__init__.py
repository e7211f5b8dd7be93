"""The codec: arguments and results as ASCII JSON text that comes back as it went.

What JSON has no word for stands in it as ``{"$": tag, "v": value}``; a dict with a
key ``"$"`` of its own is stored as pairs, so no data can pass for a tag. Subclasses
of str, int, float, datetime and the like come back as those; aware datetimes with
the offset they had, not the zone; saved model instances as the database has them.
"""

from __future__ import annotations

from .apart import read_apart
from .decode import Results, decode, decode_call, group_of, lacks_code
from .encode import Encoded, encode, encode_call, group_marker
from .encoder import StandsForResult
from .handle import Handle

__all__ = [
    "Encoded",
    "Handle",
    "Results",
    "StandsForResult",
    "decode",
    "decode_call",
    "encode",
    "encode_call",
    "group_marker",
    "group_of",
    "lacks_code",
    "read_apart",
]
