"""Calling the shell in this process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from relgraph.cli import app

COMMANDS = ("inspect", "convert", "train", "compare", "evaluate", "predict", "explain", "report", "demo")
TASK = """
entity_table = "customer"
kind = "binary"
horizon = "60 days"
val_time = 2024-07-01
test_time = "2024-09-01"
sql = '''
SELECT customer_id, timestamp, CAST(NOT EXISTS (
    SELECT 1 FROM orders o WHERE o.customer_id = c.customer_id
    AND o.ordered_at > timestamp AND o.ordered_at <= timestamp + {horizon}) AS INT) AS label
FROM timestamps, customer c WHERE c.joined <= timestamp
'''
"""
ROWS = ["--channels", "8", "--num-neighbors", "4,4", "--max-batches", "2", "--batch-size", "32"]


def run(*words: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def document(*words: str | Path, code: int = 0) -> Any:
    return json.loads(run(*words, "--json", code=code).stdout)


def examples(name: str) -> list[str]:
    """The example lines in the help of a command."""
    (command,) = [c.callback for c in app.registered_commands if c.callback and c.callback.__name__ == name]
    return re.findall(r"^ {4,}(relgraph .+)$", command.__doc__ or "", re.MULTILINE)
