"""The commands of ``python -m core``, a module a group: what people type, and what is printed of what core returns."""

from ..extras import require

require("cli")
