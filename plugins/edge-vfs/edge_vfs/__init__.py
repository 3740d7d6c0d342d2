"""Folders, files and openers that Edge's file stores share."""

from edge_vfs.file import File as File
from edge_vfs.folder import Folder as Folder
from edge_vfs.openers import InexactWarning as InexactWarning
from edge_vfs.progress import TransferProgress as TransferProgress
from edge_vfs.report import IncompleteTransfer as IncompleteTransfer
from edge_vfs.report import TransferReport as TransferReport
from edge_vfs.source import Source as Source
from edge_vfs.store import CopyingStore as CopyingStore
from edge_vfs.store import FileStore as FileStore
from edge_vfs.writing import TextWriter as TextWriter
from edge_vfs.writing import Writer as Writer
