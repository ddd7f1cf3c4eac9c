"""How the Audit page says what happened."""

import ast
import re
from collections.abc import Iterator

from core.access.authority import CHANGE_PASSWORD
from core.manage.provider_secrets import CARRIED
from core.parameters import PARAMETERS
from core.store.organization_schemas import (
    FeatureInput,
    OrganizationInput,
    OrganizationProviderInput,
    ScopedSettingsInput,
)
from core.store.schemas import ProviderInput
from tests.conftest import ROOT
from ui.audit.words import REFUSED, WORDS, field_label, words_of

_PLACE = 3
ACTION = re.compile(r"[a-z_]+\.[a-z_]+|denied")


def recorded() -> Iterator[str]:
    """Each action that core puts on record, wherever it does."""
    return _actions({"record", "_record", "put_on_record", "write", "_record_alert"})


def asked() -> Iterator[str]:
    """Each action that core asks somebody's rights for, wherever it does."""
    return _actions({"require", "reach", "reach_row", "visible", "named", "_alert_asked_for", "_calls_asked_for"})


def _actions(functions: set[str]) -> Iterator[str]:
    """Each action that is the third argument of one of these, be it a text or a name that the module gives one."""
    for path in (ROOT / "core").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for scope in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]:
            named = {**_constants(tree.body), **_constants(scope.body)}
            for call in _calls(scope):
                called = getattr(call.func, "id", getattr(call.func, "attr", ""))
                if called in functions and len(call.args) >= _PLACE:
                    yield from _texts(call.args[2], named)


def _constants(body: list[ast.stmt]) -> dict[str, object]:
    return {
        target.id: node.value.value
        for node in body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }


def _calls(scope: ast.Module | ast.FunctionDef) -> Iterator[ast.Call]:
    """The calls of a function, or those of a module that are in none."""
    todo: list[ast.AST] = [*scope.body]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Call):
            yield node
        todo += [each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.FunctionDef)]


def _texts(third: ast.expr, named: dict[str, object]) -> Iterator[str]:
    if isinstance(third, ast.JoinedStr):
        begin = third.values[0]
        if isinstance(begin, ast.Constant):  # of headers and query parameters
            yield from (f"{begin.value}{use}" for use in CARRIED)
        else:  # of rows of settings
            yield from (
                f"{kind}.{what}" for kind in ("settings", "override") for what in ("create", "update", "delete")
            )
        return
    for part in ast.walk(third):
        value = part.value if isinstance(part, ast.Constant) else named.get(getattr(part, "id", ""))
        if isinstance(value, str) and ACTION.fullmatch(value):
            yield value


def test_every_action_has_words() -> None:
    """What core records is said in words, with an icon, never by the action's name; and there are no words for nothing."""
    assert set(recorded()) == set(WORDS)
    assert all(icon for _, icon in WORDS.values())


def test_every_refusal_has_words() -> None:
    """What somebody was not allowed to do is said in words, and there are no words for what nobody is refused."""
    assert {*asked(), CHANGE_PASSWORD, "page.view"} == set(REFUSED), "core asks for all but a page itself"


def test_every_field_has_a_label() -> None:
    """A field of a provider or of settings is called what the forms call it, never by its name in the database."""
    inputs = (ProviderInput, ScopedSettingsInput, OrganizationInput, OrganizationProviderInput, FeatureInput)
    named = {name for each in inputs for name in each.model_fields}
    assert not {name for name in named if field_label(name) == name}
    assert field_label("presence_penalty") == PARAMETERS["presence_penalty"].label
    assert field_label("x-of-somebody") == "x-of-somebody"


def test_one_field_alone_is_what_was_done() -> None:
    """A toggle says which way it went, a key that it was set; more fields are named by their labels."""
    one, two = {"is_active": {"before": True, "after": False}}, {"api_key": {"before": "a", "after": "b"}}
    assert words_of("provider.update", one) == ("deactivated provider", "")
    assert words_of("provider.update", {**two, "request_id": {"after": "x"}}) == ("set the API key of", "")
    assert words_of("provider.update", {"api_key": {"before": "a", "after": None}}) == ("removed the API key of", "")
    assert words_of("provider.update", {**one, **two}) == ("changed provider", "Active, API key")
    assert words_of("user.set_active", {"is_active": {"before": False, "after": True}}) == ("enabled", "")
    assert words_of("user.set_role", {"role": {"before": "admin", "after": "analyst"}})[1] == "now analyst"
    many = {name: {"after": 1} for name in ("temperature", "top_p", "max_tokens", "timeout")}
    assert words_of("settings.update", many) == ("changed defaults of", "4 fields")


def test_fields_have_labels() -> None:
    """What an event says was changed, as far as it stands written in core, is called by words of people."""
    unnamed = set()
    for path in (ROOT / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "record":
                given = [*node.args[4:5], *(each.value for each in node.keywords if each.arg == "changes")]
            elif isinstance(node, ast.Assign) and any(getattr(each, "id", "") == "changes" for each in node.targets):
                given = [node.value]
            else:
                continue
            names = {
                key.value
                for each in given
                if isinstance(each, ast.Dict)
                for key in each.keys
                if isinstance(key, ast.Constant)
            }
            unnamed |= {name for name in names if field_label(name) == name}
    assert unnamed == set()
