"""session.files: the files of an Edge organization."""
