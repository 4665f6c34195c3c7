"""The log: one JSON object a line on standard error. Bodies, tokens and keys are never logged."""

import json
import logging
import sys
from datetime import UTC, datetime

_LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR"}


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        level = _LEVELS.get(record.levelname, record.levelname)
        line = {"timestamp": time.replace("+00:00", "Z"), "level": level, "message": record.getMessage()}
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def start() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # The server's own words about connections and its start; its warnings and errors are kept.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
