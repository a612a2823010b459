"""One Ray Serve replica: vLLM's own OpenAI app behind Tandem's ASGI middleware.

Decides whether this replica can answer in time. It never decides whether a request may leave the premises.
"""
