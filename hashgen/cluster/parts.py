"""Encoded views as Parquet files beside the features: what a run on any machine goes on from."""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hashgen.base.files import atomic_file
from hashgen.base.places import Place, output_files, source_of
from hashgen.features.memo import Key

Features = npt.NDArray[np.float16]
# Over a network the time to read a small file is mostly waiting.
_AT_ONCE = 16


class Parts:
    """Features (views, dim) by picture and view in the Parquet files of a folder; the folder says what made them.

    A file holds some views and never changes: sha256 and view, then the float16 values. Its name is the hash of its
    keys, so a view that two runs encode at once is there twice and is the same. Parquet's checksums of pages tell when
    one is damaged: such a file is removed, and its views are encoded again.
    """

    def __init__(self, folder: Place, dim: int) -> None:
        self._folder = folder
        self._dim = dim
        self._schema = pa.schema([("sha256", pa.string()), ("view", pa.int32()), ("feature", pa.binary(2 * dim))])

    def write(self, keys: Sequence[Key], features: Features) -> None:
        """Keep features (len(keys), dim) in a file of their own."""
        columns = [
            pa.array([sha for sha, _ in keys], pa.string()),
            pa.array([view for _, view in keys], pa.int32()),
            pa.array([row.tobytes() for row in features], pa.binary(2 * self._dim)),
        ]
        name = hashlib.sha256("".join(f"{sha} {view}\n" for sha, view in keys).encode()).hexdigest()
        with output_files(self._folder / f"{name[:32]}.parquet") as (path,):
            pq.write_table(
                pa.Table.from_arrays(columns, schema=self._schema),
                path,
                compression={"sha256": "zstd", "view": "zstd", "feature": "none"},
                use_dictionary=["sha256"],
                write_page_checksum=True,
            )

    def read(self, wanted: set[Key]) -> Iterator[tuple[list[Key], Features]]:
        """Those of the `wanted` views that are kept, some at a time. Raises HashgenError if they cannot be reached."""
        names = self._names()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for start in range(0, len(names), _AT_ONCE):
                for found in pool.map(lambda name: self._read(name, wanted), names[start : start + _AT_ONCE]):
                    if found is not None:
                        yield found

    def _names(self) -> list[str]:
        if isinstance(self._folder, Path):
            return sorted(path.name for path in self._folder.glob("*.parquet"))
        return [name for name in self._folder.names() if name.endswith(".parquet")]

    def _read(self, name: str, wanted: set[Key]) -> tuple[list[Key], Features] | None:
        part = self._folder / name
        try:
            return self._wanted(source_of(part), wanted)
        except (pa.ArrowException, OSError, ValueError) as error:
            # A network that fails is not a damaged file: this read of all bytes then fails too, and says so.
            data = _bytes_of(part)
            try:
                return self._wanted(pa.BufferReader(data), wanted)
            except (pa.ArrowException, OSError, ValueError):
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                print(f"featurize: {part} is damaged ({reason}); removed; encoding again", file=sys.stderr)
                part.unlink(missing_ok=True) if isinstance(part, Path) else part.remove()
                return None

    def _wanted(self, source: object, wanted: set[Key]) -> tuple[list[Key], Features] | None:
        file = pq.ParquetFile(source, page_checksum_verification=True)
        names = file.read(["sha256", "view"])
        keys = list(zip(names["sha256"].to_pylist(), names["view"].to_pylist(), strict=True))
        rows = [row for row, key in enumerate(keys) if key in wanted]
        if not rows:
            return None
        values = file.read(["feature"])["feature"].cast(pa.binary()).take(rows).to_pylist()
        return [keys[row] for row in rows], np.frombuffer(b"".join(values), np.float16).reshape(len(rows), self._dim)


def _bytes_of(part: Place) -> bytes:
    if isinstance(part, Path):
        return part.read_bytes()
    with part.open() as file:
        data: bytes = file.read()
        return data


def parts_beside(out: Place, name: str, dim: int) -> Parts:
    """What is kept beside the folder of features `out`, of what `name` stands for; git ignores it on this machine."""
    folder = out.with_name(f"{out.name}.memo")
    if isinstance(folder, Path) and not (folder / ".gitignore").exists():
        with atomic_file(folder / ".gitignore") as rules:
            rules.write_text("*\n", encoding="utf-8")
    return Parts(folder / name, dim)
