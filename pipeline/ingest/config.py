"""What can be set about bringing in the table: where it is, how to read it, what joins it."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.core.schema import config

Format = Literal["auto", "csv", "tsv", "parquet", "jsonl"]
Compression = Literal["auto", "none", "gzip", "bz2", "xz", "zip", "zstd"]


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError("an encoding that Python knows, e.g. utf-8, cp1252 or utf-16") from None
    return name


@config
class PiiDrop:
    """The column is left out."""

    how: Literal["drop"]
    """Discriminator."""


@config
class PiiHash:
    """HMAC-SHA256 of each value under a secret key, 32 hexadecimal digits."""

    how: Literal["hash"]
    """Discriminator."""
    key_env: str = "PIPELINE_PII_KEY"
    """Environment variable that holds the key, at least 16 bytes."""


@config
class PiiGeneralise:
    """Values become coarser, so that many rows share one."""

    how: Literal["generalise"]
    """Discriminator."""
    step: float | None = Field(default=None, gt=0)
    """Numbers go down to a multiple of this: ages by 10."""
    characters: int | None = Field(default=None, ge=1)
    """So many first characters stay: 2 of a postcode."""
    date: Literal["year", "month"] | None = None
    """Dates go to the first day of their year or month."""

    def __post_init__(self) -> None:
        """Refuses none and several."""
        if sum(one is not None for one in (self.step, self.characters, self.date)) != 1:
            raise ValueError("one of step, characters and date")


PiiConfig = Annotated[PiiDrop | PiiHash | PiiGeneralise, Field(discriminator="how")]
"""What is done with a column of personal data before anything is written."""


@config
class ReadConfig:
    """How the bytes of a file become a table."""

    format: Format = "auto"
    """auto: by the ending of the name, before that of the compression."""
    compression: Compression = "auto"
    """auto: by the ending of the name (.gz, .bz2, .xz, .zip, .zst)."""
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    """Encoding of CSV, TSV and JSONL text; a byte-order mark is skipped."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """Field delimiter of CSV; null: comma, for TSV tab."""
    columns: tuple[str, ...] = ()
    """Columns to read; empty: all."""
    dtypes: dict[str, Literal["string", "int64", "float64", "bool"]] = Field(default_factory=dict)
    """Types of columns whose guess is wrong, e.g. codes with leading zeros as string."""
    missing: tuple[str, ...] = ()
    """More words that mean a missing value, e.g. "?"; in JSONL and Parquet those of text."""
    default_missing: bool = True
    """Whether in CSV and TSV the usual words ("", NA, NaN, null, None, ...) do so as well."""
    bad_rows: Literal["error", "drop"] = "error"
    """Rows of CSV and TSV with more or fewer fields than the header, and lines of JSONL that are no
    object: stop, or leave them out."""
    bad_text: Literal["error", "drop", "null"] = "error"
    """Text that is not of the encoding: stop, leave the rows out, or make the values missing."""
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """Expected SHA-256 of the file; null: not checked."""
    pii: dict[str, PiiConfig] = Field(default_factory=dict)
    """Columns of personal data, and what is done with each before anything is written."""


@config
class PackageSource(ReadConfig):
    """A file that lies in an installed Python package; the package is not imported."""

    kind: Literal["package"]
    """Discriminator."""
    package: str = Field(pattern=r"^[A-Za-z_]\w*$")
    """Import name of a top-level package."""
    path: str = Field(min_length=1)
    """The file, relative to the package's folder and inside it."""


@config
class SpanConfig:
    """Which of many dated files take part, under each other in order of date."""

    newest: int | None = Field(default=None, ge=1)
    """So many of the latest files, of those that since and until leave; null: all."""
    since: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    """First date that takes part, YYYY-MM-DD; null: from the earliest."""
    until: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    """Last date that takes part; null: to the latest."""
    column: str | None = None
    """New column that says the date of each row's file; null: none."""
    empty_files: Literal["error", "drop"] = "error"
    """A file without any row: stop, or go on without it."""

    def __post_init__(self) -> None:
        """Refuses dates that do not exist, and a span that ends before it begins."""
        for name, day in (("since", self.since), ("until", self.until)):
            try:
                date.fromisoformat(day or "2000-01-01")
            except ValueError:
                raise ValueError(f"{name} as a day that exists, not {day}") from None
        if self.since and self.until and self.until < self.since:
            raise ValueError("since not later than until")


