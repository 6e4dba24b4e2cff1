"""A notice with its sky map inside: the form in which a map that was fetched from its address is kept.

The map becomes part of the notice's bytes, under the key of GCN's unified schema. So it is stored, decided on, announced
and replayed as any notice is, without its server.
"""

from __future__ import annotations

import base64
import gzip

import orjson
from lxml import etree

from tasks.errors import UnusableData
from tasks.io.notices import parsing, voevent_xml

KEY = "healpix_file"
GZIP = b"\x1f\x8b"


def embed(payload: bytes, sky_map: bytes, *, mission: str) -> bytes:
    """Return a notice, JSON or VOEvent, with a sky map inside; the same input gives the same bytes.

    A JSON notice also gets its ``mission`` if it states none: its topic, which may have told that, is not part of it.

    Raises
    ------
    UnusableData
        If the notice would be larger than a notice may be.
    """
    packed = sky_map if sky_map.startswith(GZIP) else gzip.compress(sky_map, mtime=0)
    text = base64.b64encode(packed).decode("ascii")
    is_xml = payload.lstrip().startswith(b"<")
    made = (
        _in_voevent(payload, text)
        if is_xml
        else orjson.dumps({"mission": mission, **parsing.load_json(payload), KEY: text})
    )
    limit = voevent_xml.SIZE_LIMIT if is_xml else parsing.SIZE_LIMIT
    if len(made) > limit:
        raise UnusableData(
            f"with its sky map of {len(sky_map)} bytes the notice has {len(made)}; at most {limit} are allowed"
        )
    return made


def _in_voevent(payload: bytes, text: str) -> bytes:
    root = voevent_xml.read(payload).root
    what = next((child for child in root if etree.QName(child).localname == "What"), None)
    if what is None:
        what = etree.SubElement(root, "What")
    etree.SubElement(what, "Param", name=KEY, value=text)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")
