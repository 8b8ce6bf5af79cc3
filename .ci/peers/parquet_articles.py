#!/usr/bin/env python3
"""Makes tests/fixtures/articles/*.parquet: articles as pyarrow writes them, for the import to read.

  parquet_articles.py

Two articles each: `snappy` as pandas would (nullable texts, a list column, a time, an embedding that nobody asked for, two row
groups), `zstd` with other names, whole numbers as ids and nanoseconds, `gzip` for the message that it is not read, `untitled` for the one
that names the columns. Needs PyPI pyarrow; 26.0.1 wrote what is committed.
"""
import datetime
import pathlib
import sys

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as missing:
    print(f"skipped: {missing}; 'pip install pyarrow' and run again")
    sys.exit(77)

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/articles"


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    moment = datetime.datetime(2026, 3, 1, 12, 30, tzinfo=datetime.timezone.utc)
    table = pa.table({
        "embedding": pa.array([[0.25] * 8, None], pa.list_(pa.float32())),
        "title": ["Ölpreis steigt", "Nurses \u001b[31mneeded"],
        "id": ["a", None],
        "content": ["Barrel über 100 $", None],
        "source_type": ["News", None],
        "tags": pa.array([["oil", " gas "], None], pa.list_(pa.string())),
        "date": pa.array([moment, None], pa.timestamp("ms", tz="UTC")),
        "link": [None, "https://e.org/2"],
    })
    pq.write_table(table, OUT / "snappy.parquet", compression="snappy", row_group_size=1)
    other = pa.table({"article_id": [7, 8], "headline": pa.array(["Seven", "Eight"]).dictionary_encode(),
                      "description": pa.array([b"bytes as text", b""], pa.binary()),
                      "published": pa.array([moment, None], pa.timestamp("ns"))})
    pq.write_table(other, OUT / "zstd.parquet", compression="zstd")
    pq.write_table(other, OUT / "gzip.parquet", compression="gzip")
    pq.write_table(pa.table({"name": ["x"], "body": ["y"]}), OUT / "untitled.parquet")


main()
