"""Errors of compiling and evaluating expressions."""

from __future__ import annotations


class CompileError(ValueError):
    """An expression doesn't compile; `line` and `column` count from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message, line, column)
        self.message = message
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return self.message


class EvaluationError(Exception):
    """An evaluation failed. The message names a missing field at most, never other data."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class StepLimitExceeded(EvaluationError):
    """An evaluation needed more steps, or built a longer string or list, than allowed."""

    def __init__(self, message: str = "step limit exceeded") -> None:
        super().__init__(message)


class SourceError(Exception):
    """A fault at an offset of the source, on its way to becoming a `CompileError`."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset

    def located(self, source: str) -> CompileError:
        """The same fault as a `CompileError` with line and column."""
        before = source[: self.offset]
        column = self.offset - (before.rfind("\n") + 1) + 1
        return CompileError(self.message, before.count("\n") + 1, column)
