"""What the name of a column says about its values."""

from __future__ import annotations

import re

__all__ = ["is_code_name", "is_id_name", "is_measure_name", "name_words"]

_PART = re.compile(r"[^\W\d_]+|\d+")
_HUMP = re.compile(r"(?<=[a-zß-ÿ])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ID_WORDS = _words(
    """id ids uuid guid key pk fk oid rowid ref hash md5 sha sha1 sha256 token serial ssn isbn issn ean gtin upc sku
    asin barcode iban bic swift vin imei imsi mac url uri href website homepage email mail login username nick nickname
    handle slug password passwd pwd salt"""
)
_CODE_WORDS = _words("code zip zipcode postcode postal plz phone telephone tel mobile cellphone fax extension")
_NUMBERED = _words(
    """id account card invoice order customer item product part tracking serial registration license licence passport
    reference document purchase contract ticket room"""
)
_NUMBER_WORDS = _words("number no nr num")
_MEASURE_WORDS = _words(
    """year rank ranking position level count amount total price quantity qty age size score points distance duration
    weight height width length value sum cost rate rating salary units stock votes likes views"""
)
# words that end in "id" and have nothing to do with identifiers
_NO_IDS = _words(
    """paid unpaid prepaid postpaid repaid valid invalid bid grid fluid solid acid rapid void covid humid liquid hybrid
    android raid aid kid lid mid amid rid said laid maid plaid squid avid vivid arid steroid asteroid orchid lipid
    stupid afraid"""
)


def name_words(name: str) -> list[str]:
    """The words of a column name in lower case, whether it is snake_case, camelCase or spaced.

    Example:
        >>> name_words("zip_codePrefix"), name_words("UserID")
        (['zip', 'code', 'prefix'], ['user', 'id'])
    """
    return [word.lower() for part in _PART.findall(name) for word in _HUMP.split(part)]


def is_id_name(name: str) -> bool:
    """Whether a name says that its values tell rows apart: ``id``, ``customerId``, ``invoice_no``, ``email``.

    Example:
        >>> [is_id_name(name) for name in ("driverId", "CUSTOMERID", "paid", "OrderNumber", "number")]
        [True, True, False, True, False]
    """
    words = name_words(name)
    if not words:
        return False
    if words[-1] in _ID_WORDS or words[0] == "id":
        return True
    if len(words) > 1 and words[-1] in _NUMBER_WORDS and words[-2] in _NUMBERED:
        return True
    return len(words[-1]) > 2 and words[-1].endswith("id") and words[-1] not in _NO_IDS


def is_code_name(name: str) -> bool:
    """Whether a name says that its digits are no quantity: ``zip_code``, ``phone``, ``PostalCode``."""
    return not _CODE_WORDS.isdisjoint(name_words(name))


def is_measure_name(name: str) -> bool:
    """Whether a name says that its numbers are a quantity or an order, even when no two rows share one: ``year``."""
    return not _MEASURE_WORDS.isdisjoint(name_words(name))
