"""The search attributes that operators filter flows by."""

from temporalio.common import SearchAttributeKey

KIND = SearchAttributeKey.for_keyword("OpenScripKind")
ORGANIZATION = SearchAttributeKey.for_keyword("OpenScripOrganization")
PROGRAM = SearchAttributeKey.for_keyword("OpenScripProgram")
STATUS = SearchAttributeKey.for_keyword("OpenScripStatus")
