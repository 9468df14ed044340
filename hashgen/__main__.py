"""`python -m hashgen`, and what the command `hashgen` starts: even the first imports end quietly at Ctrl-C."""

import sys


def main() -> None:
    """Run the command."""
    try:
        from hashgen.cli import main as command
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    command()


if __name__ == "__main__":
    main()
