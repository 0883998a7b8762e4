"""A visitor of the photo album, who comes over real HTTP and knows nothing of the server."""

import re
import struct
import zlib
from typing import Any

import requests
from requests.adapters import HTTPAdapter


def picture(width: int = 900, height: int = 600) -> bytes:
    """A PNG image with a gradient."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(
        b"\0" + bytes(value for x in range(width) for value in (x * 255 // width, y * 255 // height, 128))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


class Named(HTTPAdapter):
    """HTTPS at an address, by the name of the site that is there."""

    def __init__(self, name: str, roots: str) -> None:
        self.options = {"server_hostname": name, "assert_hostname": name, "ca_certs": roots}
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        options.update(self.options)
        super().init_poolmanager(connections, maxsize, block, **options)


class Album:
    """The site at an address, asked for by one of its host names; over HTTPS where ``roots`` names a file with the
    certificates to be trusted."""

    def __init__(self, address: str, domain: str, roots: str = "") -> None:
        self.base = f"{'https' if roots else 'http'}://{address}"
        self.domain = domain
        self.session = requests.Session()
        if roots:
            self.session.mount("https://", Named(domain, roots))
            self.session.trust_env = False  # REQUESTS_CA_BUNDLE would win
            self.session.verify = roots
            self.session.headers["Referer"] = f"https://{domain}/"  # as browsers do, and Django wants to see

    def ask(self, method: str, path: str, host: str = "", **options: Any) -> requests.Response:
        headers = {"Host": host or self.domain, **options.pop("headers", {})}
        options.setdefault("allow_redirects", False)
        return self.session.request(method, self.base + path, headers=headers, timeout=30, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.ask("GET", path, **options)

    def health(self) -> dict[str, Any]:
        answer = self.get("/health/")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def submit(self, path: str, data: dict[str, str], files: Any = None) -> requests.Response:
        """Sends a form, with the token that its page holds."""
        page = self.get(path)
        assert page.status_code == 200, page.text[:500]
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token, f"{path} has no form"
        return self.ask("POST", path, data={**data, "csrfmiddlewaretoken": token[1]}, files=files)

    def new_album(self, title: str) -> str:
        """The path of a new album."""
        answer = self.submit("/albums/new/", {"title": title})
        assert answer.status_code == 302, answer.text[:1000]
        found = re.match(r"/albums/\d+/", answer.headers["Location"])
        assert found, answer.headers
        return found[0]

    def upload(self, album: str, image: bytes, caption: str = "") -> None:
        files = [("photos", ("photo.png", image, "image/png"))]
        answer = self.submit(f"{album}upload/", {"caption": caption}, files)
        assert answer.status_code == 302, answer.text[:1000]

    def addresses(self, path: str, prefix: str) -> list[str]:
        """The addresses under ``prefix`` that a page refers to."""
        return re.findall(rf'(?:src|href)="({re.escape(prefix)}[^"]+)"', self.get(path).text)
