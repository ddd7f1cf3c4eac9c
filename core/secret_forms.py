"""What secrets look like: one table, for the log of every process and for personal data in texts.

Standard library only, as :mod:`core.redaction`, which the resolver imports.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from .patterns import later

MASK: Final = "****"


class SecretForm(NamedTuple):
    """A form of secrets."""

    signs: tuple[str, ...]
    """Of which every text has one, in small letters, in which something is found; none: any may."""
    pattern: re.Pattern[str]
    kept: str
    """What stands in its place: group 1 stays, as it says what was there."""
    by_itself: bool
    """Whether it is a secret whatever stands before it."""
    is_digest: bool = False
    """Whether it may as well be the digest of a file: out of the log, no personal data."""


def present(text: str) -> Iterator[SecretForm]:
    """Yield the forms that *text* may have, as the table orders them: most texts have the signs of none."""
    folded = text.lower() if text.isascii() else text.casefold()
    for form in SECRET_FORMS:
        if not form.signs or any(sign in folded for sign in form.signs):
            yield form


_BEFORE: Final = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"  # not within a word; an escaped line break is none
_ENDS: Final = r"(?![A-Za-z0-9])"
_QUOTE: Final = r"[\"'\\]{0,2}"  # also one that is escaped
_HEADER: Final = r"(?i)\b((?:x-api-key|x-goog-api-key|api-key|(?:proxy-)?authorization)"
_NAME: Final = (
    r"(?i)((?:password|passwd|pwd|secret(?:_access)?(?:_key)?|api_?key|encryption_key|access_token|[?&]key|[?&]token)"
)
_NAMED: Final = (
    *("passw", "pwd", "secret", "api_key", "apikey", "encryption_key", "access_token"),
    *("?key", "&key", "?token", "&token"),
)
_PREFIXES: Final = (
    # Of vendors of models, ours, GitHub's, GitLab's, Slack's, Stripe's, Google's.
    (
        (
            "sk-ant- sk-proj- sk-or- sk-svcacct- sk-admin- sk- sk_live_ rk_live_ gsk_ xai- github_pat_ glpat- AIza llms_ "
            "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs-"
        ),
        "[A-Za-z0-9_-]{8,}",
    ),
    # Hugging Face's (hf_hub_download is none), GitHub's, AWS's.
    ("hf_ ghp_ gho_ ghu_ ghs_ ghr_ AKIA ASIA ABIA ACCA", "[A-Za-z0-9]{8,}"),
    # GitLab's others, Slack's apps, Google's OAuth, Fly, Vault, Grafana, Sentry, Square, Doppler, Netlify, Supabase, PlanetScale, Docker, Figma, …
    (
        (
            "glptt- gldt- glrt- glcbt- glft- glagent- gloas- glsoat- glffct- glimt- xapp- GOCSPX- ya29. fo1_ fm1a_ fm1r_ fm2_ hvs. hvb. hvr. glsa_ "
            "glc_ sntrys_ sntryu_ sq0atp- sq0csp- dp.pt. dp.st. dp.ct. dp.sa. nfp_ sbp_ pscale_tkn_ pscale_oauth_ pscale_pw_ dckr_pat_ dckr_oat_ "
            "figd_ ATATT3 pplx- r8_ rubygems_ pypi-AgE ops_eyJ lin_api_ lin_oauth_ ABSK"
        ),
        "[A-Za-z0-9_./+=-]{16,}",
    ),
    # Stripe's of tests and of hooks, npm, Notion, Shopify, Databricks, DigitalOcean, Postman, Pulumi, New Relic, Hugging Face's organisations, age.
    (
        (
            "sk_test_ rk_test_ sk_prod_ rk_prod_ whsec_ npm_ ntn_ shpat_ shpca_ shppa_ shpss_ dapi dop_v1_ doo_v1_ dor_v1_ PMAK- pul- NRAK- api_org_ "
            "AGE-SECRET-KEY-1"
        ),
        "(?=[A-Za-z-]*[0-9])[A-Za-z0-9-]{24,}",
    ),
)
"""(beginnings, what follows). The beginning stays, so that one sees whose it was."""


def _prefixed() -> Iterator[SecretForm]:
    for beginnings, rest in _PREFIXES:
        found = later(rf"{_BEFORE}({'|'.join(map(re.escape, beginnings.split()))}){rest}")
        yield SecretForm(tuple(beginnings.lower().split()), found, rf"\1{MASK}", by_itself=True)


def _row(
    signs: str, pattern: str, kept: str = rf"\1{MASK}", *, by_itself: bool = True, is_digest: bool = False
) -> SecretForm:
    return SecretForm(tuple(signs.split()), later(pattern), kept, by_itself, is_digest)


SECRET_FORMS: Final = (
    # Sealed keys, also cut as PostgreSQL cuts a failing row; encryption keys, and what looks like one; bcrypt.
    _row("", r"(?<![0-9a-fA-F])[0-9a-fA-F]{32}:[0-9a-fA-F]{16,32}(?::[0-9a-fA-F]*)?", MASK, is_digest=True),
    _row("", r"[0-9a-fA-F]{64,}", MASK, is_digest=True),
    _row("$2", r"(\$2[abxy]\$\d\d\$)[./A-Za-z0-9]{20,}"),
    # Keys with a prefix; JSON web tokens; private keys.
    *_prefixed(),
    _row("eyj", r"(?<![A-Za-z0-9_-])(eyJ)[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
    _row("-----begin", r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----)[^-]{32,}"),
    # Of others whose form says it: SendGrid, Azure, Telegram, Twilio, Google's refresh tokens, Mailchimp, Terraform, addresses that are hooks.
    _row("sg.", rf"{_BEFORE}(SG\.)[A-Za-z0-9_-]{{16,32}}\.[A-Za-z0-9_-]{{16,64}}"),
    _row("accountkey= accesskey=", r"(?i)\b((?:account|shared_?access|access)key=)[A-Za-z0-9+/]{40,}={0,2}"),
    _row("?sig= &sig=", r"(?i)([?&]sig=)[A-Za-z0-9%+/]{30,}={0,2}"),
    _row("q~", r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~.-])", MASK),
    _row(":aa", r"(?<![A-Za-z0-9_:/.-])\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])", MASK),
    _row("/bot", r"(/bot)\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    _row("sk", rf"(SK)(?<![A-Za-z0-9]..)[0-9a-f]{{32}}{_ENDS}"),
    _row("1//0", r"(?<![A-Za-z0-9/])(1//0)[A-Za-z0-9_-]{30,}"),
    _row("-us", rf"{_BEFORE}[0-9a-f]{{32}}(?=-us\d{{1,2}}{_ENDS})", MASK),
    _row(".atlasv1.", rf"{_BEFORE}([A-Za-z0-9]{{14}}\.atlasv1\.)[A-Za-z0-9_=-]{{60,70}}"),
    _row("hooks.slack.com", r"(?i)(hooks\.slack\.com/(?:services|workflows|triggers)/)[A-Za-z0-9+/]{20,}"),
    _row("/webhooks/", r"(?i)(discord(?:app)?\.com/api/webhooks/\d{10,20}/)[A-Za-z0-9_-]{40,}"),
    # Headers, as text, as JSON and as pairs; a scheme before the value stays.
    _row(
        "api-key authorization",
        rf"{_HEADER}{_QUOTE}\s?[:=,]\s?(?:b(?=[\"']))?{_QUOTE}(?:(?:bearer|basic|token)\s)?)[^\s\"',;\\]+",
        by_itself=False,
    ),
    _row("cookie", rf"(?i)\b((?:set-)?cookie{_QUOTE}\s?[:=,]\s?(?:b(?=[\"']))?{_QUOTE})[^\r\n\"'\\]+", by_itself=False),
    _row("bearer", r"(?i)\b(bearer(?:\s|%20))[A-Za-z0-9._~+/=-]{8,}", by_itself=False),
    # name=value, in connection strings, queries, and calls; JSON has a colon, and quotes.
    _row(" ".join(_NAMED), rf"{_NAME}\s?=\s?)(?:'[^'\r\n]*'|\"[^\"\r\n]*\"|[^\s&,;)'\"]+)", by_itself=False),
    _row(" ".join(_NAMED), rf"{_NAME}{_QUOTE}:\s?\\?[\"'])[^\"'\\\r\n]+", by_itself=False),
    # curl -u user:password; scheme://user:password@
    _row("curl", r"(\bcurl\b[^\r\n]{0,200}?\s(?:-u|--user)[ =][\"']?[^\s:\"']{1,64}:)[^\s\"']+", by_itself=False),
    _row("://", r"(://[^\s/:@?#\"']*:)[^\s/\"']+@", rf"\1{MASK}@", by_itself=False),
)
"""None of the patterns looks back over what it has read: a start that fails is short, or has a guard."""
