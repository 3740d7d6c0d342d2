"""What commands read from files and standard input."""

from __future__ import annotations

from json import JSONDecodeError, load
from typing import IO, Any

import click


def json_object(file: IO[bytes], example: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        file: an open file or standard input; UTF-8.
        example: an object as it should look, for the error's sentence.

    Raises:
        click.ClickException: the file has no JSON object; the sentence holds nothing of the content,
            which may be secret.
    """
    try:
        content = load(file)
    except JSONDecodeError as error:
        # Its own sentence alone: the rest of it holds the text.
        raise click.ClickException(f"the content is not JSON: {error.msg} in line {error.lineno}; correct it") from None
    except (UnicodeDecodeError, RecursionError):
        raise click.ClickException("the content is not JSON as it can be read; write it as UTF-8 text") from None
    if not isinstance(content, dict):
        raise click.ClickException(f"the content is not a JSON object; write it as in {example}")
    return content
