"""What callers of list services name: a page's order and limit, and the page that comes back."""

from db.repositories.keyset import Keyset, Slice, SortColumn

__all__ = ["Keyset", "Slice", "SortColumn"]
