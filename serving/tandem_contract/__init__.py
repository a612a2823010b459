"""What operator, gateway and replica agree on: names, documents, and how xDS is served.

Both sides import this package and never each other. It decides nothing.
"""
