"""Folders as file systems of fsspec, by which pandas, pyarrow, Dask and others read and write.

`folder_filesystem` is the interface; `plans` has the transfers that its calls mean, `stored_writer` what its files are
written with, and `os_errors` our errors as Python's own.
"""

from edge_vfs.filesystem.folder_filesystem import FolderFileSystem as FolderFileSystem
