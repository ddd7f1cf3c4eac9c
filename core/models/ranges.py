"""Between which values a model takes a parameter: for a form, which offers no others. Pure."""

from typing import Final

from ..parameters import PARAMETERS
from .knowledge import Knowledge, vendored

_BARS: Final = ("refuse", "ignore")


def ranges(
    api: str, kind: str | None, model: str | None, knowledge: Knowledge | None = None, host: str = ""
) -> dict[str, tuple[float, float]]:
    """Return our parameter -> the smallest and the largest value that *model* takes by *api*, where one is known.

    Only what always holds: a range while the model reasons, or what is refused anyway, bounds no form.

    Args:
        api: A key of :data:`core.models.apis.APIS`.
        kind: Of the provider.
        model: Its name; None: there is none.
        knowledge: What is known of models. Default: the catalogue of this version.
        host: Of the provider's base URL.
    """
    found = {}
    for name, verdicts in (knowledge or vendored()).verdicts(api, kind, model, host).items():
        always = [one for one in verdicts if not one.unless]
        if any(one.does in _BARS for one in always) or any(one.does == "ok" for one in verdicts):
            continue
        if PARAMETERS[name].value_type is list:
            continue
        within = [(one.low, one.high) for one in always if one.does == "range"]
        if within:
            found[name] = max(low for low, _ in within), min(high for _, high in within)
    return {name: (low, high) for name, (low, high) in found.items() if low < high}
