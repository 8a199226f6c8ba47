"""``python -m neurocompare``, which is how torchrun starts the command line: see ``parallel.py``."""

from neurocompare.cli import main

if __name__ == "__main__":
    main()
