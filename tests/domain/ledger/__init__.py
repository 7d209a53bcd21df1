import pytest

# the invariants of the random sequences: a failure shows what differed
pytest.register_assert_rewrite("tests.domain.ledger.comparison")
