"""The configuration: flags, each with an environment variable."""

import argparse
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import __version__


@dataclass(frozen=True)
class Configuration:
    host: str
    port: int
    tls_cert: Path
    tls_key: Path
    cosigner_keys: tuple[Path, ...]
    answer_key: Path | None
    policy: Path | None
    json: bool
    ready_file: Path | None

    @classmethod
    def from_command_line(cls, arguments: Sequence[str]) -> "Configuration":
        parser = _parser()
        flags = parser.parse_args(arguments)
        if flags.tls_cert is None or flags.tls_key is None:
            parser.error("--tls-cert and --tls-key are needed")
        if bool(flags.cosigner_key) != (flags.answer_key is not None):
            parser.error("--cosigner-key and --answer-key go together")
        if flags.answer_key is None and not flags.json:
            parser.error("--cosigner-key and --answer-key are needed, or --json")
        host, port = flags.listen
        return cls(
            host=host,
            port=port,
            tls_cert=flags.tls_cert,
            tls_key=flags.tls_key,
            cosigner_keys=tuple(flags.cosigner_key),
            answer_key=flags.answer_key,
            policy=flags.policy,
            json=flags.json,
            ready_file=flags.ready_file,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="handler",
        description="Approves or rejects what a Countersign co-signer is about to sign.",
        epilog="Each flag FLAG-NAME has an environment variable HANDLER_FLAG_NAME; the flag wins.",
        allow_abbrev=False,
    )

    def file(flag: str, text: str) -> None:
        value = os.environ.get(_variable(flag))
        parser.add_argument(flag, type=Path, default=Path(value) if value else None, metavar="FILE", help=text)

    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--listen",
        type=_address,
        default=os.environ.get("HANDLER_LISTEN") or "127.0.0.1:8443",
        metavar="IP:PORT",
        help="where to listen; port 0 takes a free one (default: 127.0.0.1:8443)",
    )
    file("--tls-cert", "PEM file with this server's certificate chain")
    file("--tls-key", "PEM file with the certificate's private key")
    keys = os.environ.get("HANDLER_COSIGNER_KEY", "")
    parser.add_argument(
        "--cosigner-key",
        type=Path,
        action=_AppendOverDefault,
        default=[Path(key) for key in keys.split(",") if key],
        metavar="FILE",
        help="PEM file with a co-signer's public key; may be given several times, and may appear while this runs",
    )
    file("--answer-key", "PEM file (PKCS#8) with the private key that signs answers: RSA (RS256) or P-256 (ES256)")
    file("--policy", "JSON file with the rules")
    parser.add_argument(
        "--json",
        action="store_true",
        default=os.environ.get("HANDLER_JSON", "").lower() in ("1", "true", "yes"),
        help="also serve the plain JSON endpoints, which are not signed: only TLS and your network protect them",
    )
    file("--ready-file", "write the address in use here, as JSON, when the server listens; removed at a clean stop")
    parser.add_argument("--log-json", action="store_true", help=argparse.SUPPRESS)  # the log always is JSON
    return parser


class _AppendOverDefault(argparse.Action):
    """`append` adds to the default; here, a flag that is given replaces the environment's list."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        value: object,
        option_string: str | None = None,
    ) -> None:
        given = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [value] if given is self.default else [*given, value])


def _variable(flag: str) -> str:
    return "HANDLER_" + flag.removeprefix("--").replace("-", "_").upper()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected IP:PORT, got {text!r}") from error
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port up to 65535, got {number}")
    return host, number
