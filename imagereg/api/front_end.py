"""A web server in front that sends files itself, once the gate has let them go.

nginx does as it is told by ``X-Accel-Redirect``: our answer names an internal place,
which nginx serves with ranges and all, and no client ever sees the name.

Source: DATAPATH 2 and 8; `conf/nginx-x-accel.conf`.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from flask import Request

from imagereg.api.peers import Peers
from imagereg.model import Image
from imagereg.stores.driver import BlobReader, HasPath

#: The front end says by this header that it can, and what it wants to hear.
OFFER_HEADER = "X-Sendfile-Type"
REDIRECT_HEADER = "X-Accel-Redirect"

#: What nginx does not understand, or answers by an entity tag that it does not know.
_OUR_BUSINESS = ("Content-Range", "If-Match", "If-Range", "If-Unmodified-Since")


class FrontEnd:
    """Which directories a front end serves, and which front ends do.

    Args:
        folders: directory and the prefix under which the front end knows it.
        peers: front ends that are trusted.
    """

    def __init__(self, folders: Iterable[tuple[Path, str]], peers: Peers) -> None:
        by_length = sorted(folders, key=lambda pair: -len(pair[0].parts))
        self._folders = tuple(by_length)
        self._peers = peers

    def place_of(
        self, request: Request, image: Image, reader: BlobReader
    ) -> str | None:
        """Return where the front end finds the image's file; None: we send it.

        A client that speaks to us directly is sent the bytes: whoever is no trusted
        peer, or does not offer to send files, would only learn the name.
        """
        if not self._folders or request.remote_addr not in self._peers:
            return None
        if request.headers.get(OFFER_HEADER) != REDIRECT_HEADER:
            return None
        if any(name in request.headers for name in _OUR_BUSINESS):
            return None
        if not isinstance(reader, HasPath):
            return None
        if os.fstat(reader.fileno()).st_size != image.size:
            # The front end would send the file to its end, whatever the record says.
            return None
        return self._name(reader.path)

    def _name(self, path: Path) -> str | None:
        for folder, prefix in self._folders:
            if path.is_relative_to(folder):
                return prefix + quote(str(path.relative_to(folder)))
        return None
