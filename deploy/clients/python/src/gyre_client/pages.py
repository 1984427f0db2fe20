"""Lists: all rows as one iterator, whatever the size of the pages that they come in."""

from __future__ import annotations

from typing import Any, Callable, Generic, Iterator, List, Optional, TypeVar

T = TypeVar("T")
P = TypeVar("P")


class Pages(Generic[T, P]):
    """The rows of a list. Nothing is asked before the first row is wanted; each iteration asks anew."""

    def __init__(self, fetch: Callable[[str], P], rows: str) -> None:
        self._fetch = fetch
        self._rows = rows

    def pages(self, page_token: str = "") -> Iterator[P]:
        """The pages as they are answered, the first or the one of a token first."""
        while True:
            page: Any = self._fetch(page_token)
            yield page
            page_token = page.next_page_token if hasattr(page, "next_page_token") else ""
            if not page_token:
                return

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from getattr(page, self._rows)

    def page(self) -> P:
        """The first page."""
        return self._fetch("")

    def all(self) -> List[T]:
        """All rows."""
        return list(self)

    def first(self) -> Optional[T]:
        """The first row; nothing where there is none."""
        return next(iter(self), None)
