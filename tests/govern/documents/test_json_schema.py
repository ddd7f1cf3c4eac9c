"""The published JSON Schema is the one that the models make, takes what export writes, and refuses what reading refuses."""

import json

import jsonschema
import pytest
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.errors import Invalid
from core.govern.documents import json_schema, parsing, schema, writing
from tests import stores
from tests.conftest import ROOT

VALIDATOR = jsonschema.Draft202012Validator(json_schema.made())
START = "version: 1\nproviders: {openai: {display_name: O, kind: openai, available_models: [a]"


def test_the_published_one_is_current() -> None:
    """Else: python -m core export --schema -o docs/document.schema.json."""
    assert (ROOT / "docs" / json_schema.FILE).read_text("utf-8") == json_schema.text()
    jsonschema.Draft202012Validator.check_schema(json.loads(json_schema.text()))


def test_it_takes_what_export_writes(session: Session) -> None:
    """Of a store with something of everything, and the sample of the documentation."""
    stores.fill(session, rows=1)
    sample = (ROOT / "docs/document.md").read_text("utf-8").split("```yaml\n")[1].split("```")[0]
    for text in (writing.write(session, COMMAND_LINE), sample):
        VALIDATOR.validate(parsing.parse(text))
        schema.read(text)


@pytest.mark.parametrize(
    "text",
    [
        "version: 2\n",
        "a: 1\n",
        f"{START}, name: x}}}}\n",
        f"{START}, api_key: sk-abc}}}}\n",
        f"{START}, api_key: {{env: A, set: true}}}}}}\n",
        f"{START}, settings: {{temperature: 3}}}}}}\n",
        f"{START}, settings: {{temperature: {{omit: false}}}}}}}}\n",
        f"{START}, settings: {{max_retries: {{omit: true}}}}}}}}\n",
        f"{START}, settings: {{omitted_parameters: [stop]}}}}}}\n",
        f"{START}, settings: {{top_p: null}}}}}}\n",
        "version: 1\nproviders: {A B: {display_name: O, kind: openai, available_models: [a]}}\n",
        "version: 1\norganizations: {acme: {name: A, template_id: 3}}\n",
        "version: 1\norganizations: {acme: {}}\n",
    ],
)
def test_it_refuses_what_reading_refuses(text: str) -> None:
    """What an editor underlines is what apply refuses."""
    assert not VALIDATOR.is_valid(parsing.parse(text))
    with pytest.raises(Invalid):
        schema.read(text)
