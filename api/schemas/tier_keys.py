"""Keys of tiers and levels in requests."""

import re
from typing import Annotated

from api.schemas.common import text

TierKey = Annotated[
    str, text(100, pattern=re.compile(r"[a-z][a-z0-9_]*", re.ASCII), expected="a lower-case letter, then letters, digits and _")
]
