"""Vendors' cost files, as people have them: what is added up, and what is refused, by its line and with the cure."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from core.errors import Invalid
from core.govern import bill_files

OPENAI = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item\n"
    "1790467200,1790553600,2026-09-27T00:00:00+00:00,2026-09-28T00:00:00+00:00,,,\n"
    "1793404800,1793491200,2026-10-31T00:00:00+00:00,2026-11-01T00:00:00+00:00,4.2e-05,usd,gpt-5\n"
    "1793491200,1793577600,2026-11-01T00:00:00+00:00,2026-11-02T00:00:00+00:00,1.5,usd,gpt-5\n"
)
ANTHROPIC = (
    "usage_date_utc,model,workspace,token_type,cost_usd,list_price_usd\n"
    "2026-10-04,Claude Haiku 4.5,Default,input,0.10,0.20\n2026-10-05,Claude Haiku 4.5,Default,output,0.25,0.5\n"
)
GOOGLE_TABLE = (
    "Billing account ID,000000-000000\nCurrency,USD\nTotal amount due,$95.00\n\n"
    "Project ID,Service description,Cost type,Usage start date,Usage end date,Usage amount,Unrounded Cost ($),Cost ($)\n"
    'prod,Gemini API,Usage,2026-10-01,2026-10-31,"1,000","1,060.004","1,060.00"\n'
    "prod,Gemini API,Credit,2026-10-01,2026-10-31,,-60.001,-60.00\n"
    ",,Total,,,,1000.003,1000.00\n"
)
GOOGLE_REPORT = (
    "Service description,SKU ID,Usage amount,Cost ($),Unrounded subtotal ($),Subtotal ($)\n"
    'Gemini API,Y,"10",0.00,0.0012,0.00\nGemini API,Z,"10",2.00,1.5,1.50\n,,Filtered total,2.00,1.5012,1.50\n'
)
AZURE = (
    "Date;MeterCategory;CostInBillingCurrency;BillingCurrencyCode\n"
    "10/31/2026;Azure OpenAI;1.234,56;USD\n10/01/2026;Azure OpenAI;(34,06);USD\n"
)
FOCUS = "BilledCost,BillingCurrency,ChargePeriodStart,ServiceName\n12.5,USD,2026-10-01T00:00:00Z,AI\n"
OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
READ: list[tuple[str, dict[str, Any], dict[date, str], int]] = [
    (OPENAI, {}, {OCTOBER: "0.000042", NOVEMBER: "1.5"}, 0),
    (OPENAI, {"month": NOVEMBER}, {NOVEMBER: "1.5"}, 0),
    (OPENAI, {"date_column": "start_time"}, {OCTOBER: "0.000042", NOVEMBER: "1.5"}, 0),
    (ANTHROPIC, {}, {OCTOBER: "0.35"}, 0),
    (ANTHROPIC, {"amount_column": " LIST_price_usd "}, {OCTOBER: "0.7"}, 0),
    (GOOGLE_TABLE, {}, {OCTOBER: "1000.003"}, 1),
    (GOOGLE_REPORT, {"month": OCTOBER}, {OCTOBER: "1.5012"}, 1),
    (AZURE, {}, {OCTOBER: "1200.5"}, 0),
    (FOCUS, {}, {OCTOBER: "12.5"}, 0),
    (
        "Tag\tBetrag\n31.10.2026\t1\u202f234,5 $\n01.11.2026\t\u22125\n",
        {"date_column": "Tag", "amount_column": "betrag"},
        {OCTOBER: "1234.5", NOVEMBER: "-5"},
        0,
    ),
    ("date,amount\n2026-10-31,0.123\n", {}, {OCTOBER: "0.123"}, 0),
    ("date,amount\n2026-10-31,1.234\n", {"decimal": "."}, {OCTOBER: "1.234"}, 0),
    ("date,amount\n2026-10-31,1.234\n", {"decimal": ","}, {OCTOBER: "1234"}, 0),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("text", "how", "months", "left_out"), READ)
def test_what_vendors_export(
    text: str, how: dict[str, Any], months: dict[date, str], left_out: int, encoding: str
) -> None:
    """By month, to the last digit; credits, thousands, another decimal mark, totals of others, what stands above the header."""
    found = bill_files.read(text.replace("\n", "\r\n").encode(encoding), **how)

    assert {each.month: each.amount for each in found.months} == {
        month: Decimal(sum_) for month, sum_ in months.items()
    }
    assert found.left_out == left_out
    for each in found.months:
        assert (each.first is None) == (found.date_column is None)
        assert each.first is None or each.last is None or each.month <= each.first <= each.last


@pytest.mark.parametrize(
    ("text", "how", "field", "word"),
    [
        ("", {}, "file", "no header"),
        ("a,b\n1,2\n", {}, "file", "begins with: a,b"),
        ("date,price\n2026-10-01,1\n", {}, "amount_column", "date, price"),
        ("amount\n1\n", {}, "date_column", "amount"),
        ("date,amount\n2026-10-01,1\n", {"amount_column": "cost"}, "file", "no header"),
        (
            "date,amount\n2026-10-01,1\n",
            {"amount_column": "cost", "date_column": "date"},
            "amount_column",
            "is not there",
        ),
        ("date,amount\n", {}, "file", "no line"),
        ("date,amount\n2026-10-01,\n", {}, "file", "no line"),
        ("date,amount\n2026-10-01,1\n", {"month": NOVEMBER}, "month", "2026-11"),
        ("date,amount\n2026-10-01,1\n2026-10-02,one\n", {}, "file", "line 3, an amount that is no number: one"),
        ("date,amount\n2026-10-01,=1+1\n", {}, "file", "=1+1"),
        ("date,amount\n2026-10-01,NaN\n", {}, "file", "NaN"),
        ("date,amount\n2026-10-01,1e99\n", {}, "file", "1e99"),
        ("date,amount\n2026-10-01,2000000000\n", {}, "file", "2000000000"),
        ("date,amount\n2026-13-01,1\n", {}, "file", "2026-13-01"),
        ("date,amount\n2026-02-30,1\n", {}, "file", "line 2"),
        ("date,amount\nyesterday,1\n", {}, "file", "yesterday"),
        ("date,amount\n10/11/2026,1\n", {}, "date_column", "10/11/2026"),
        ("date,amount\n31/10/2026,1\n10/31/2026,1\n", {}, "date_column", "both ways"),
        ('date,amount\n2026-10-01,"1,234"\n', {}, "decimal", "1,234 in line 2"),
        ('date,amount\n2026-10-01,1.50\n2026-10-02,"1,50"\n', {}, "decimal", "line 2 has 1.50, line 3 1,50"),
        ("date,amount,currency\n2026-10-01,1,USD\n2026-10-02,1,EUR\n", {}, "file", "line 3, EUR"),
        (GOOGLE_TABLE.replace("Currency,USD", "Currency,EUR"), {}, "file", "line 2, EUR"),
        (GOOGLE_TABLE.replace("Cost ($)", "Cost (€)"), {"amount_column": "Cost (€)"}, "file", "€"),
    ],
)
def test_what_is_refused(text: str, how: dict[str, Any], field: str, word: str) -> None:
    """By the field, the line and what stands there: nothing is guessed, and no half of a bill is read."""
    with pytest.raises(Invalid) as caught:
        bill_files.read(text.encode(), **how)

    assert list(caught.value.fields) == [field]
    assert word in caught.value.fields[field]
