"""The admin's pages: their addresses, and how long each of them takes."""
