"""Finds a source's file and opens its bytes: in a package, on disk, or far away through fsspec."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

from pipeline.core.errors import DataError, nearest
from pipeline.ingest.config import FileSource, PackageSource


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine.

    Attributes:
        path: Where it lies.
        uri: What people call it; without credentials.
        hashed: Its SHA-256, which is worked out while the file is read.
    """

    path: Path
    uri: str
    hashed: Future[str]

    @property
    def sha256(self) -> str:
        """SHA-256 of its bytes, in hex; waits for it."""
        return self.hashed.result()


@contextmanager
def local_file(source: PackageSource | FileSource, root: Path) -> Iterator[LocalFile]:
    """Yields the source's file; a remote one is a copy that vanishes with the block.

    Args:
        source: Which file.
        root: The project folder, which relative paths start from.

    Raises:
        DataError: There is no such file, it cannot be fetched, or its SHA-256 is not the
            expected one.
    """
    with ExitStack() as stack:
        if isinstance(source, PackageSource):
            path, uri = packaged_path(source), f"package:{source.package}/{source.path}"
        elif "://" in source.path:
            uri = without_credentials(source.path)
            folder = stack.enter_context(TemporaryDirectory(prefix="ingest-"))
            path = _fetched(source, uri, Path(folder))
        else:
            path, uri = root / source.path, source.path
        if not path.is_file():
            raise _no_file(path, uri)
        pool = stack.enter_context(ThreadPoolExecutor(1))
        file = LocalFile(path, uri, pool.submit(_sha256, path))
        if source.sha256 is not None:
            _refuse_other(file, source.sha256)
        yield file


def packaged_path(source: PackageSource) -> Path:
    """Where a package's file lies, found without importing the package.

    Raises:
        DataError: The package is not installed, or the path leads out of it.
    """
    spec = importlib.util.find_spec(source.package)
    folders = (
        [Path(folder).resolve() for folder in spec.submodule_search_locations or ()]
        if (spec)
        else []
    )
    if not folders:
        raise DataError(
            f"the package '{source.package}' is not installed",
            expected=f"an installed package with the file {source.path}",
            remedy=f"run `pip install {source.package}`, or correct the package's name",
        )
    candidates = [(folder / source.path).resolve() for folder in folders]
    for path, folder in zip(candidates, folders, strict=True):
        if not path.is_relative_to(folder):
            raise DataError(
                f"the path '{source.path}' leads out of the package '{source.package}'",
                expected="a file inside the package's folder",
                remedy="use `kind: file` for other files",
            )
    return next((path for path in candidates if path.is_file()), candidates[0])


def without_credentials(url: str) -> str:
    """The URL without user, password, query and fragment, where secrets hide."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _fetched(source: FileSource, uri: str, folder: Path) -> Path:
    import fsspec

    path = folder / (Path(urlsplit(source.path).path).name or "table")
    try:
        with fsspec.open(source.path, "rb") as remote, path.open("wb") as copy:
            shutil.copyfileobj(remote, copy, 1 << 20)
    except ImportError as error:
        raise DataError(
            f"{uri} cannot be opened: {error}",
            expected=f"the fsspec driver of {urlsplit(source.path).scheme}:// installed",
            remedy="install the extra s3, gcs, azure or ssh, e.g. `pip install -e '.[s3]'`",
        ) from None
    except Exception as error:  # noqa: BLE001  every driver has exceptions of its own
        # Drivers repeat the URL in their texts, secrets and all.
        reason = str(error).replace(source.path, uri)
        raise DataError(
            f"{uri} cannot be fetched: {type(error).__name__}: {reason}",
            expected="a file that this machine may read",
            remedy="check the address, the network and the credentials in the environment",
        ) from None
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_other(file: LocalFile, expected: str) -> None:
    if file.sha256 != expected:
        raise DataError(
            f"{file.uri} has the SHA-256 {file.sha256}",
            expected=expected,
            remedy="find out who changed the file; if the change is right, correct sha256",
        )


def _no_file(path: Path, uri: str) -> DataError:
    folder = path.parent
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    near = nearest(path.name, names)
    if path.is_dir():
        came = f"{uri} is a folder"
    elif names or folder.is_dir():
        came = f"there is no file {uri}"
    else:
        came = f"there is no file {uri}, nor its folder"
    return DataError(
        came,
        expected=f"a file at {path}",
        remedy=f"did you mean {' or '.join(near)}?" if near else "correct the path in the source",
    )
