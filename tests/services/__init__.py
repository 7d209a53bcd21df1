import pytest

# helpers that compare: a failure shows what differed
pytest.register_assert_rewrite("tests.services.ledger_machine", "tests.services.ledger_rows")
