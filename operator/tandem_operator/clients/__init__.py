"""Edges to the world outside: calls become requests, answers data, failures ``errors``. Clients never decide."""
