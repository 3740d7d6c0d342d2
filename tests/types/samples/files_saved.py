"""What type checkers accept of `Folder.save`, and what they refuse: each marked line."""

from pandas import DataFrame

from edge.api import EdgeSession, S3Connection

edge = EdgeSession()
table = DataFrame()

edge.files.save("plate.csv", table)
edge.files.save("plate.csv", table, sep=";", encoding="latin-1", dtype={"id": "str"}, overwrite=False)
edge.files.save("plate.xlsx", table, index_col="sample", sheet_name="Results")
edge.files.save("notes.md", "washed twice", encoding="latin-1")
edge.files.save("plate.json", {"wells": [1, 2]}, indent=2)
edge.files.save("raw.bin", b"bytes")
edge.files.save("reads.fasta", ("ACGT",), "fasta", width=60)
(edge.files / "runs").save("plate.parquet", table, save_with="pandas")
S3Connection("plates", "Plates", "plates").save("plate.csv", table, sep=";")
S3Connection("plates", "Plates", "plates").root.save("plate.csv", table, sep=";")

edge.files.save("plate.csv", table, spe=";")  # error
edge.files.save("plate.csv", table, sep=3)  # error
edge.files.save("plate.csv", table, overwrite="no")  # error
edge.files.save("plate.csv", table, index=False)  # error
edge.files.save("notes.md", "washed twice", errors="replace")  # error
edge.files.save("plate.json", {"wells": 1}, default=str)  # error
edge.files.save("raw.bin", b"bytes", encoding="ascii")  # error
edge.files.save(b"plate.csv", table)  # error
edge.files.save("plate.csv")  # error
edge.files.save("plate.csv", table).reed()  # error
