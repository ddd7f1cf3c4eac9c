"""A ``.env`` file of any program: the keys in it that are of vendors, each with the address beside it.

The reader is that of the import into the store (:mod:`core.manage.env_reading`). A key stays where it is: the document names
its variable.
"""

from collections.abc import Mapping

from ... import env_file
from ...errors import BadConfig
from ...manage import env_reading
from ...store import api_keys
from .drafting import NO_KEY, DocumentDraft, KeyThere
from .items import Item
from .losses import Book, Imported, LossReason
from .reading import refused

PRODUCT = ".env file"
_ADD = "add the provider on the Providers page"


def read(text: str, variables: Mapping[str, str] | None = None) -> Imported:
    """Read a ``.env`` file.

    Args:
        text: Its text.
        variables: Others, which count where the file says nothing.

    Raises:
        Invalid: If it is larger than 1 MB or no text.
        BadConfig: If python-dotenv is not installed.
    """
    try:
        found = env_file.pasted(text)
    except BadConfig as error:
        if "extra" in str(error):
            raise
        raise refused("is larger than 1 MB, or no text: that is no .env file") from None
    env = {**(variables or {}), **found.as_written()}
    top = Item({}, "", Book(_lines(text, env)))
    draft = DocumentDraft()
    for each in env_reading.read(env):
        item = Item(env.get(each.variable), each.variable, top.book)
        if isinstance(each, env_reading.Left):
            if each.variable in env and each.why != "is not set":
                item.lose(each.why, _ADD)
        else:
            _provider(draft, item, each, env[each.variable].strip())
    for number in found.unread:
        top.book.add(f"line {number}", LossReason("is no NAME=value"))
    for name in found.twice:
        top.book.add(name, LossReason("stands there more than once: the last value counts", kind="to do"))
    return draft.imported(top)


def _provider(draft: DocumentDraft, item: Item, found: env_reading.KeyFound, value: str) -> None:
    fields, own = found.fields, bool(found.url)
    if not fields["available_models"]:
        item.lose(found.nameless)
        return
    if api_keys.placeholder(value) and not (own and api_keys.dummy(value)) and found.needs_key:
        item.lose("is a placeholder, and no key", "set it to a key")
        return
    key = KeyThere(variable=found.variable, item=item) if found.needs_key else NO_KEY
    made = draft.provider(
        item, name=fields["name"], label=fields["display_name"], kind=found.kind, url=found.url, key=key
    )
    if made is None:
        return
    made.add_models(fields["available_models"])
    made.default_model = fields["default_model"]
    made.query.update(found.query)


def _lines(text: str, names: Mapping[str, str]) -> dict[str, int]:
    """Return the line of each variable."""
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name = line.partition("=")[0].strip().removeprefix("export ").strip()
        if name in names:
            lines[name] = number  # the last one counts
    return lines
