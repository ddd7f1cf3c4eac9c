"""Which version this is; the wheel, and the resolver's name in the server's list of connections, have it from here."""

VERSION = "0.2.0"
