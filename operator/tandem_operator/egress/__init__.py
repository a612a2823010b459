"""What may leave the premises, compiled: the guard's policy documents. Pure; nothing here reads the world.

``policy`` builds the documents, ``selector`` matches namespaces, ``usable`` says in words why a deployment cannot
use an endpoint. The guard decides again on every request: this package only tells it the rules.
"""
