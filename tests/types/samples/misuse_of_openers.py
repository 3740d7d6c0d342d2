"""Mistakes with what `Folder.open` returns, which a type checker must refuse: each marked line."""

from edge.api import EdgeSession, S3Connection

edge = EdgeSession()
edge.files.open("plate.csv", "file").reed()  # error
edge.files.open("plate.csv", "file").size = 3  # error
edge.files.open("plate.csv", "pandas").serach()  # error
edge.files.open("notes.md", "text").reed()  # error
edge.files.open(b"plate.csv", "file")  # error
S3Connection("plates", "Plates", "plates").open("a.csv", "file").reed()  # error
S3Connection("plates", "Plates", "plates").root.open("a.csv", "file").reed()  # error
S3Connection("plates", "Plates", "plates").root.open("a.csv", "pandas").serach()  # error
