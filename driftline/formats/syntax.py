"""Syntax errors of YAML and JSON that people write: the place, and the fix."""

from __future__ import annotations

# YAML's parser speaks of its own tokens. By its words: what a person wrote, and what mends it.
_MENDS = {
    "mapping values are not allowed": (
        'an entry has a second ": ", or the indentation of this line or the one before is wrong; '
        'expected one "name: value" a line, texts that hold ": " in quotes'
    ),
    "expected <block end>": (
        "this does not go on with the entry before; expected the indentation of the entries that "
        "it belongs to, and nothing after a closing quote"
    ),
    "character '\\t'": "a tab; expected spaces as indentation",
    "cannot start any token": "YAML keeps this sign for itself; expected the text in quotes",
    "unexpected end of stream": "the quote that opens here is not closed",
    "expected ',' or": "expected , or the end of the bracket that opens here",
    "expected the node content": "expected a value: a text, a number, a list or an object",
    "determine a constructor": "a tag (!…) may not stand here; expected plain values",
    "undefined alias": "expected a text that begins with * in quotes",
}
# Of these the parser only finds at the end that they have none.
_OPEN = ("unexpected end of stream", "expected ',' or")


def syntax_fault(error: Exception, text: str) -> str:
    """Return where a parser of YAML or JSON stopped in a text, and what was expected there.

    >>> import json
    >>> try:
    ...     json.loads("{'a': 1}")
    ... except ValueError as error:
    ...     syntax_fault(error, "{'a': 1}")
    'line 1, column 2: Expecting property name enclosed in double quotes'
    """
    if isinstance(error, RecursionError):
        return "nested too deep"
    problem = str(getattr(error, "problem", None) or getattr(error, "msg", None) or error)
    words = next((words for words in _MENDS if words in problem), "")
    mark = getattr(error, "problem_mark", None)
    if words in _OPEN:
        mark = getattr(error, "context_mark", None) or mark
    # JSON's errors, and YAML's of signs that cannot be printed, tell how many signs are before.
    position = getattr(error, "pos", getattr(error, "position", None))
    if mark is not None:
        line, column = mark.line + 1, mark.column + 1
    elif position is not None:
        line = text.count("\n", 0, position) + 1
        column = position - text.rfind("\n", 0, position)
    else:
        return problem.splitlines()[0]
    return f"line {line}, column {column}: {_MENDS.get(words, problem.splitlines()[0])}"
