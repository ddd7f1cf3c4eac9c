"""A kind of provider for Azure's classic deployments; like any server of one's own it needs a base URL.

Services of the version before serve its settings and its key, and refuse to call it.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

KINDS = ("openai", "anthropic", "google", "openai_compatible", "azure_openai")


def _checks(kinds: tuple[str, ...]) -> None:
    for name in ("kind", "api_base_url_present"):
        op.drop_constraint(op.f(f"llm_providers_{name}_check"), "llm_providers", type_="check")
    listed = ", ".join(map(repr, kinds))
    op.create_check_constraint(op.f("llm_providers_kind_check"), "llm_providers", f"kind IN ({listed})")
    own = ", ".join(repr(kind) for kind in kinds[3:])
    op.create_check_constraint(
        op.f("llm_providers_api_base_url_present_check"),
        "llm_providers",
        f"kind NOT IN ({own}) OR api_base_url IS NOT NULL",
    )


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _checks(KINDS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # The version before has no such kind; as the nearest one it must not be called: Azure answers it with 404
    op.execute("UPDATE llm_providers SET kind = 'openai_compatible', is_active = false WHERE kind = 'azure_openai'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else the trigger that counts changes is still pending on the table
    _checks(KINDS[:-1])
