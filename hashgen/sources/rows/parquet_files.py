"""Rows of Parquet files as plain Python values, in memory bounded by pages, however large the row groups are."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hashgen.base.errors import HashgenError
from hashgen.sources.rows.downloads import not_the_file
from hashgen.sources.rows.values import BrokenRow, Row

# Rows in memory at once: as many as fit in this many bytes by the footer, which counts a repeated picture once.
_BATCH_BYTES = 16 * 2**20
_BATCH_ROWS = 32

# A Parquet file ends in the length of its footer (4 bytes) and the magic number.
_MAGIC = b"PAR1"
_TAIL = 8
_START = 512  # bytes that tell a page or pointer


def read_footer(path: Path) -> tuple[pa.Schema, int]:
    """The columns of a Parquet file and its number of rows. Raises HashgenError if it is none or damaged."""
    with _opened(path) as file:
        return file.schema_arrow, file.metadata.num_rows


def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Row | BrokenRow]]:
    """The rows of a Parquet file: the number of each from 1 on, and its values by column or what is wrong with it.

    columns: those to read; all must be there. Times without a zone are as they stand; one that Python cannot hold is a
    text that says so.
    Raises HashgenError if the file is damaged.
    """
    number = 0
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group)
            mean = size.total_byte_size // max(1, size.num_rows)
            batch_rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, mean)))
            for batch in file.iter_batches(batch_rows, row_groups=[group], columns=list(columns), use_threads=False):
                values = {name: _readable(batch.column(name)) for name in columns}
                for place in range(batch.num_rows):
                    number += 1
                    yield number, _row(values, place)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file that is read by pages; what pyarrow raises on a damaged one becomes a HashgenError."""
    try:
        # Otherwise pyarrow reads all of a row group's columns before it gives the first row.
        with pq.ParquetFile(path, metadata=_plain_footer(path), pre_buffer=False, buffer_size=2**20) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if instead := not_the_file(_start(path)):
            raise HashgenError(f"{path}: {instead}") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise HashgenError(f"{path}: not a readable Parquet file ({reason}); download or write it again") from error


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_START)
    except OSError:
        return b""


def _plain_footer(path: Path) -> pq.FileMetaData:
    """The footer of a Parquet file without the Arrow types that its writer had in mind.

    With them, a column written from dictionaries is read as one: pyarrow then keeps all its values until the end of the
    row group. Without, all columns are of Parquet's own types, and times are UTC.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(0, size - _TAIL))
        tail = stream.read()
        length = int.from_bytes(tail[:4], "little") + _TAIL
        if tail.endswith(_MAGIC) and length <= size:
            stream.seek(size - length)
            tail = stream.read()
    return pq.read_metadata(io.BytesIO(_MAGIC + tail.replace(b"ARROW:schema", b"arrow-schema")))


def _readable(column: pa.Array) -> pa.Array:
    """The column itself, but times in microseconds: Python knows no nanoseconds."""
    is_fine = pa.types.is_timestamp(column.type) and column.type.unit == "ns"
    return column.cast(pa.timestamp("us", column.type.tz), safe=False) if is_fine else column


def _row(columns: dict[str, pa.Array], place: int) -> Row | BrokenRow:
    try:
        return {name: _value(column[place]) for name, column in columns.items()}
    except BrokenRow as error:
        return error


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        raise BrokenRow("not UTF-8") from error
    except (ValueError, OverflowError):
        return f"{scalar.type} out of range"
