"""Openers: they turn a file's bytes into tables, images, arrays and other Python objects.

An opener is a class registered under the entry-point group ``edge.openers``; `Folder.open` takes the
entry point's name as `open_with`. An opener lists the suffixes it opens and imports its packages
inside `open`, so that choosing it costs nothing. If a file's name has no suffix, the content's first
bytes decide, provided that an opener recognizes them.
"""

from edge_vfs.openers.arrays import NumPyOpener as NumPyOpener
from edge_vfs.openers.choosing import choose as choose
from edge_vfs.openers.choosing import refuse_mode as refuse_mode
from edge_vfs.openers.choosing import run as run
from edge_vfs.openers.choosing import run_for_folder as run_for_folder
from edge_vfs.openers.documents import JSONOpener as JSONOpener
from edge_vfs.openers.documents import TextOpener as TextOpener
from edge_vfs.openers.hdf5 import H5PyOpener as H5PyOpener
from edge_vfs.openers.netcdf import XarrayOpener as XarrayOpener
from edge_vfs.openers.opener import HEAD as HEAD
from edge_vfs.openers.opener import Content as Content
from edge_vfs.openers.opener import InexactWarning as InexactWarning
from edge_vfs.openers.opener import Opener as Opener
from edge_vfs.openers.opener import Saver as Saver
from edge_vfs.openers.opener import UnreadableContent as UnreadableContent
from edge_vfs.openers.opener import UnsavableValue as UnsavableValue
from edge_vfs.openers.pictures import ImageIOOpener as ImageIOOpener
from edge_vfs.openers.pictures import PILOpener as PILOpener
from edge_vfs.openers.saving import saved as saved
from edge_vfs.openers.self_contained import check_self_contained as check_self_contained
from edge_vfs.openers.tables import PandasOpener as PandasOpener
from edge_vfs.openers.yaml_documents import YAMLOpener as YAMLOpener

plugin_api = 1
