"""Tokens in what the vendors' SDKs, and others, call usage: told apart by the names in it."""

from collections.abc import Mapping

from .vendors import Counts, count_of, look, total


def counts_in(usage: object) -> Counts | None:
    """Return the counts in *usage*, or in an answer that has it; None where there are none.

    Args:
        usage: Of OpenAI's chat, embeddings or responses, Anthropic's, Google's or LangChain's, as an object or a mapping; or
            :class:`~.vendors.Tokens`, or a mapping with its names.
    """
    for name in ("usage", "usage_metadata"):
        if (within := look(usage, name)) is not None and not callable(within):
            usage = within
            break
    if callable(usage):  # as pydantic-ai's results have it
        return None
    for read in (_ours, _openai, _google, _of_input):
        if (found := read(usage)) is not None:
            return found
    return None


def _ours(usage: object) -> Counts | None:
    if isinstance(usage, Mapping) or hasattr(usage, "_fields"):
        found = Counts(*(look(usage, name) for name in Counts._fields))
        return found if found.input is not None or found.output is not None else None
    return None


def _openai(usage: object) -> Counts | None:
    given, made = look(usage, "prompt_tokens"), look(usage, "completion_tokens")
    if given is None and made is None:
        return None
    if made is None and count_of(look(usage, "total_tokens")) == count_of(given):
        made = 0  # of embeddings
    return Counts(given, made, look(usage, "prompt_tokens_details", "cached_tokens"))


def _google(usage: object) -> Counts | None:
    """Return the counts. The API leaves zeros out (protocol buffers do): the total says what a missing one is."""
    names = ("prompt_token_count", "tool_use_prompt_token_count")
    given = total(*(_either(usage, name) for name in names))
    if given is None:
        return None
    made = total(_either(usage, "candidates_token_count"), _either(usage, "thoughts_token_count"))
    everything = count_of(_either(usage, "total_token_count"))
    counted = count_of(given)
    if made is None and counted is not None and everything is not None:
        made = max(0, everything - counted)
    return Counts(given, made, _either(usage, "cached_content_token_count"))


def _either(usage: object, name: str) -> object:
    """Return what stands there by Python's name, or by JSON's."""
    first, *rest = name.split("_")
    found = look(usage, name)
    return found if found is not None else look(usage, first + "".join(word.title() for word in rest))


def _of_input(usage: object) -> Counts | None:
    """Return the counts of those who say ``input_tokens``: Anthropic counts those of its cache apart, the others among them."""
    given, made = look(usage, "input_tokens"), look(usage, "output_tokens")
    if given is None and made is None:
        return None
    read, written = look(usage, "cache_read_input_tokens"), look(usage, "cache_creation_input_tokens")
    if read is not None or written is not None:
        return Counts(None if given is None else total(given, read, written), made, read, written)
    read = look(usage, "input_tokens_details", "cached_tokens")
    kept = look(usage, "input_token_details")  # LangChain's
    read = read if read is not None else look(kept, "cache_read")
    return Counts(given, made, read, look(kept, "cache_creation"))
