"""`python -m handler`: reads the configuration and serves until SIGTERM or SIGINT."""

import logging
import sys

from . import log
from .config import Configuration
from .policy_file import DEMONSTRATION, InvalidPolicy, Rules
from .protocol import InvalidKey, Keys
from .server import application
from .serving import serve

logger = logging.getLogger("handler")


def main() -> int:
    configuration = Configuration.from_command_line(sys.argv[1:])
    log.start()
    try:
        rules = read_rules(configuration)
        keys = Keys(configuration.cosigner_keys, configuration.answer_key) if configuration.answer_key else None
        serve(application(keys, rules, configuration.json), configuration)
    except (InvalidKey, InvalidPolicy, OSError) as error:
        logger.error("cannot start", extra={"fields": {"error": str(error)}})
        return 1
    return 0


def read_rules(configuration: Configuration) -> Rules:
    if configuration.policy is None:
        logger.warning("no --policy: this demonstration approves everything but the note reject-me")
        return Rules.parse(DEMONSTRATION)
    return Rules.parse(configuration.policy.read_text("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
