"""`python -m hashgen` is the command `hashgen`."""

from hashgen.cli import main

if __name__ == "__main__":
    main()