@config
class FileSource(ReadConfig):
    """A local file, or a remote one that fsspec can open (s3://, gs://, https://, ...)."""

    kind: Literal["file"]
    """Discriminator."""
    path: str = Field(min_length=1)
    """Path relative to the project folder, absolute path, or URL; with `span` a local pattern
    whose file name holds `{date}`, e.g. data/source/orders-{date}.csv."""
    span: SpanConfig | None = None
    """For a pattern of dated files; null: one file."""

    def __post_init__(self) -> None:
        """Refuses a pattern without a span, and a span without a pattern."""
        if ("{date}" in self.path.rpartition("/")[2]) != (self.span is not None):
            raise ValueError("span together with {date} in the file name of path")


@config
class SqlSource:
    """The rows of a query."""

    kind: Literal["sql"]
    """Discriminator."""
    url_env: str | None = None
    """Environment variable that holds the SQLAlchemy URL; URLs with passwords belong there."""
    url: str | None = None
    """SQLAlchemy URL without credentials, e.g. sqlite:///data/local/shop.db."""
    query: str = Field(min_length=1)
    """SELECT statement; give it an ORDER BY, so that the same data gives the same table."""
    pii: dict[str, PiiConfig] = Field(default_factory=dict)
    """Columns of personal data, and what is done with each before anything is written."""

    def __post_init__(self) -> None:
        """Refuses no address, two addresses, and passwords in a file that git tracks."""
        if (self.url is None) == (self.url_env is None):
            raise ValueError("either url_env or url")
        if self.url is not None and "@" in self.url:
            raise ValueError("no credentials in url; put the URL into a variable named by url_env")


Source = Annotated[PackageSource | FileSource | SqlSource, Field(discriminator="kind")]
"""Where a table comes from."""


@config
class BeforeConfig:
    """Partner rows are events: a main row gets the latest one that was known in its time."""

    column: str = Field(min_length=1)
    """Column of dates or moments of the main table."""
    right_column: str | None = None
    """The same of the joined table; null: it has the same name."""
    gap_hours: float = Field(ge=0)
    """The event lies at least so many hours before the main row, and never at the same moment."""
    within_hours: float = Field(gt=0)
    """An event that lies further back counts as none."""
    age: bool = False
    """Whether a column PREFIXhours_ago says how far back it lies."""


@config
class JoinConfig:
    """A left join: every row of the main table stays once, with the partner's columns or none."""

    source: Source
    """The table joined."""
    key: tuple[str, ...] = ()
    """Key columns that have the same name in both tables."""
    left_key: tuple[str, ...] = ()
    """Key columns of the main table, where names differ."""
    right_key: tuple[str, ...] = ()
    """Key columns of the joined table, in the order of `left_key`."""
    columns: tuple[str, ...] = ()
    """Columns to bring; empty: all but the key."""
    prefix: str = ""
    """Stands before the name of each column brought, e.g. plane_ makes plane_year of year."""
    before: BeforeConfig | None = None
    """For a table of events; null: the key alone decides."""
    clip: dict[str, tuple[float | None, float | None]] = Field(default_factory=dict)
    """Numbers of the joined table are moved to these bounds first, by column."""
    aggregate: Literal["mean", "min", "max", "sum"] | None = None
    """Makes one row of those with equal keys (and moments); null: such rows are an error."""
    warn_below: float = Field(default=0.5, ge=0, le=1)
    """A warning is given when a smaller share of rows finds a partner, 0 to 1."""

    def __post_init__(self) -> None:
        """Refuses a key that is missing or spelt twice."""
        if bool(self.key) == bool(self.left_key):
            raise ValueError("either key, or left_key with right_key")
        if len(self.left_key) != len(self.right_key):
            raise ValueError("left_key and right_key of the same length")
        if self.columns and not set(self.clip) <= set(self.columns):
            raise ValueError("clip only of columns that columns names")


@config
class IngestConfig:
    """What is the same for every data set."""

    sample_rows: int | None = Field(ge=1)
    """Rows of the main table taken at random, in their order; null: all."""
    seed: int = Field(ge=0)
    """Seed of the sample."""
    stream_above_bytes: int = Field(ge=0)
    """A file of more bytes than this, and any that is packed, is read batch by batch; a smaller one
    at once, which gives the same."""


@dataclass(frozen=True)
class IngestStageConfig:
    """The sections of params.yaml this stage reads."""

    source: Source
    joins: dict[str, JoinConfig]
    ingest: IngestConfig
