"""python -m voice_needle."""

from voice_needle.cli import main

if __name__ == "__main__":
    main()
