"""Why parts of LiteLLM's configuration have no place here. Data only."""

from collections.abc import Mapping
from typing import Final

from .losses import LossReason

ADDRESS: Final = "write api_base into the file"
FEATURE: Final = "programs resolve the provider with this feature"
CHOOSE: Final = "a program names the provider it wants, and asks another one itself where a call fails"
BALANCE: Final = "add the model to a feature of its own"
OTHER: Final = LossReason("is LiteLLM's own, and has no place here")

_RATE: Final = LossReason(
    "limits requests or tokens a minute, which nothing here does", "limit it at the vendor, or in the program"
)
_MONEY: Final = LossReason(
    "is a price or a budget", "what calls cost is known by Model facts; prices of your own are entered there"
)
_FAIL: Final = LossReason("asks another model where a call fails, which nothing here does", CHOOSE)
_ROUTE: Final = LossReason("chooses between deployments, which nothing here does", CHOOSE)
_LOG: Final = LossReason(
    "sends calls to other programs", "calls are in the request log here, and core.ai gives OpenTelemetry"
)
_CACHE: Final = LossReason("keeps answers, which nothing here does")
_CLOUD: Final = LossReason("signs in at a cloud, and there is no kind of provider for it")
_STREAM: Final = LossReason(
    "is a time limit for streams", "request_timeout_ms is the longest wait for a stream's next part"
)

PARAMS: Final[Mapping[str, LossReason | None]] = {
    **dict.fromkeys(("rpm", "tpm", "max_parallel_requests", "itpm", "otpm"), _RATE),
    **dict.fromkeys(("max_budget", "budget_duration", "input_cost_per_token", "output_cost_per_token"), _MONEY),
    **dict.fromkeys(("input_cost_per_second", "output_cost_per_second"), _MONEY),
    **dict.fromkeys(("weight", "order", "tags", "cooldown_time", "allowed_fails", "region_name"), _ROUTE),
    **dict.fromkeys(("fallbacks", "context_window_fallbacks"), _FAIL),
    **dict.fromkeys(("aws_region_name", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"), _CLOUD),
    **dict.fromkeys(("vertex_project", "vertex_location", "vertex_credentials"), _CLOUD),
    **dict.fromkeys(("tenant_id", "client_id", "client_secret", "azure_ad_token", "azure_scope"), _CLOUD),
    "stream_timeout": _STREAM,
    "mock_response": LossReason("answers without asking a model", "use core.testing in tests"),
    "mock_timeout": LossReason("fails without asking a model", "use core.testing in tests"),
    "drop_params": None,
    "additional_drop_params": LossReason(
        "leaves parameters out", "set them to not sent at the provider or the feature"
    ),
    "response_format": LossReason("is decided by each call"),
}
INFO: Final[Mapping[str, LossReason | None]] = {
    "id": None,
    "mode": None,
    "base_model": LossReason(
        "says which model a deployment is of", "a model here is the deployment's name; enter facts at Model facts"
    ),
    "access_groups": LossReason("says who may call it", "organisations are allowed models at Organisations"),
}
INFO_OTHER: Final = LossReason(
    "is a fact about the model", "what is known of models is in the catalogue; enter others at Model facts"
)
SETTINGS: Final[Mapping[str, LossReason | None]] = {
    **dict.fromkeys(("fallbacks", "context_window_fallbacks", "default_fallbacks", "content_policy_fallbacks"), _FAIL),
    **dict.fromkeys(
        ("callbacks", "success_callback", "failure_callback", "service_callback", "langfuse_default_tags"), _LOG
    ),
    **dict.fromkeys(("cache", "cache_params", "cache_responses", "caching_groups"), _CACHE),
    **dict.fromkeys(("max_budget", "budget_duration", "provider_budget_config"), _MONEY),
    **dict.fromkeys(("routing_strategy", "routing_strategy_args", "enable_pre_call_checks", "allowed_fails"), _ROUTE),
    **dict.fromkeys(("cooldown_time", "allowed_fails_policy", "retry_policy", "model_group_retry_policy"), _ROUTE),
    **dict.fromkeys(
        ("redis_host", "redis_port", "redis_password", "redis_url"),
        LossReason("is where LiteLLM's processes share what they know"),
    ),
    **dict.fromkeys(("set_verbose", "json_logs", "telemetry", "drop_params"), None),
    "retry_after": LossReason(
        "is the shortest wait before an attempt", "retry_backoff_ms is the base of the waits here"
    ),
    "stream_timeout": _STREAM,
    "default_model": LossReason("is the model of those who name none", "choose the default provider on Defaults"),
    "default_team_settings": LossReason("are settings of teams", "make an organisation for each"),
    "custom_provider_map": LossReason("are handlers in Python", "call those vendors from the program"),
}
GENERAL: Final[Mapping[str, LossReason | None]] = {
    "master_key": LossReason("signs in at LiteLLM", "programs need no key to resolve; REST takes tokens (tokens add)"),
    "database_url": LossReason("is LiteLLM's own database", "settings are in DATABASE_URL of LLM Settings"),
    "custom_auth": LossReason("decides who may call"),
    "pass_through_endpoints": LossReason("passes requests on, which nothing here does"),
}
SECTIONS: Final[Mapping[str, LossReason | None]] = {
    "include": LossReason("takes in other files", "put them together, and import the whole"),
    "guardrails": LossReason("are checks of what is asked and answered, which nothing here does"),
    "mcp_servers": LossReason("are tools"),
    "finetune_settings": LossReason("are of fine-tuning, which nothing here does"),
    "files_settings": LossReason("are of files, which nothing here keeps"),
    "vector_store_registry": LossReason("are vector stores"),
    "prompts": LossReason("are prompts, which the program writes"),
}
