"""GET /api/llm/settings?at=: what was in force at a moment, read from the history each time, without keys."""

from typing import Any

from api import wire
from api.errors import dumps
from core.actors import Actor
from core.errors import NotFound
from core.govern import history
from core.govern.history_moments import parse_moment
from core.manage import hierarchy, providers
from core.manage.hierarchy import AskedFor
from core.store import db
from core.store.tables import LlmProvider


def body(
    actor: Actor, role: str, at: str, name: str | int | None, asked: AskedFor, *, explain: bool
) -> tuple[int, bytes]:
    """Return the generation and the answer.

    Args:
        actor: Who asks.
        role: As of :class:`api.effective.Wanted`.
        at: A time or a generation.
        name: A provider's name or id; None: all that were active.
        asked: The organisation and the feature.
        explain: With the source of each value.

    Raises:
        CoreError: NotFound, Gone, Invalid and so on.
    """
    with (
        db.transaction() as session,
        history.as_of(session, actor, parse_moment(at), organization=asked.organization) as then,
    ):
        there = providers.list_all(then.session)
        wanted = [row for row in there if (row.is_active if name is None else name in {row.name, row.id})]
        if name is not None and not wanted:
            raise NotFound("provider", name)
        shown = []
        for row in wanted:
            found = hierarchy.in_force(then.session, actor, asked._replace(provider=row.name))
            own = [each.layer.values for each in found.rows if each.layer.name in {"provider", "all_providers"}]
            columns: dict[str, Any] = {column: getattr(row, column) for column in LlmProvider.model_fields}
            shown.append(
                wire.effective(found.settings, columns, own[0] if own else None, brief=role != "admin", explain=explain)
            )
        data = shown if name is None else shown[0]
        return then.moment.generation, dumps({"success": True, "data": data})
