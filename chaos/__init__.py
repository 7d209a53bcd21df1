"""Random operations over HTTP while a nemesis breaks processes and connections; then the books are judged."""
