"""The table of out-of-fold scores that lies beside the published cards."""

from __future__ import annotations

import csv
from pathlib import Path

from hilum.errors import DataError


def read_rows(table: Path) -> dict[str, dict[str, str]]:
    """Picture -> its row, of a table in CSV with a column `image`.

    Raises:
        DataError: it cannot be read, has no such column or no rows.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise DataError(f"{table} cannot be read ({error.strerror}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is no table in CSV ({error}).") from None
    if not rows or "image" not in rows[0]:
        raise DataError(
            f"{table.name} has no row with a column image; expected a table as docs/cards/starter-expert-scores.csv."
        )
    return {row["image"]: row for row in rows}
