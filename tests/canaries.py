"""A secret that is looked for, in whatever form it may stand somewhere."""

import base64
from urllib.parse import quote


def forms(secret: str) -> set[str]:
    """A secret as it is, reversed, in hex, percent-encoded, and in base64 wherever it begins."""
    raw = secret.encode()
    found = {secret, secret[::-1], raw.hex(), raw.hex().upper(), quote(secret, safe="")}
    found.add("".join(f"%{byte:02X}" for byte in raw))
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(b"\0" * before + raw).decode()[4 if before else 0 : -4])
    return found
