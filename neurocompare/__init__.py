"""neurocompare: does it matter, for matching the brain, how a network learned?"""

__version__ = "0.1.0"
